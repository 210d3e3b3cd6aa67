/** What an adapter adds to the chosen experts: scale * B (A x) beside each of their matrices, pair by pair, in decode as in prompts. */
import type { Activation } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';
import { activationConstants } from '../activation.ts';
import { matvecShape } from '../linear/matvec_shape.ts';
import { partsOf } from './slot.ts';

/** What `places` holds for an expert that the adapter leaves as it is. */
export const UNCHANGED = 0xffffffff;

interface Common {
  /** One after the other, of the experts that the adapter changes. */
  readonly maps: BufferView;
  readonly places: BufferView; // [E] u32: place in `maps`, or UNCHANGED
  readonly routed: BufferView; // [T, 2K]: ids, then weights
}

interface Shape {
  readonly topK: number; // K
  readonly rank: number; // R
}

export interface LowRankDownIo extends Common {
  // maps: A [S, R, cols]
  readonly x: BufferView; // [T, cols] with `byToken`, else [P, cols]
  /** Rows of x are in this order; without, and not `byToken`, in pair order. */
  readonly rowOfPair?: BufferView | undefined; // [P]
  readonly hidden: BufferView; // [P, R] out, in pair order
}

/** hidden = A x of every pair, A of its expert. */
export function lowRankDown(
  r: Recorder,
  label: string,
  { maps, places, routed, x, rowOfPair, hidden }: LowRankDownIo,
  { topK, rank, cols, byToken }: Shape & { readonly cols: number; readonly byToken: boolean },
): void {
  const lanes = r.gpu.facts.kernels === 'software' ? 1 : matvecShape({ rows: rank * topK, cols }).lanes;
  const parts = partsOf(lanes, cols);
  const byRow = !byToken && rowOfPair !== undefined;
  r.dispatch({
    shader: 'moe/low_rank_down',
    label,
    constants: { TOP_K: topK, R: rank, K: cols, PARTS: parts, BY_TOKEN: byToken, BY_ROW: byRow },
    bindings: { maps, places, routed, x, hidden, ...(byRow && { row_of_pair: rowOfPair }) },
    grid: ({ tokens }) => [ceilDiv(rank, 64 / parts), topK, tokens],
  });
}

export interface LowRankActIo extends Common {
  // maps: B [S, R, 2F], columns first
  readonly hidden: BufferView; // [P, 2R], in pair order: for gate, then for up
  /** As `expertUp` leaves them with `raw`. */
  readonly pairs: BufferView; // [P, 2F]
  /** The order of `pairs` and `act`; without it pair order. */
  readonly rowOfPair?: BufferView | undefined; // [P]
  readonly act: BufferView; // [P, F] out; without gates [P, 2F]
}

/** act = activate(gate + B A x, up + B A x), of products that are there already. */
export function lowRankAct(
  r: Recorder,
  label: string,
  { maps, places, routed, hidden, pairs, rowOfPair, act }: LowRankActIo,
  { topK, rank, width, activation }: Shape & { readonly width: number; readonly activation: Activation },
): void {
  const byRow = rowOfPair !== undefined;
  const constants = { TOP_K: topK, R: rank, F: width, BY_ROW: byRow, ...activationConstants(activation) };
  r.dispatch({
    shader: 'moe/low_rank_act',
    label,
    constants,
    bindings: { maps, places, routed, hidden, pairs, act, ...(byRow && { row_of_pair: rowOfPair }) },
    grid: ({ tokens }) => [ceilDiv(width, 64), topK, tokens],
  });
}

export interface LowRankSumIo extends Common {
  // maps: B [S, R, D], columns first
  readonly hidden: BufferView; // [P, R], in pair order
  /** Without it 0. */
  readonly residual?: BufferView | undefined; // [T, D]
  readonly out: BufferView; // [T, D] out, another buffer
}

/** out = residual + scale * sum over k of weight * B A act. */
export function lowRankSum(
  r: Recorder,
  label: string,
  { maps, places, routed, hidden, residual, out }: LowRankSumIo,
  {
    topK,
    rank,
    hidden: d,
    scale,
    unweighted,
  }: Shape & { readonly hidden: number; readonly scale: number; readonly unweighted: boolean },
): void {
  r.dispatch({
    shader: 'moe/low_rank_sum',
    label,
    constants: {
      TOP_K: topK,
      R: rank,
      D: d,
      OUT_SCALE: scale,
      RESIDUAL: residual !== undefined,
      UNWEIGHTED: unweighted,
    },
    bindings: { maps, places, routed, hidden, out, ...(residual && { residual }) },
    grid: ({ tokens }) => [ceilDiv(d, 64), 1, tokens],
  });
}
