/** Which experts are resident in a replay, and who leaves: one pool of slots, one for each layer, or one for each group of layers. */
import type { PolicyShape, ResidencyPolicy } from '../policy/policy.ts';

/** `layer`: each layer has its own share; a number: so many neighbouring layers share. */
export type Pooling = 'global' | 'layer' | number;

export interface PoolOptions {
  readonly shape: PolicyShape;
  readonly pooling: Pooling;
  /** All pools together, in the unit of `sizes`. */
  readonly capacity: number;
  /** What an expert of each layer takes up: bytes, or 1 for equal slots. */
  readonly sizes: ArrayLike<number>;
}

interface Pool {
  readonly capacity: number;
  /** Keys of what is resident, in no order; swapped when one leaves. */
  readonly keys: Int32Array;
  count: number;
  used: number;
}

export class Pools {
  readonly #experts: number;
  readonly #sizes: ArrayLike<number>;
  readonly #poolOf: readonly Pool[]; // by layer
  /** Where each (layer, expert) stands in its pool's keys; -1: not resident. */
  readonly #place: Int32Array;

  constructor({ shape: { layers, experts }, pooling, capacity, sizes }: PoolOptions) {
    this.#experts = experts;
    this.#sizes = sizes;
    this.#place = new Int32Array(layers * experts).fill(-1);
    const width = pooling === 'global' ? layers : pooling === 'layer' ? 1 : pooling;
    const pools: Pool[] = [];
    this.#poolOf = Array.from({ length: layers }, (_, layer) => {
      const group = Math.floor(layer / width);
      pools[group] ??= emptyPool(
        // Cumulative rounding: the shares of all groups add up to the whole capacity.
        Math.floor((capacity * Math.min(layers, (group + 1) * width)) / layers) -
          Math.floor((capacity * group * width) / layers),
        layers * experts,
      );
      return pools[group];
    });
  }

  has(layer: number, expert: number): boolean {
    return this.#place[layer * this.#experts + expert]! >= 0;
  }

  add(layer: number, expert: number): void {
    const pool = this.#poolOf[layer]!;
    const key = layer * this.#experts + expert;
    this.#place[key] = pool.count;
    pool.keys[pool.count++] = key;
    pool.used += this.#sizes[layer]!;
  }

  remove(key: number): void {
    const layer = Math.floor(key / this.#experts);
    const pool = this.#poolOf[layer]!;
    const place = this.#place[key]!;
    const last = pool.keys[--pool.count]!;
    pool.keys[place] = last;
    this.#place[last] = place;
    this.#place[key] = -1;
    pool.used -= this.#sizes[layer]!;
  }

  /** Whether the layer's pool holds more than it should, or would with `more` experts of that layer. */
  isOver(layer: number, more = 0): boolean {
    const pool = this.#poolOf[layer]!;
    return pool.used + more * this.#sizes[layer]! > pool.capacity;
  }

  /** The key that the policy would let go first from the layer's pool, or -1 when all are kept. */
  victim(policy: ResidencyPolicy, layer: number, kept: (key: number) => boolean): number {
    const pool = this.#poolOf[layer]!;
    let worst = -1;
    let most = -Infinity;
    for (let i = 0; i < pool.count; i++) {
      const key = pool.keys[i]!;
      if (kept(key)) continue;
      const of = Math.floor(key / this.#experts);
      const staleness = policy.staleness(of, key - of * this.#experts, layer);
      if (staleness > most || (staleness === most && key < worst)) {
        most = staleness;
        worst = key;
      }
    }
    return worst;
  }
}

const emptyPool = (capacity: number, keys: number): Pool => ({
  capacity,
  keys: new Int32Array(keys),
  count: 0,
  used: 0,
});
