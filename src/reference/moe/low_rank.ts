/** Twins of shaders/moe/low_rank_down.wgsl, low_rank_act.wgsl and low_rank_sum.wgsl. */
import type { Activation } from '../../config/model-config.ts';
import { activated } from '../activation.ts';
import { product } from './expert_up.ts';

/** What an adapter adds to a matrix [N, K] of an expert: B A. */
export interface LowRankMaps {
  readonly a: ArrayLike<number>; // [R, K]
  readonly b: ArrayLike<number>; // [N, R]
}

/** Of each pair, the row of x that it reads and the maps of its expert; null where it has none. */
export interface LowRankPair {
  readonly row: number;
  readonly maps: LowRankMaps | null;
}

/** @returns [P, R]; 0 where there are no maps */
export function lowRankDown(
  x: ArrayLike<number>,
  pairs: readonly LowRankPair[],
  { rank, cols }: { readonly rank: number; readonly cols: number },
): Float64Array {
  const hidden = new Float64Array(pairs.length * rank);
  pairs.forEach(({ row, maps }, p) => {
    for (let r = 0; maps && r < rank; r++) hidden[p * rank + r] = product(maps.a, r, x, row, cols);
  });
  return hidden;
}

/** B [N, R] times row p of hidden. */
const lifted = ({ b }: LowRankMaps, rows: number, hidden: Float64Array, p: number, rank: number): Float64Array =>
  Float64Array.from({ length: rows }, (_, n) => product(b, n, hidden, p, rank));

/**
 * @param products [P, 2F]: gates, then ups; without gates the rows of up
 * @param halves maps of gate and up [F, D], for each pair
 * @param hidden A x of either half [P, R]
 */
export function lowRankAct(
  products: ArrayLike<number>,
  halves: readonly (readonly LowRankPair[])[],
  hidden: readonly Float64Array[],
  { rank, width, activation }: { readonly rank: number; readonly width: number; readonly activation: Activation },
): Float64Array {
  const out: number[] = [];
  for (let p = 0; p < halves[0]!.length; p++) {
    const [gate, up] = halves.map((pairs, half) => {
      const { maps } = pairs[p]!;
      const added = maps ? lifted(maps, width, hidden[half]!, p, rank) : new Float64Array(width);
      return added.map((value, f) => products[(2 * p + half) * width + f]! + value);
    }) as [Float64Array, Float64Array];
    // As rows lie in a slot, which is what the activation takes.
    out.push(
      ...activated(
        activation,
        Array.from({ length: 2 * width }, (_, n) => (n % 2 ? up : gate)[n >> 1]!),
      ),
    );
  }
  return Float64Array.from(out);
}

/** @returns [T, D]: residual + scale * sum over k of weight * B hidden */
export function lowRankSum(
  io: {
    readonly hidden: Float64Array; // [P, R]
    readonly pairs: readonly LowRankPair[];
    readonly weights: ArrayLike<number>; // [P]
    readonly residual: ArrayLike<number> | null; // [T, D]
  },
  size: { readonly topK: number; readonly rank: number; readonly hidden: number; readonly scale: number },
): Float64Array {
  const { topK, rank, hidden: d, scale } = size;
  const tokens = io.pairs.length / topK;
  const out = Float64Array.from({ length: tokens * d }, (_, i) => io.residual?.[i] ?? 0);
  io.pairs.forEach(({ maps }, p) => {
    if (!maps) return;
    const t = Math.floor(p / topK);
    lifted(maps, d, io.hidden, p, rank).forEach((value, i) => (out[t * d + i]! += scale * io.weights[p]! * value));
  });
  return out;
}
