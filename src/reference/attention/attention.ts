export interface AttentionTwin {
  readonly tokens: number;
  readonly position: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly scale: number;
  readonly window: number | null;
  /** Keys of the query's own stretch of `window` positions. Default false. */
  readonly chunked?: boolean;
  /** A score s counts as cap tanh(s / cap). */
  readonly softcap?: number | undefined;
  readonly capacity: number;
}

/**
 * Twin of shaders/attention/attention_prefill.wgsl and of attention_decode with attention_reduce.
 * q [T, H, keySize], k [Hk, capacity, keySize], v [Hk, capacity, valueSize], sinks [H]; returns [T, H, valueSize].
 */
export function attention(
  io: { q: ArrayLike<number>; kCache: ArrayLike<number>; vCache: ArrayLike<number>; sinks?: ArrayLike<number> },
  shape: AttentionTwin,
): Float64Array {
  const {
    tokens,
    position,
    heads,
    kvHeads,
    keySize,
    valueSize,
    scale,
    window,
    chunked = false,
    softcap,
    capacity,
  } = shape;
  const out = new Float64Array(tokens * heads * valueSize);
  for (let t = 0; t < tokens; t++) {
    for (let h = 0; h < heads; h++) {
      const kvHead = Math.floor(h / (heads / kvHeads));
      const query = position + t;
      const keys: number[] = [];
      const isSeen = (j: number): boolean =>
        window === null || (chunked ? Math.floor(j / window) === Math.floor(query / window) : j > query - window);
      for (let j = 0; j <= query; j++) if (isSeen(j)) keys.push(j);
      const scores = keys.map((j) => {
        let dot = 0;
        for (let d = 0; d < keySize; d++) {
          dot += io.q[(t * heads + h) * keySize + d]! * io.kCache[(kvHead * capacity + j) * keySize + d]!;
        }
        return softcap === undefined ? dot * scale : softcap * Math.tanh((dot * scale) / softcap);
      });
      const sink = io.sinks?.[h];
      const top = Math.max(...scores, sink ?? -Infinity);
      const weights = scores.map((s) => Math.exp(s - top));
      let denominator = sink === undefined ? 0 : Math.exp(sink - top);
      for (const w of weights) denominator += w;
      for (let d = 0; d < valueSize; d++) {
        let sum = 0;
        keys.forEach((j, i) => (sum += weights[i]! * io.vCache[(kvHead * capacity + j) * valueSize + d]!));
        out[(t * heads + h) * valueSize + d] = sum / denominator;
      }
    }
  }
  return out;
}
