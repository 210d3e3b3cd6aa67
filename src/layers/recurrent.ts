/** One recurrent token mixer: x -> x + mixer(norm(x)), by the kind that the config says. */
import type { RecurrentConfig } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import type { RecurrentStep } from './mixer_step.ts';
import type { DeviceParts } from './parts.ts';
import { shortConvolution } from './short_conv.ts';
import type { RecurrentWeights } from './weights.ts';

export function recurrentMixer(
  r: Recorder,
  config: RecurrentConfig,
  weights: RecurrentWeights<DeviceParts, BufferView>,
  step: RecurrentStep,
): void {
  shortConvolution(r, config, weights, step);
}
