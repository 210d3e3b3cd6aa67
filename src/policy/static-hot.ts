/** Ranks fixed by the popularity given at the start: what pinning a profile's favourites comes to. */
import type { PolicyShape, ResidencyPolicy } from './policy.ts';

export function staticHot({ layers, experts }: PolicyShape): ResidencyPolicy {
  const chance = new Float64Array(layers * experts);
  return {
    name: 'static-hot',
    visit: () => undefined,
    staleness: (layer, expert) => 1 - chance[layer * experts + expert]!,
    popularity: (layer, expert) => chance[layer * experts + expert]!,
    warm: (popularity) => chance.set(popularity),
  };
}
