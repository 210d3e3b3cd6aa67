/** Twin of shaders/attention/attention_biased.wgsl. */

export interface AttentionBiasedShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly size: number;
  readonly capacity: number;
  readonly scale: number;
  readonly position: number;
  /** Keys that token t sees, up to one. */
  readonly seen: (t: number) => number;
  /** The first of them. Default 0. */
  readonly from?: (t: number) => number;
  /** A logit of each head that joins the softmax. Default: none. */
  readonly sinks?: ArrayLike<number>;
  /** What head h adds for a key at a distance (its position less the query's). */
  readonly bias: (distance: number, h: number) => number;
}

/** q [T, heads, size], keys and values [kv heads, capacity, size]; returns [T, heads, size]. */
export function attentionBiased(
  { q, keys, values }: Readonly<Record<'q' | 'keys' | 'values', ArrayLike<number>>>,
  { heads, kvHeads, size, capacity, scale, position, seen, bias, from: first = () => 0, sinks }: AttentionBiasedShape,
): Float64Array {
  const out = new Float64Array(q.length);
  for (let row = 0; row < q.length / size; row++) {
    const [t, h] = [Math.floor(row / heads), row % heads];
    const from = Math.floor(h / (heads / kvHeads)) * capacity;
    const begin = first(t);
    const scores = Array.from({ length: seen(t) - begin }, (_, i) => {
      const j = begin + i;
      let product = 0;
      for (let d = 0; d < size; d++) product += q[row * size + d]! * keys[(from + j) * size + d]!;
      return scale * product + bias(j - position - t, h);
    });
    const sink = sinks ? sinks[h]! : -Infinity;
    const top = Math.max(...scores, sink);
    const weights = scores.map((s) => Math.exp(s - top));
    const total = weights.reduce((a, b) => a + b, Math.exp(sink - top));
    for (let d = 0; d < size; d++) {
      for (const [j, weight] of weights.entries())
        out[row * size + d]! += (weight / total) * values[(from + begin + j) * size + d]!;
    }
  }
  return out;
}
