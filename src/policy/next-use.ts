/**
 * The expert leaves whose next use is estimated to be furthest away, in layers:
 *
 *   staleness = ahead + L (1 - next) / p        ahead: layers until its layer runs, 1 to L
 *
 * p, the chance that a visit of its layer uses it, is popularity at two speeds: the last few visits, and all of them as long as they are few, then
 * about the last hundred. A use counts by the square root of its share of the router's weight, because experts that barely made it come back less.
 * `next`, the chance that the very next visit does, leans on what followed when the routing last looked like now (echo.ts); where that knows
 * nothing, next = p, and the formula is the mean wait of a coin with chance p.
 */
import { Echo } from './echo.ts';
import type { PolicyShape, ResidencyPolicy } from './policy.ts';

const FAST = 0.25;
const SLOW = 0.01;
const FAST_SHARE = 0.4;
/** A never-used expert waits this many visits at most; distances stay finite and ordered. */
const LEAST_CHANCE = 1e-4;
/** A dominant expert of a token counts no more than this. */
const MOST_PER_USE = 1.5;
/** How many visits an earlier session's popularity is worth. */
const WARM_VISITS = 20;

export function nextUse(shape: PolicyShape): ResidencyPolicy {
  const { layers, experts } = shape;
  const fast = new Float64Array(layers * experts);
  const slow = new Float64Array(layers * experts);
  const visits = new Float64Array(layers);
  const echo = new Echo(shape);
  const popularity = (layer: number, expert: number): number => {
    const at = layer * experts + expert;
    return Math.min(1, FAST_SHARE * fast[at]! + (1 - FAST_SHARE) * slow[at]!);
  };

  function count(layer: number, used: ArrayLike<number>, weights: ArrayLike<number> | undefined, total: number): void {
    const from = layer * experts;
    const seen = ++visits[layer]!;
    const fastRate = Math.max(FAST, 1 / (seen + 1));
    const slowRate = Math.max(SLOW, 1 / (seen + 1));
    for (let at = from; at < from + experts; at++) {
      fast[at]! *= 1 - fastRate;
      slow[at]! *= 1 - slowRate;
    }
    for (let i = 0; i < used.length; i++) {
      const share = weights ? (weights[i]! / total) * used.length : 1;
      const worth = Math.min(MOST_PER_USE, Math.sqrt(share));
      fast[from + used[i]!]! += fastRate * worth;
      slow[from + used[i]!]! += slowRate * worth;
    }
  }

  return {
    name: 'next-use',
    visit(layer, used, weights) {
      let total = 0; // each token's shares add up to 1
      for (let i = 0; i < used.length; i++) total += weights?.[i] ?? 0;
      count(layer, used, total > 0 ? weights : undefined, total);
      echo.visit(layer, used, total < 1.5);
    },
    staleness(layer, expert, atLayer) {
      const ahead = ((layer - atLayer + layers - 1) % layers) + 1;
      const p = Math.max(popularity(layer, expert), LEAST_CHANCE);
      const next = echo.isReady ? echo.chance(layer, expert, p) : p;
      return ahead + (layers * (1 - next)) / p;
    },
    popularity,
    warm(earlier) {
      fast.set(earlier);
      slow.set(earlier);
      visits.fill(WARM_VISITS);
    },
  };
}
