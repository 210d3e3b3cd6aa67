/**
 * What more slots would bring: the keys that left last, in the order in which they left. A miss on the d-th newest of them would have been a hit
 * with d more slots. That is exact when experts leave in the order of their last use, and a good estimate for the other policies. O(log size) each.
 */
import { invariant } from '../util/assert.ts';

export interface GhostPoint {
  readonly moreSlots: number;
  /** Estimated rise of the hit rate, 0 to 1. */
  readonly gain: number;
}

export class Ghost {
  readonly #size: number;
  /** Place in the ring of each remembered key, and back; -1: empty. */
  readonly #place = new Map<number, number>();
  readonly #keys: Int32Array;
  /** Fenwick tree over the ring: how many remembered keys lie before a place. */
  readonly #tree: Int32Array;
  /** Misses by how many places, in the order of leaving, were newer: [size]. */
  readonly #missesAt: Float64Array;
  #head = 0;
  #lookups = 0;

  /** @param size how many keys it remembers: the most slots that it can say anything about */
  constructor(size: number) {
    invariant(Number.isInteger(size) && size > 0, `a ghost of ${size} keys`);
    this.#size = size;
    this.#keys = new Int32Array(size).fill(-1);
    this.#tree = new Int32Array(size + 1);
    this.#missesAt = new Float64Array(size);
  }

  /** Counts experts looked up: what gains are relative to. */
  onLookups(count: number): void {
    this.#lookups += count;
  }

  onLeave(key: number): void {
    this.#forget(key);
    const place = this.#head;
    const oldest = this.#keys[place]!;
    if (oldest >= 0) this.#forget(oldest);
    this.#keys[place] = key;
    this.#place.set(key, place);
    this.#add(place, 1);
    this.#head = (place + 1) % this.#size;
  }

  /** A miss, before its load. */
  onMiss(key: number): void {
    const place = this.#place.get(key);
    if (place === undefined) return;
    this.#missesAt[this.#newerThan(place)]!++;
    this.#forget(key);
  }

  /** A load that is no miss, as of a guess. */
  onLoad(key: number): void {
    this.#forget(key);
  }

  /** By how much the hit rate since the start, or since `age`, would have been higher with more slots. */
  curve(moreSlots: readonly number[]): GhostPoint[] {
    return moreSlots.map((more) => {
      let misses = 0;
      for (let d = 0; d < Math.min(more, this.#size); d++) misses += this.#missesAt[d]!;
      return { moreSlots: more, gain: this.#lookups ? misses / this.#lookups : 0 };
    });
  }

  /** Lets old evidence fade, as of an earlier topic. @param keep 0 forgets all, 1 nothing */
  age(keep: number): void {
    this.#lookups *= keep;
    for (let d = 0; d < this.#size; d++) this.#missesAt[d]! *= keep;
  }

  #forget(key: number): void {
    const place = this.#place.get(key);
    if (place === undefined) return;
    this.#place.delete(key);
    this.#keys[place] = -1;
    this.#add(place, -1);
  }

  /** The ring's order from newest: head - 1 downwards, around, to head. */
  #newerThan(place: number): number {
    const all = this.#before(this.#size);
    const upTo = this.#before(place + 1);
    const older = place < this.#head ? upTo + all - this.#before(this.#head) : upTo - this.#before(this.#head);
    return all - older;
  }

  #add(place: number, by: number): void {
    for (let i = place + 1; i <= this.#size; i += i & -i) this.#tree[i]! += by;
  }

  #before(place: number): number {
    let count = 0;
    for (let i = place; i > 0; i -= i & -i) count += this.#tree[i]!;
    return count;
  }
}
