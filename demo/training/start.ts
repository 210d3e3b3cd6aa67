/** A training run on this browser's adapter. */
import { checkSupport } from '../../src/index.ts';
import type { TrainingRun, TrainingSettings } from '../../src/viz/training.ts';
import { Upcycling } from './upcycling.ts';

/** @throws Error when there is no WebGPU here, with what helps */
export async function startHere(settings: TrainingSettings): Promise<TrainingRun> {
  const support = await checkSupport();
  if (!support.ok) throw new Error(`${support.message} Training needs it; the other views do not.`);
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('The graphics card is gone. Start again when it is back.');
  const device = await adapter.requestDevice();
  return Upcycling.start(device, settings, () => device.destroy());
}
