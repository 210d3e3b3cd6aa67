/** Which experts are resident in a replay, and who leaves: one pool of slots, one for each layer, or one for each group of layers. */
import type { PolicyShape, ResidencyPolicy } from '../policy/policy.ts';

/** What some layers share, in the unit of `sizes`. */
export interface PoolShare {
  readonly layers: readonly number[];
  readonly capacity: number;
}

/** `layer`: each layer has its own share; a number: so many neighbouring layers share; a list: who shares what, each layer once. */
export type Pooling = 'global' | 'layer' | number | readonly PoolShare[];

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
    const poolOf: Pool[] = [];
    for (const share of typeof pooling === 'object' ? pooling : equalShares(layers, pooling, capacity)) {
      const pool = emptyPool(share.capacity, share.layers.length * experts);
      for (const layer of share.layers) poolOf[layer] = pool;
    }
    this.#poolOf = poolOf;
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
    return this.#excess(layer, more) > 0;
  }

  /**
   * Keys that the policy lets go first, until the layer's pool has room for `more` experts of that layer; fewer when all others are kept.
   * They stay until `remove` is called.
   */
  victims(policy: ResidencyPolicy, layer: number, kept: (key: number) => boolean, more = 0, atLayer = layer): number[] {
    const pool = this.#poolOf[layer]!;
    let excess = this.#excess(layer, more);
    const found: number[] = [];
    while (excess > 0) {
      // One pass finds as many as suffice when all are as large as this layer's; a pool of mixed sizes may need another pass.
      const wanted = Math.ceil(excess / this.#sizes[layer]!);
      const taken = new Set(found);
      const stalest = this.#stalest(policy, pool, atLayer, wanted, (key) => kept(key) || taken.has(key));
      if (stalest.length === 0) break;
      for (const key of stalest) {
        if (excess <= 0) break;
        found.push(key);
        excess -= this.#sizes[Math.floor(key / this.#experts)]!;
      }
    }
    return found;
  }

  #excess(layer: number, more: number): number {
    const pool = this.#poolOf[layer]!;
    return pool.used + more * this.#sizes[layer]! - pool.capacity;
  }

  #stalest(
    policy: ResidencyPolicy,
    pool: Pool,
    atLayer: number,
    wanted: number,
    kept: (key: number) => boolean,
  ): number[] {
    const keys: number[] = [];
    const values: number[] = [];
    for (let i = 0; i < pool.count; i++) {
      const key = pool.keys[i]!;
      if (kept(key)) continue;
      const layer = Math.floor(key / this.#experts);
      const value = policy.staleness(layer, key - layer * this.#experts, atLayer);
      let place = keys.length;
      while (place > 0 && (values[place - 1]! < value || (values[place - 1] === value && keys[place - 1]! > key)))
        place--;
      if (place >= wanted) continue;
      keys.splice(place, 0, key);
      values.splice(place, 0, value);
      if (keys.length > wanted) {
        keys.pop();
        values.pop();
      }
    }
    return keys;
  }
}

function equalShares(layers: number, pooling: 'global' | 'layer' | number, capacity: number): PoolShare[] {
  const width = pooling === 'global' ? layers : pooling === 'layer' ? 1 : pooling;
  return Array.from({ length: Math.ceil(layers / width) }, (_, group) => {
    const from = group * width;
    const to = Math.min(layers, from + width);
    return {
      layers: Array.from({ length: to - from }, (_, i) => from + i),
      // Cumulative rounding: the shares of all groups add up to the whole capacity.
      capacity: Math.floor((capacity * to) / layers) - Math.floor((capacity * from) / layers),
    };
  });
}

const emptyPool = (capacity: number, keys: number): Pool => ({
  capacity,
  keys: new Int32Array(keys),
  count: 0,
  used: 0,
});
