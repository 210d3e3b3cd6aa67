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

/** Which rows of an input or a result are a pair's. */
interface Rows {
  /** Without it pair order. */
  readonly row_of_pair?: BufferView | undefined; // [P]
}

interface Shape {
  readonly topK: number; // K
  readonly rank: number; // R
}

/** @param pairs of one row, where rows are not in another order */
const shared = ({ topK, rank }: Shape, { row_of_pair }: Rows = {}, pairs = 1): Record<string, number | boolean> => ({
  TOP_K: topK,
  R: rank,
  BY_ROW: row_of_pair !== undefined,
  ...(row_of_pair === undefined && { PAIRS_A_ROW: pairs }),
});

/** Without what is undefined. */
const bound = (views: Readonly<Record<string, BufferView | undefined>>): Record<string, BufferView> =>
  Object.fromEntries(Object.entries(views).filter((entry): entry is [string, BufferView] => entry[1] !== undefined));

export interface LowRankDownIo extends Common, Rows {
  // maps: A [S, R, cols]
  readonly x: BufferView; // [P, cols], with `byToken` [T, cols]
  readonly hidden: BufferView; // [P, R] out, in pair order
}

/** hidden = A x of every pair, A of its expert. */
export function lowRankDown(
  r: Recorder,
  label: string,
  io: LowRankDownIo,
  shape: Shape & { readonly cols: number; readonly byToken: boolean },
): void {
  const { topK, rank, cols, byToken } = shape;
  const lanes = r.gpu.facts.kernels === 'software' ? 1 : matvecShape({ rows: rank * topK, cols }).lanes;
  const parts = partsOf(lanes, cols);
  r.dispatch({
    shader: 'moe/low_rank_down',
    label,
    constants: { ...shared(shape, io, byToken ? topK : 1), K: cols, PARTS: parts },
    bindings: bound({ ...io }),
    grid: ({ tokens }) => [ceilDiv(rank, 64 / parts), topK, tokens],
  });
}

export interface LowRankActIo extends Common, Rows {
  // maps: B [S, R, 2F], columns first
  readonly hidden: BufferView; // [P, 2R], in pair order: for gate, then for up
  /** As `expertUp` leaves them with `raw`. */
  readonly pairs: BufferView; // [P, 2F]
  readonly act: BufferView; // [P, F] out; without gates [P, 2F]
}

/** act = activate(gate + B A x, up + B A x), of products that are there already. */
export function lowRankAct(
  r: Recorder,
  label: string,
  io: LowRankActIo,
  shape: Shape & { readonly width: number; readonly activation: Activation },
): void {
  const { topK, width, activation } = shape;
  r.dispatch({
    shader: 'moe/low_rank_act',
    label,
    constants: { ...shared(shape, io), F: width, ...activationConstants(activation) },
    bindings: bound({ ...io }),
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
  io: LowRankSumIo,
  shape: Shape & { readonly hidden: number; readonly scale: number; readonly unweighted: boolean },
): void {
  const { hidden, scale, unweighted } = shape;
  const flags = { RESIDUAL: io.residual !== undefined, UNWEIGHTED: unweighted };
  r.dispatch({
    shader: 'moe/low_rank_sum',
    label,
    constants: { ...shared(shape), D: hidden, OUT_SCALE: scale, ...flags },
    bindings: bound({ ...io }),
    grid: ({ tokens }) => [ceilDiv(hidden, 64), 1, tokens],
  });
}
