/** Least recently used: the expert leaves that no visit has used for longest. */
import type { PolicyShape, ResidencyPolicy } from './policy.ts';

export function lru({ layers, experts }: PolicyShape): ResidencyPolicy {
  const usedAt = new Float64Array(layers * experts);
  let clock = 0;
  return {
    name: 'lru',
    visit(layer, used) {
      for (let i = 0; i < used.length; i++) usedAt[layer * experts + used[i]!] = ++clock;
    },
    staleness: (layer, expert) => clock - usedAt[layer * experts + expert]!,
    /** Says only who was used last: 1 for that expert, towards 0 for those never used. */
    popularity: (layer, expert) => (clock ? usedAt[layer * experts + expert]! / clock : 0),
    warm(popularity) {
      for (let i = 0; i < usedAt.length; i++) usedAt[i] = Math.max(usedAt[i]!, popularity[i]!);
      clock = Math.max(clock, 1);
    },
  };
}
