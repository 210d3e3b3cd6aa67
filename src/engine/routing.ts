/** Routing as it is read back from the GPU. */

/** Which experts one token took in one MoE layer, in the order of their rank. */
export interface LayerRouting {
  readonly ids: Uint32Array; // [K]
  readonly weights: Float32Array; // [K]
}

/** Views, not copies. */
export const routingAt = (bytes: ArrayBuffer, at: number, topK: number): LayerRouting => ({
  ids: new Uint32Array(bytes, at, topK),
  weights: new Float32Array(bytes, at + 4 * topK, topK),
});

export const distinct = (ids: Uint32Array): number[] => [...new Set(ids)];

/** Each expert's share of the router's weight. */
export function sharesOf(experts: readonly number[], { ids, weights }: LayerRouting): Float64Array {
  const total = weights.reduce((a, w) => a + Math.abs(w), 0) || 1;
  const shares = new Float64Array(experts.length);
  ids.forEach((id, k) => (shares[experts.indexOf(id)]! += Math.abs(weights[k]!) / total));
  return shares;
}
