/** Whether a few experts do most of the work. */
import { loadChances, tokensDrawn, type Chance } from './chance.ts';
import { layerOf, type LayerCounts } from './select.ts';

export interface Popularity {
  /** Experts by load, the busiest first; of equals, the lower id. */
  readonly order: Uint32Array;
  /** Load shares in that order. */
  readonly share: Float64Array;
  /** What each place would have by chance: also of even experts one is the busiest. null without tokens. */
  readonly chance: readonly Chance[] | null;
  /** Lorenz curve, [E + 1]: share of the load that the least busy 0, 1, ... E experts take. */
  readonly lorenz: Float64Array;
}

/** @throws InvalidRequest for a layer that does not exist */
export function popularityCurve(from: LayerCounts, layer: number): Popularity {
  const { counts, draws } = layerOf(from, layer);
  const order = Uint32Array.from(counts.keys()).sort((a, b) => counts[b]! - counts[a]! || a - b);
  const total = Math.max(
    1,
    counts.reduce((a, b) => a + b, 0),
  );
  const share = Float64Array.from(order, (e) => counts[e]! / total);
  const lorenz = new Float64Array(share.length + 1);
  for (let i = 0; i < share.length; i++) lorenz[i + 1] = lorenz[i]! + share[share.length - 1 - i]!;
  const chance = tokensDrawn(draws) > 0 ? loadChances('popularity', draws, share.length, sortedShares) : null;
  return { order, share, chance, lorenz };
}

function sortedShares(counts: Float64Array, out: Float64Array): void {
  const total = counts.reduce((a, b) => a + b, 0);
  out.set(counts);
  out.sort().reverse();
  for (let i = 0; i < out.length; i++) out[i]! /= total;
}
