/** A model's norm of whole tokens, of the kind that its config names; and the norm through which a layer's result joins the residual stream. */
import type { NormKind } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { gainAdd } from '../kernels/norm/gain_add.ts';
import { layerNorm } from '../kernels/norm/layer_norm.ts';
import { rmsNorm } from '../kernels/norm/rms_norm.ts';
import { invariant } from '../util/assert.ts';

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

export interface PostNormStep {
  /** Of the layer. */
  readonly label: string;
  readonly eps: number;
  /** Multiplies what is added. */
  readonly scale: number;
  /** Multiplies x and what is added; null and default: nothing does. */
  readonly total?: BufferView | null; // [1]
  /** In place of a norm and scales, gains of what is added, of x, and a bias. Default false. */
  readonly joinGains?: boolean;
  readonly x: BufferView; // [T, D]
  readonly out: BufferView; // [T, D], another buffer
}

/** out = (x + scale * norm(added)) * total; with `joinGains` gain * added + gain * x + bias, and `gamma` is [3 D]. */
export function addNormed(
  r: Recorder,
  { label, eps, scale, total = null, joinGains = false, x, out }: PostNormStep,
  added: BufferView,
  gamma: BufferView,
  size: number,
): void {
  if (joinGains) {
    invariant(scale === 1 && total === null, `${label}: gains and a scale where it joins`);
    gainAdd(r, `${label} join`, { added, x, gains: gamma, out }, { size });
    return;
  }
  rmsNorm(r, `${label} post norm`, { x: added, gamma, residual: x, total, out }, { size, eps, scale });
}
