/** A dense feed-forward: act(gate x) * up x, then down. Serves dense layers and shared experts. */
import { valueRows } from '../config/activation.ts';
import type { Activation, NormKind } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { glu } from '../kernels/linear/glu.ts';
import { gluPairs } from '../kernels/linear/glu_pairs.ts';
import { gluTriples, productsOf } from '../kernels/linear/glu_triples.ts';
import { fusesNorm } from '../kernels/linear/shared.ts';
import type { Phase } from './attention.ts';
import { linear } from './linear.ts';
import { addNormed, norm } from './norm.ts';
import { onlyPart, type DeviceParts } from './parts.ts';
import type { DenseWeights } from './weights.ts';

export interface DenseBias {
  readonly gateUp: BufferView; // [2 width], without gates [width]
  readonly down: BufferView; // [D]
  readonly pairs: BufferView; // [T, 2 width] scratch
}

export interface FfnStep {
  readonly label: string;
  readonly phase: Phase;
  readonly activation: Activation;
  readonly weights: DenseWeights<DeviceParts>;
  /** Already normed, unless `norm` says how. */
  readonly x: BufferView; // [T, D]
  readonly norm?: { readonly gamma: BufferView; readonly eps: number };
  readonly hidden: BufferView; // [T, width] scratch; of a double gate with room for its products
  /** The products of gate and up, to which biases are added in front of the activation. Default and null: there are none. */
  readonly bias?: DenseBias | null;
  readonly residual?: BufferView | undefined; // [T, D]
  readonly rowScale?: BufferView; // [T]
  /** Multiplies the feed-forward before it joins the residual. */
  readonly scale: number;
  readonly out: BufferView; // [T, D]
}

/** out = residual + scale * rowScale * ffn(x). */
export function feedForward(r: Recorder, s: FfnStep): void {
  const { label, phase, weights, hidden, residual, rowScale, out } = s;
  gateUp(r, s);
  const io = { x: hidden, weights: weights.down, bias: s.bias?.down ?? null, out };
  linear(
    r,
    `${label} down`,
    { ...io, ...(residual ? { residual } : {}), ...(rowScale ? { rowScale } : {}) },
    { phase, scale: s.scale },
  );
}

/**
 * hidden = act(gate h, up h). What an adapter or a bias adds comes before the activation, which is a dispatch of its own then, as it is for a double
 * gate.
 */
function gateUp(r: Recorder, { label, phase, activation, weights, x, norm, hidden, bias }: FfnStep): void {
  const name = `${label} gate up`;
  const { lowRank } = weights.gateUp;
  const io = { x, ...(norm && { gamma: norm.gamma }) };
  const options = { phase, ...(norm && { eps: norm.eps }) };
  if (valueRows(activation) === 3) {
    linear(r, name, { ...io, weights: weights.gateUp, out: productsOf(hidden) }, options);
    gluTriples(r, `${name} activation`, { values: hidden }, { width: weights.gateUp.rows / 3 });
    return;
  }
  const pairs = bias?.pairs ?? lowRank?.scratch.pairs;
  if (!pairs) {
    glu(r, name, { ...io, weights: onlyPart(weights.gateUp), out: hidden }, { ...options, activation });
    return;
  }
  linear(r, name, { ...io, weights: weights.gateUp, bias: bias?.gateUp ?? null, out: pairs }, options);
  gluPairs(r, `${name} activation`, { pairs, out: hidden }, { pairs: weights.gateUp.rows / 2, activation });
}

interface DenseStep extends Omit<FfnStep, 'residual' | 'rowScale' | 'norm'> {
  readonly gamma: BufferView | null;
  readonly normed: BufferView;
  readonly normKind: NormKind;
  /** Multiplies x and what is added; only with `postNorm`. */
  readonly total: BufferView | null;
  /** What is added goes through this norm first; null: it is added as it is. */
  readonly postNorm: BufferView | null;
  readonly joinGains?: boolean; // see layers/norm.ts
  /** The feed-forward joins norm(x) in place of x: see `ModelConfig.normedStream`. Default false. */
  readonly normedStream?: boolean;
  readonly eps: number;
}

/** What gate and up read. */
function inputOf(r: Recorder, s: DenseStep): Pick<FfnStep, 'x' | 'norm'> {
  const { label, phase, x, gamma, normed, normKind: kind, eps } = s;
  if (!gamma) return { x };
  if (kind === 'rms' && fusesNorm(r.gpu.facts.kernels, phase)) return { x, norm: { gamma, eps } };
  norm(r, `${label} norm`, { x, gamma, out: normed }, { kind, size: s.weights.gateUp.cols, eps });
  return { x: normed };
}

/** out = x + scale * ffn(norm(x)), without gains ffn(x): a dense layer. */
export function denseLayer(r: Recorder, s: DenseStep): void {
  const { x, normed, postNorm } = s;
  const size = s.weights.gateUp.cols;
  const input = inputOf(r, s);
  if (!postNorm) {
    feedForward(r, { ...s, ...input, residual: s.normedStream ? input.x : x });
    return;
  }
  feedForward(r, { ...s, ...input, out: normed, scale: 1 });
  addNormed(r, s, normed, postNorm, size);
}
