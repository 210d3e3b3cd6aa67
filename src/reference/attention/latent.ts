/** Twins of shaders/attention/latent_absorb.wgsl and latent_raise.wgsl, and of what attention_decode does of both. */
import { turnHead } from './turn.ts';

export interface LatentTwin {
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
  readonly eps: number;
  readonly qRow: number;
  readonly downRow: number;
  readonly latentAt: number;
}

export interface LatentInputs {
  readonly q: ArrayLike<number>; // [T, qRow]
  readonly down: ArrayLike<number>; // [T, downRow]
  readonly weights: ArrayLike<number>; // [H (nope + value), kvRank]
  readonly gamma: ArrayLike<number>; // [kvRank]
  readonly table: ArrayLike<number>;
  readonly cache: ArrayLike<number>; // [capacity, kvRank + rope]
}

/** q [T, H, kvRank + rope] for attention over latents, and the cache with the step's own rows. */
export function latentAbsorb(io: LatentInputs, shape: LatentTwin): { q: Float64Array; cache: Float64Array } {
  const { tokens, position, heads, nope, rope, value, kvRank, qRow, downRow, latentAt, eps } = shape;
  const key = kvRank + rope;
  const q = new Float64Array(tokens * heads * key);
  const cache = Float64Array.from(io.cache);
  for (let t = 0; t < tokens; t++) {
    const at = position + t;
    for (let h = 0; h < heads; h++) {
      const to = (t * heads + h) * key;
      const from = t * qRow + h * (nope + rope);
      for (let n = 0; n < nope; n++)
        for (let k = 0; k < kvRank; k++)
          q[to + k]! += io.q[from + n]! * io.weights[(h * (nope + value) + n) * kvRank + k]!;
      for (let r = 0; r < rope; r++) q[to + kvRank + r] = io.q[from + nope + r]!;
      turnHead(q, to + kvRank, io.table, at, shape);
    }
    let squares = 0;
    for (let k = 0; k < kvRank; k++) squares += io.down[t * downRow + latentAt + k]! ** 2;
    const scale = 1 / Math.sqrt(squares / kvRank + eps);
    for (let d = 0; d < key; d++)
      cache[at * key + d] = io.down[t * downRow + latentAt + d]! * (d < kvRank ? io.gamma[d]! * scale : 1);
    turnHead(cache, at * key + kvRank, io.table, at, shape);
  }
  return { q, cache };
}

/** attended [T, H, kvRank]; returns [T, H, value]. */
export function latentRaise(
  attended: ArrayLike<number>,
  weights: ArrayLike<number>,
  { tokens, heads, nope, value, kvRank }: Pick<LatentTwin, 'tokens' | 'heads' | 'nope' | 'value' | 'kvRank'>,
): Float64Array {
  return Float64Array.from({ length: tokens * heads * value }, (_, i) => {
    const [pair, v] = [Math.floor(i / value), i % value];
    const row = (pair % heads) * (nope + value) + nope + v;
    let sum = 0;
    for (let k = 0; k < kvRank; k++) sum += weights[row * kvRank + k]! * attended[pair * kvRank + k]!;
    return sum;
  });
}
