import { turnHead } from './turn.ts';

export interface LatentAppendTwin {
  readonly tokens: number;
  readonly position: number;
  readonly heads: number;
  readonly nope: number;
  readonly rope: number;
  readonly value: number;
  readonly kvRank: number;
  readonly capacity: number;
  readonly pairs: number;
  readonly interleaved: boolean;
  readonly qRow: number;
  readonly qAt: number;
  readonly upRow: number;
  readonly upAt: number;
  readonly downRow: number;
  readonly downAt: number;
}

/**
 * Twin of shaders/attention/latent_append.wgsl. Returns q [T, H, nope + rope] and the caches [H, capacity, nope + rope] and [H, capacity, value],
 * which keep what `kCache` and `vCache` had at the positions that this step does not write.
 */
export function latentAppend(
  io: {
    q: ArrayLike<number>;
    kvUp: ArrayLike<number>;
    kvDown: ArrayLike<number>;
    table: ArrayLike<number>;
    kCache: ArrayLike<number>;
    vCache: ArrayLike<number>;
  },
  shape: LatentAppendTwin,
): { q: Float64Array; kCache: Float64Array; vCache: Float64Array } {
  const { tokens, position, heads, nope, rope, value, kvRank, capacity } = shape;
  const key = nope + rope;
  const q = new Float64Array(tokens * heads * key);
  const kCache = Float64Array.from(io.kCache);
  const vCache = Float64Array.from(io.vCache);
  for (let t = 0; t < tokens; t++) {
    const at = position + t;
    for (let h = 0; h < heads; h++) {
      const toQ = (t * heads + h) * key;
      const toK = (h * capacity + at) * key;
      const up = t * shape.upRow + shape.upAt + h * (nope + value);
      for (let d = 0; d < key; d++) q[toQ + d] = io.q[t * shape.qRow + shape.qAt + h * key + d]!;
      for (let d = 0; d < nope; d++) kCache[toK + d] = io.kvUp[up + d]!;
      for (let d = 0; d < rope; d++) kCache[toK + nope + d] = io.kvDown[t * shape.downRow + shape.downAt + kvRank + d]!;
      for (let d = 0; d < value; d++) vCache[(h * capacity + at) * value + d] = io.kvUp[up + nope + d]!;
      turnHead(q, toQ + nope, io.table, at, shape);
      turnHead(kCache, toK + nope, io.table, at, shape);
    }
  }
  return { q, kCache, vCache };
}
