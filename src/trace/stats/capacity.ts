/**
 * What would be dropped if each expert took a limited number of tokens, as in training with a capacity factor. A simulation: the models that webmoe
 * runs drop nothing.
 */
import type { Trace } from '../trace.ts';
import { loadChances, nothing, pairsDrawn, tokensDrawn, type Measured } from './chance.ts';
import { layerOf, type LayerCounts, type Part } from './select.ts';
import { takenIn, type Taken } from './taken.ts';

/** ⌈factor · T k / E⌉ (Lepikhin et al. 2020, arXiv 2006.16668; Fedus et al. 2021, eq. 3). */
export const capacityOf = (factor: number, pairs: number, experts: number): number =>
  Math.ceil(factor * (pairs / experts));

/** Share of the assignments that find their expert full, all tokens being one batch. @throws InvalidRequest for a layer that does not exist */
export function overflowOf(from: LayerCounts, layer: number, factor: number): Measured {
  const { counts, draws } = layerOf(from, layer);
  const pairs = pairsDrawn(draws);
  if (pairs === 0) return nothing;
  const capacity = capacityOf(factor, pairs, counts.length);
  const over = (c: ArrayLike<number> & { readonly length: number }): number => {
    let sum = 0;
    for (let e = 0; e < c.length; e++) sum += Math.max(0, c[e]! - capacity);
    return sum / pairs;
  };
  const [chance] = loadChances(`overflow ${factor}`, draws, 1, (c, out) => (out[0] = over(c)));
  return { value: over(counts), chance: chance!, n: tokensDrawn(draws) };
}

export interface Dropped {
  readonly capacity: number;
  /** Indices of the tokens, [n]. */
  readonly rows: Uint32Array;
  /** [n, K]: 1 where the assignment finds its expert full. */
  readonly dropped: Uint8Array;
  /** Of the tokens, those that keep no expert at all. */
  readonly lost: number;
  readonly overflow: number;
}

/**
 * Who is served first: `position`, all first choices in the order of the tokens, then all second ones (Riquelme et al. 2021, arXiv 2106.05974,
 * algorithm 1, GShard's order); `gate`, the same with the tokens of the largest first weight in front (algorithm 2, batch prioritized routing).
 * Without weights `gate` is `position`.
 * @throws InvalidRequest for a layer that does not exist
 */
export function dropTokens(
  trace: Trace,
  layer: number,
  { factor, order, part }: { readonly factor: number; readonly order: 'position' | 'gate'; readonly part?: Part },
): Dropped {
  const taken = takenIn(trace, layer, part);
  const { rows, ids, start, experts } = taken;
  const { topK } = trace.model;
  const capacity = capacityOf(factor, ids.length, experts);
  const used = new Uint32Array(experts);
  const dropped = new Uint8Array(rows.length * topK);
  const queue = order === 'gate' ? byGate(taken) : rows.map((_, r) => r);
  for (let k = 0; k < topK; k++)
    for (const r of queue) {
      const at = start[r]! + k;
      if (at < start[r + 1]! && used[ids[at]!]!++ >= capacity) dropped[r * topK + k] = 1;
    }
  let [over, lost] = [0, 0];
  for (let r = 0; r < rows.length; r++) {
    const n = dropped.subarray(r * topK, (r + 1) * topK).reduce((a, b) => a + b, 0);
    over += n;
    if (n > 0 && n === start[r + 1]! - start[r]!) lost++;
  }
  return { capacity, rows, dropped, lost, overflow: ids.length > 0 ? over / ids.length : 0 };
}

function byGate({ rows, weights, start }: Taken): Uint32Array {
  const score = rows.map((_, r) => r);
  if (!weights) return score;
  return score.sort((a, b) => (weights[start[b]!] ?? 0) - (weights[start[a]!] ?? 0) || a - b);
}
