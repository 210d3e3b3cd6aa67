/** Where the tokens of a step go, for the cost of expert kernels: as counted, or as even chance would have it. */
import type { ExpertTraffic } from '../../kernels/cost.ts';
import { ceilDiv, sum } from '../../util/math.ts';

/** @param rows of each expert, of one layer or of several that are alike: then the mean layer's, in which every cost rule is exact */
export function countedTraffic(layers: readonly ArrayLike<number>[]): ExpertTraffic {
  const rows = layers.map((counts) => Array.from(counts).filter((n) => n > 0));
  const mean = (of: (counts: readonly number[]) => number): number => sum(rows.map(of)) / Math.max(1, rows.length);
  return {
    distinct: mean((counts) => counts.length),
    pairs: mean(sum),
    tiles: (size) => mean((counts) => sum(counts.map((n) => ceilDiv(n, size)))),
  };
}

/** Chances of 0, 1, ... n successes. */
function binomials(n: number, p: number): number[] {
  if (p >= 1) return Array.from({ length: n + 1 }, (_, k) => (k === n ? 1 : 0));
  const chances: number[] = [];
  let log = n * Math.log1p(-p);
  for (let k = 0; k <= n; k++) {
    chances.push(Math.exp(log));
    log += Math.log((n - k) / (k + 1)) + Math.log(p / (1 - p));
  }
  return chances;
}

/** What is expected where every token takes `topK` different experts by even chance. Exact for one token. */
export function evenTraffic(tokens: number, { experts, topK }: { experts: number; topK: number }): ExpertTraffic {
  if (tokens === 1) return countedTraffic([new Uint32Array(topK).fill(1)]);
  const chances = binomials(tokens, topK / experts);
  return {
    distinct: experts * (1 - chances[0]!),
    pairs: tokens * topK,
    tiles: (size) => experts * sum(chances.map((chance, n) => chance * ceilDiv(n, size))),
  };
}
