/** A dense feed-forward: act(gate x) * up x, then down. Serves dense layers and shared experts. */
import type { Activation } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { glu } from '../kernels/linear/glu.ts';
import { fusesNorm } from '../kernels/linear/shared.ts';
import { rmsNorm } from '../kernels/norm/rms_norm.ts';
import type { Phase } from './attention.ts';
import { linear } from './linear.ts';
import { onlyPart, type DeviceParts } from './parts.ts';
import type { DenseWeights } from './weights.ts';

export interface FfnStep {
  readonly label: string;
  readonly phase: Phase;
  readonly activation: Activation;
  readonly weights: DenseWeights<DeviceParts>;
  /** Already normed, unless `norm` says how. */
  readonly x: BufferView; // [T, D]
  readonly norm?: { readonly gamma: BufferView; readonly eps: number };
  readonly hidden: BufferView; // [T, width] scratch
  readonly residual: BufferView; // [T, D]
  readonly rowScale?: BufferView; // [T]
  readonly out: BufferView; // [T, D]
}

/** out = residual + rowScale * ffn(x). */
export function feedForward(r: Recorder, s: FfnStep): void {
  const { label, phase, weights, hidden, residual, rowScale, out } = s;
  glu(
    r,
    `${label} gate up`,
    { x: s.x, weights: onlyPart(weights.gateUp), out: hidden, ...(s.norm && { gamma: s.norm.gamma }) },
    { phase, activation: s.activation, ...(s.norm && { eps: s.norm.eps }) },
  );
  linear(
    r,
    `${label} down`,
    { x: hidden, weights: weights.down, residual, out, ...(rowScale ? { rowScale } : {}) },
    { phase },
  );
}

/** out = x + ffn(norm(x)): a dense layer. */
export function denseLayer(
  r: Recorder,
  s: Omit<FfnStep, 'residual' | 'rowScale' | 'norm'> & {
    readonly gamma: BufferView;
    readonly normed: BufferView;
    readonly eps: number;
  },
): void {
  const { x, gamma, eps, normed } = s;
  if (fusesNorm(r.gpu.facts.kernels, s.phase)) {
    feedForward(r, { ...s, norm: { gamma, eps }, residual: x });
    return;
  }
  rmsNorm(r, `${s.label} norm`, { x, gamma, out: normed }, { size: s.weights.gateUp.cols, eps });
  feedForward(r, { ...s, x: normed, residual: x });
}
