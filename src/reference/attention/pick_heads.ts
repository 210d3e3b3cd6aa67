/** Twins of shaders/attention/pick_heads.wgsl and spread_heads.wgsl. */
export interface HeadMixtureTwin {
  readonly tokens: number;
  readonly experts: number;
  readonly topK: number;
  readonly group: number;
  readonly size: number;
}

export interface Picked {
  readonly picked: Float64Array; // [T, (K + 2) G A]
  readonly ids: readonly number[][]; // [T][K]
  readonly weights: readonly number[][]; // [T][K]
}

/** x [T, (E + 2) G A + E]. */
export function pickHeads(x: ArrayLike<number>, { tokens, experts, topK, group, size }: HeadMixtureTwin): Picked {
  const values = group * size;
  const row = (experts + 2) * values + experts;
  const ids: number[][] = [];
  const weights: number[][] = [];
  const picked: number[] = [];
  for (let t = 0; t < tokens; t++) {
    const at = (i: number): number => x[t * row + i]!;
    const logit = (e: number): number => at((experts + 2) * values + e);
    const order = Array.from({ length: experts }, (_, e) => e).sort((a, b) => logit(b) - logit(a) || a - b);
    const best = order.slice(0, topK);
    const powers = best.map((e) => Math.exp(logit(e) - logit(best[0]!)));
    const total = powers.reduce((a, b) => a + b, 0);
    ids.push(best);
    weights.push(powers.map((p) => p / total));
    for (let j = 0; j < group; j++)
      for (const e of best) for (let a = 0; a < size; a++) picked.push(at(e * values + j * size + a));
    for (let d = 0; d < 2 * values; d++) picked.push(at(experts * values + d));
  }
  return { picked: Float64Array.from(picked), ids, weights };
}

/** attended [T, G K, A]; returns [T, E, G, A]. */
export function spreadHeads(
  attended: ArrayLike<number>,
  { ids, weights }: Pick<Picked, 'ids' | 'weights'>,
  { tokens, experts, topK, group, size }: HeadMixtureTwin,
): Float64Array {
  const out = new Float64Array(tokens * experts * group * size);
  for (let t = 0; t < tokens; t++) {
    ids[t]!.forEach((e, k) => {
      for (let j = 0; j < group; j++)
        for (let a = 0; a < size; a++)
          out[((t * experts + e) * group + j) * size + a] =
            weights[t]![k]! * attended[((t * group + j) * topK + k) * size + a]!;
    });
  }
  return out;
}
