/** Least frequently used: the expert leaves that the fewest visits used; of several, the least recently used. */
import type { PolicyShape, ResidencyPolicy } from './policy.ts';

export function lfu({ layers, experts }: PolicyShape): ResidencyPolicy {
  const uses = new Float64Array(layers * experts);
  const usedAt = new Float64Array(layers * experts);
  const visits = new Float64Array(layers);
  let clock = 0;
  return {
    name: 'lfu',
    visit(layer, used) {
      visits[layer]!++;
      for (let i = 0; i < used.length; i++) {
        const at = layer * experts + used[i]!;
        uses[at]!++;
        usedAt[at] = ++clock;
      }
    },
    /** Counts are whole, and the share of the clock below one orders equal counts. */
    staleness: (layer, expert) => {
      const at = layer * experts + expert;
      return -uses[at]! - usedAt[at]! / (clock + 1);
    },
    popularity: (layer, expert) => (visits[layer] ? uses[layer * experts + expert]! / visits[layer] : 0),
    /** As if each layer had been visited once. */
    warm(popularity) {
      for (let i = 0; i < uses.length; i++) uses[i]! += popularity[i]!;
      for (let l = 0; l < layers; l++) visits[l]!++;
    },
  };
}
