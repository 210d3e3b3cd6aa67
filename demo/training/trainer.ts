/** The trainer of the routing page: on the visitor's graphics card, with code that comes when somebody starts it. */
import type { Trace } from '../../src/trace/index.ts';
import type { Trainer } from '../../src/viz/training.ts';
import { DENSE_STEPS, STEPS, WIDTH } from './lengths.ts';
import { FEATURES, makeTask } from './task.ts';

export const trainerFor = (show: (trace: Trace) => void): Trainer => ({
  name: 'a layer of 9 values, trained in this page',
  denseSteps: DENSE_STEPS,
  steps: STEPS,
  expertBytes: 4 * 3 * WIDTH * FEATURES,
  regions: (seed) => makeTask(seed).regions,
  start: async (settings) => (await import('./start.ts')).startHere(settings),
  show,
});
