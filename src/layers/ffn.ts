/** A dense feed-forward: act(gate x) * up x, then down. Serves dense layers and shared experts. */
import type { Activation, NormKind } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { glu } from '../kernels/linear/glu.ts';
import type { Phase } from './attention.ts';
import { linear } from './linear.ts';
import { norm } from './norm.ts';
import { onlyPart, type DeviceParts } from './parts.ts';
import type { DenseWeights } from './weights.ts';

export interface FfnStep {
  readonly label: string;
  readonly phase: Phase;
  readonly activation: Activation;
  readonly weights: DenseWeights<DeviceParts>;
  /** Already normed. */
  readonly x: BufferView; // [T, D]
  readonly hidden: BufferView; // [T, width] scratch
  readonly residual: BufferView; // [T, D]
  readonly rowScale?: BufferView; // [T]
  /** Multiplies the feed-forward before it joins the residual. */
  readonly scale: number;
  readonly out: BufferView; // [T, D]
}

/** out = residual + scale * rowScale * ffn(x). */
export function feedForward(r: Recorder, s: FfnStep): void {
  const { label, phase, weights, hidden, residual, rowScale, out } = s;
  glu(
    r,
    `${label} gate up`,
    { x: s.x, weights: onlyPart(weights.gateUp), out: hidden },
    { phase, activation: s.activation },
  );
  linear(
    r,
    `${label} down`,
    { x: hidden, weights: weights.down, residual, out, ...(rowScale ? { rowScale } : {}) },
    { phase, scale: s.scale },
  );
}

/** out = x + scale * ffn(norm(x)): a dense layer. */
export function denseLayer(
  r: Recorder,
  s: Omit<FfnStep, 'residual' | 'rowScale'> & {
    readonly gamma: BufferView;
    readonly normed: BufferView;
    readonly normKind: NormKind;
    readonly eps: number;
  },
): void {
  const shape = { kind: s.normKind, size: s.weights.gateUp.cols, eps: s.eps };
  norm(r, `${s.label} norm`, { x: s.x, gamma: s.gamma, out: s.normed }, shape);
  feedForward(r, { ...s, x: s.normed, residual: s.x });
}
