/** What the routing page trains: on Dawn, with the page's own code. */
import { expect, it } from 'vitest';
import { DENSE_STEPS } from '../../demo/training/lengths.ts';
import { makeTask } from '../../demo/training/task.ts';
import { Upcycling } from '../../demo/training/upcycling.ts';
import { informationOf } from '../../src/trace/stats/information.ts';
import type { TrainingLook } from '../../src/viz/training.ts';
import { openModelGpu } from '../support/gpu.ts';

const SETTINGS = { experts: 8, topK: 2, balance: 0.01, seed: 1 } as const;
const { regions } = makeTask(SETTINGS.seed);
const gpu = await openModelGpu();

/** Bits that the first expert of a square tells of its region. */
function bitsOf({ experts }: TrainingLook): number {
  const table = new Float64Array(regions.count * SETTINGS.experts);
  regions.labels.forEach((region, i) => table[region * SETTINGS.experts + experts[i * SETTINGS.topK]!]!++);
  return informationOf(table, regions.count, SETTINGS.experts).bits.value;
}

async function trainTo(run: Upcycling, steps: number): Promise<TrainingLook> {
  while (run.steps.length < steps) await run.step();
  return run.look();
}

it('experts are the dense layer at first, become better than it, and tell regions apart; the same again, bit by bit', async () => {
  const run = await Upcycling.start(gpu.device, SETTINGS);
  const start = await trainTo(run, DENSE_STEPS);
  // Weights of equal experts add up to 1, in f32.
  expect(start.error).toBeCloseTo(run.denseError!, 4);
  expect(run.steps.at(-1)!.error).toBeLessThan(0.4 * run.steps[0]!.error);
  const early = await trainTo(run, DENSE_STEPS + 15);
  const end = await trainTo(run, 260);
  expect(end.error).toBeLessThan(0.5 * run.denseError!);
  expect(bitsOf(end)).toBeGreaterThan(bitsOf(start) + 0.4);
  expect(run.steps.at(-1)!.loads.reduce((sum, load) => sum + load)).toBe(2 * 256);
  run.dispose();

  const again = await Upcycling.start(gpu.device, SETTINGS);
  expect(await trainTo(again, DENSE_STEPS + 15)).toEqual(early);
  expect(again.steps).toEqual(run.steps.slice(0, DENSE_STEPS + 15));
  again.dispose();
});
