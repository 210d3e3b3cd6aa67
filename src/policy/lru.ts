/** Least recently used: the expert leaves that no visit has used for longest. */
import type { PolicyShape, ResidencyPolicy } from './policy.ts';

export function lru({ layers, experts }: PolicyShape): ResidencyPolicy {
  const usedAt = new Float64Array(layers * experts);
  /** The last visit of its layer that used it, counted from 1; 0: none. */
  const lastVisit = new Float64Array(layers * experts);
  const visits = new Float64Array(layers);
  let clock = 0;
  return {
    name: 'lru',
    visit(layer, used) {
      visits[layer]!++;
      for (let i = 0; i < used.length; i++) {
        const at = layer * experts + used[i]!;
        usedAt[at] = ++clock;
        lastVisit[at] = visits[layer]!;
      }
    },
    staleness: (layer, expert) => clock - usedAt[layer * experts + expert]!,
    /** One use in as many visits as have passed since. */
    popularity: (layer, expert) => {
      const last = lastVisit[layer * experts + expert]!;
      return last ? 1 / (1 + visits[layer]! - last) : usedAt[layer * experts + expert]!;
    },
    /** Before the first visit: the less popular were used longer ago. */
    warm: (popularity) => usedAt.set(popularity),
  };
}
