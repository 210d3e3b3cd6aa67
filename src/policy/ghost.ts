/**
 * What more slots would bring: the keys that left last, in the order in which they left. A miss on the d-th newest of them would have been a hit
 * with d more slots. That is exact when experts leave in the order of their last use, and an estimate for other policies. O(log size) each.
 */
import { invariant } from '../util/assert.ts';

export interface GhostPoint {
  readonly moreSlots: number;
  /** Estimated rise of the hit rate, 0 to 1. */
  readonly gain: number;
}

export class Ghost {
  readonly #size: number;
  /** Where each remembered key stands in #keys. */
  readonly #place = new Map<number, number>();
  /** In the order of leaving, with holes where a key came back: [2 size]. */
  readonly #keys: Int32Array;
  /** Fenwick tree over the places: how many remembered keys lie before one. */
  readonly #tree: Int32Array;
  #end = 0;
  /** Misses by how many remembered keys were newer: [size]. */
  readonly #misses: Float64Array;
  #lookups = 0;

  /** @param size how many keys it remembers: the most slots that it can say anything about */
  constructor(size: number) {
    invariant(Number.isInteger(size) && size > 0, `a ghost of ${size} keys`);
    this.#size = size;
    this.#keys = new Int32Array(2 * size).fill(-1);
    this.#tree = new Int32Array(2 * size + 1);
    this.#misses = new Float64Array(size);
  }

  /** Experts that visits looked up: what gains are relative to. */
  onLookups(count: number): void {
    this.#lookups += count;
  }

  onLeave(key: number): void {
    this.#forget(key);
    if (this.#end === this.#keys.length) this.#closeHoles();
    this.#put(key);
    if (this.#place.size > this.#size) this.#forget(this.#place.keys().next().value!); // a Map lists its oldest key first
  }

  /** A miss, before its load. */
  onMiss(key: number): void {
    const place = this.#place.get(key);
    if (place === undefined) return;
    this.#misses[this.#place.size - this.#before(place + 1)]!++;
    this.#forget(key);
  }

  /** A load that is no miss, as of a guess. */
  onLoad(key: number): void {
    this.#forget(key);
  }

  /** By how much the hit rate would have been higher with more slots. */
  curve(moreSlots: readonly number[]): GhostPoint[] {
    return moreSlots.map((more) => {
      let misses = 0;
      for (let d = 0; d < Math.min(more, this.#size); d++) misses += this.#misses[d]!;
      return { moreSlots: more, gain: this.#lookups ? misses / this.#lookups : 0 };
    });
  }

  /** Lets old evidence fade. @param keep 0 forgets all, 1 nothing */
  age(keep: number): void {
    this.#lookups *= keep;
    for (let d = 0; d < this.#size; d++) this.#misses[d]! *= keep;
  }

  #put(key: number): void {
    this.#keys[this.#end] = key;
    this.#place.set(key, this.#end);
    this.#add(this.#end++, 1);
  }

  #forget(key: number): void {
    const place = this.#place.get(key);
    if (place === undefined) return;
    this.#place.delete(key);
    this.#keys[place] = -1;
    this.#add(place, -1);
  }

  /** Every `size` departures at most, so its cost spreads. */
  #closeHoles(): void {
    const keys = [...this.#place.keys()];
    this.#place.clear();
    this.#keys.fill(-1);
    this.#tree.fill(0);
    this.#end = 0;
    for (const key of keys) this.#put(key);
  }

  #add(place: number, by: number): void {
    for (let i = place + 1; i < this.#tree.length; i += i & -i) this.#tree[i]! += by;
  }

  #before(place: number): number {
    let count = 0;
    for (let i = place; i > 0; i -= i & -i) count += this.#tree[i]!;
    return count;
  }
}
