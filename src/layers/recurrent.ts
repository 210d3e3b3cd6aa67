/** One recurrent token mixer: x -> x + mixer(norm(x)), by the kind that the config says. */
import type { RecurrentConfig } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { invariant } from '../util/assert.ts';
import { deltaNet } from './delta_net.ts';
import { mamba1, mamba2 } from './mamba.ts';
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
  if (config.kind === 'short-conv' && weights.kind === 'short-conv') return shortConvolution(r, config, weights, step);
  if (config.kind === 'mamba-1' && weights.kind === 'mamba-1') return mamba1(r, config, weights, step);
  if (config.kind === 'mamba-2' && weights.kind === 'mamba-2') return mamba2(r, config, weights, step);
  if (config.kind === 'delta-net' && weights.kind === 'delta-net') return deltaNet(r, config, weights, step);
  invariant(false, 'weights of another kind than the config');
}
