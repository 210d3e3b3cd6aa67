/**
 * Localized filtering (Yuan 2): q and k read norm(h + b), v reads h = norm(x), where a = W1 h[t-1] + W2 h[t] + bias and b = W3 a[t-1] + W4 a[t] + bias. Before
 * the first token both h and a are 0.
 */
import type { GroupedAttention } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { causalConv } from '../kernels/mixer/causal_conv.ts';
import { rmsNorm } from '../kernels/norm/rms_norm.ts';
import { invariant } from '../util/assert.ts';
import type { AttentionStep } from './attention.ts';
import { linear } from './linear.ts';
import { norm } from './norm.ts';
import type { DeviceParts } from './parts.ts';
import type { FilterWeights, GroupedWeights } from './weights.ts';

/** h and a of the last token; each is there twice, as every state (mixer_step.ts). */
export interface FilterState<T> {
  readonly inputs: T; // [2, 1, D]
  readonly inner: T; // [2, 1, D / 2]
}

type Weights = GroupedWeights<DeviceParts, BufferView>;

/** a, or b: what the matrices of both tokens make of x, and `residual`. */
interface Convolution {
  readonly x: BufferView;
  readonly state: BufferView;
  readonly matrices: FilterWeights<DeviceParts, BufferView>['first'];
  readonly bias: BufferView;
  readonly residual?: BufferView;
  /** Of the token before; then of both. */
  readonly part: BufferView;
  readonly out: BufferView;
}

function convolve(r: Recorder, shift: BufferView, { label, phase, scratch }: AttentionStep, c: Convolution): void {
  const [before, now] = c.matrices;
  const channels = now.cols;
  const x = scratch.selected;
  causalConv(
    r,
    `${label} token before`,
    { x: c.x, taps: shift, state: c.state, out: x },
    { channels, taps: 2, row: channels, at: 0, silu: false },
  );
  const residual = c.residual ? { residual: c.residual } : {};
  linear(r, `${label} of before`, { x, weights: before, out: c.part, ...residual }, { phase });
  linear(r, `${label} of now`, { x: c.x, weights: now, bias: c.bias, residual: c.part, out: c.out }, { phase });
}

/** A matrix whose rows are columns of a wider result, from `at` on. */
const placed = (weights: DeviceParts, at: number): DeviceParts => ({
  ...weights,
  parts: weights.parts.map(({ firstRow, matrix }) => ({ firstRow: firstRow + at, matrix })),
});

/** q, k and v heads of every token, in `mid`. */
export function filteredProjections(
  r: Recorder,
  { normEps }: NonNullable<GroupedAttention['filter']>,
  { filter, qkv }: Weights,
  s: AttentionStep,
): void {
  const { label, phase, x, norm: gamma, scratch, cache } = s;
  invariant(filter && gamma && 'filter' in cache && cache.filter, `${label}: a filter without weights or a state`);
  const { normed, mid, qRaw, raised: inner, qLatent, attended: filtered } = scratch;
  const size = filter.v.cols;
  norm(r, `${label} norm`, { x, gamma, out: normed }, { kind: s.normKind, size, eps: s.eps });
  const { inputs, inner: innerState } = cache.filter;
  const first = { x: normed, state: inputs, matrices: filter.first, bias: filter.firstBias, part: qRaw, out: inner };
  convolve(r, filter.shift, { ...s, label: `${label} filter in` }, first);
  const second = { x: inner, state: innerState, matrices: filter.second, bias: filter.secondBias, part: qLatent };
  convolve(r, filter.shift, { ...s, label: `${label} filter out` }, { ...second, residual: normed, out: filtered });
  const outRow = qkv.rows + filter.v.rows;
  linear(r, `${label} v`, { x: normed, weights: placed(filter.v, qkv.rows), out: mid }, { phase, outRow });
  rmsNorm(r, `${label} filter norm`, { x: filtered, gamma: filter.norm, out: normed }, { size, eps: normEps });
  linear(r, `${label} qk`, { x: normed, weights: qkv, out: mid }, { phase, outRow });
}
