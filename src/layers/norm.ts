/** A model's norm of whole tokens, of the kind that its config names. */
import type { NormKind } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { layerNorm } from '../kernels/norm/layer_norm.ts';
import { rmsNorm } from '../kernels/norm/rms_norm.ts';

export interface NormStep {
  readonly x: BufferView; // [T, D]
  /** Gains, and behind them the biases of `layer-biased`. */
  readonly gamma: BufferView; // [D] or [2 D]
  readonly out: BufferView; // [T, D]
}

export interface NormShape {
  readonly kind: NormKind;
  readonly size: number; // D
  readonly eps: number;
}

export function norm(r: Recorder, label: string, { x, gamma, out }: NormStep, { kind, size, eps }: NormShape): void {
  if (kind === 'rms') rmsNorm(r, label, { x, gamma, out }, { size, eps });
  else layerNorm(r, label, { x, gains: gamma, out }, { size, eps, bias: kind === 'layer-biased' });
}
