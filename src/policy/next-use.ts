/** The expert leaves whose next use is estimated to be furthest away. */
import type { PolicyShape, ResidencyPolicy } from './policy.ts';

const FAST = 0.25;
const SLOW = 0.03;
const LEAST = 1e-4;

export function nextUse({ layers, experts }: PolicyShape): ResidencyPolicy {
  const fast = new Float64Array(layers * experts);
  const slow = new Float64Array(layers * experts);
  const chance = (at: number): number => 0.5 * (fast[at]! + slow[at]!);
  return {
    name: 'next-use',
    visit(layer, used) {
      const from = layer * experts;
      for (let at = from; at < from + experts; at++) {
        fast[at]! *= 1 - FAST;
        slow[at]! *= 1 - SLOW;
      }
      for (let i = 0; i < used.length; i++) {
        fast[from + used[i]!]! += FAST;
        slow[from + used[i]!]! += SLOW;
      }
    },
    staleness(layer, expert, atLayer) {
      const ahead = ((layer - atLayer + layers - 1) % layers) + 1;
      return ahead + layers * (1 / Math.max(chance(layer * experts + expert), LEAST) - 1);
    },
    popularity: (layer, expert) => chance(layer * experts + expert),
    warm(popularity) {
      fast.set(popularity);
      slow.set(popularity);
    },
  };
}
