import type { GroupedAttention } from '../../config/model-config.ts';
import { turnHead } from './turn.ts';

export interface RotateAppendTwin {
  readonly tokens: number;
  readonly position: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly size: number; // A
  readonly capacity: number;
  /** Without gammas its gains are 1. */
  readonly norm: GroupedAttention['qkNorm'];
  readonly valueNorm?: boolean | undefined;
  readonly temperature?: GroupedAttention['temperature'] | undefined;
  readonly eps: number;
  readonly clip: number | null;
  readonly pairs: number;
  readonly interleaved: boolean;
}

/** x / rms(x) * gamma over stretches of `gamma.length` values. */
function normed(x: readonly number[], gamma: ArrayLike<number>, eps: number): number[] {
  const size = gamma.length;
  return x.map((value, i) => {
    const start = Math.floor(i / size) * size;
    let squares = 0;
    for (let d = start; d < start + size; d++) squares += x[d]! ** 2;
    return (value / Math.sqrt(squares / size + eps)) * gamma[i - start]!;
  });
}

/**
 * Twin of shaders/attention/rotate_append.wgsl. qkv [T, (H + 2 Hk) A], rope [positions, 2, pairs]; returns q [T, H, A] and the two caches
 * [Hk, capacity, A], which keep what `kCache` and `vCache` had at the positions that this step does not write.
 */
export function rotateAppend(
  io: {
    qkv: ArrayLike<number>;
    qGamma?: ArrayLike<number>;
    kGamma?: ArrayLike<number>;
    rope: ArrayLike<number>;
    kCache: ArrayLike<number>;
    vCache: ArrayLike<number>;
  },
  shape: RotateAppendTwin,
): { q: Float64Array; kCache: Float64Array; vCache: Float64Array } {
  const { tokens, position, heads, kvHeads, size, capacity, norm, eps, clip } = shape;
  const q = new Float64Array(tokens * heads * size);
  const kCache = Float64Array.from(io.kCache);
  const vCache = Float64Array.from(io.vCache);
  const clamp = (x: readonly number[]): number[] =>
    clip === null ? [...x] : x.map((v) => Math.min(clip, Math.max(-clip, v)));
  const turn = (x: number[], at: number): number[] => {
    for (let h = 0; h < x.length / size; h++) turnHead(x, h * size, io.rope, at, shape);
    return x;
  };

  for (let t = 0; t < tokens; t++) {
    const row = Array.from(
      { length: (heads + 2 * kvHeads) * size },
      (_, i) => io.qkv[t * (heads + 2 * kvHeads) * size + i]!,
    );
    const rawQ = row.slice(0, heads * size);
    const rawK = row.slice(heads * size, (heads + kvHeads) * size);
    const rawV = row.slice((heads + kvHeads) * size);
    const at = position + t;
    const ones = Array.from({ length: size }, () => 1);
    const made = (raw: number[], gamma: ArrayLike<number> = ones): number[] => {
      if (norm === 'none') return turn(clamp(raw), at);
      if (norm === 'per-head-rotated') return normed(turn(clamp(raw), at), gamma, eps);
      return turn(clamp(normed(raw, gamma, eps)), at);
    };
    const { temperature } = shape;
    const heat = temperature ? 1 + temperature.scale * Math.log(1 + Math.floor((at + 1) / temperature.every)) : 1;
    const outQ = made(rawQ, io.qGamma).map((value) => value * heat);
    const outV = clamp(shape.valueNorm ? normed(rawV, ones, eps) : rawV);
    const outK = made(rawK, io.kGamma);
    q.set(outQ, t * heads * size);
    for (let h = 0; h < kvHeads; h++) {
      kCache.set(outK.slice(h * size, (h + 1) * size), (h * capacity + at) * size);
      vCache.set(outV.slice(h * size, (h + 1) * size), (h * capacity + at) * size);
    }
  }
  return { q, kCache, vCache };
}
