/** Belady's optimum: the expert leaves whose next use is furthest away. Needs the future, so it serves replays only, as the ceiling. */
import { invariant } from '../util/assert.ts';
import type { PolicyShape, ResidencyPolicy } from './policy.ts';

export interface FutureVisit {
  readonly layer: number;
  readonly experts: ArrayLike<number>;
}

/** @param future every visit that will be made, in order */
export function belady({ layers, experts }: PolicyShape, future: Iterable<FutureVisit>): ResidencyPolicy {
  /** Of each (layer, expert), the visits that use it, latest first: the next use is the last entry. */
  const uses: number[][] = Array.from({ length: layers * experts }, () => []);
  let visits = 0;
  for (const { layer, experts: used } of future) {
    for (let i = 0; i < used.length; i++) uses[layer * experts + used[i]!]!.push(visits);
    visits++;
  }
  for (const list of uses) list.reverse();
  const nextUse = Float64Array.from(uses, (list) => list.at(-1) ?? Infinity);
  let now = 0;
  return {
    name: 'belady',
    visit(layer, used) {
      for (let i = 0; i < used.length; i++) {
        const at = layer * experts + used[i]!;
        invariant(uses[at]!.pop() === now, `visit ${now} is not the one that the future holds`);
        nextUse[at] = uses[at]!.at(-1) ?? Infinity;
      }
      now++;
    },
    staleness: (layer, expert) => nextUse[layer * experts + expert]! - now,
    popularity: (layer, expert) => 1 / (1 + nextUse[layer * experts + expert]! - now),
    warm: () => undefined,
  };
}
