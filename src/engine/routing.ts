/** Routing as it is read back from the GPU. */
import { logitsAt } from '../kernels/moe/route.ts';

/** Which experts one token took in one MoE layer, in the order of their rank. */
export interface LayerRouting {
  readonly ids: Uint32Array; // [K]
  readonly weights: Float32Array; // [K]
  /** What the router computed for every expert, before scores; at the level `logits` only. */
  readonly logits?: Float32Array; // [E]
}

/** Which part of a token's routing in a log lies where. */
export interface RoutingLayout {
  readonly topK: number;
  readonly predicted: number;
  readonly logits: number;
}

/** Of one token, alone in its log at `at`. Views, not copies. */
export const routingAt = (
  bytes: ArrayBuffer,
  at: number,
  { topK, predicted, logits }: RoutingLayout,
): LayerRouting => ({
  ids: new Uint32Array(bytes, at, topK),
  weights: new Float32Array(bytes, at + 4 * topK, topK),
  ...(logits ? { logits: new Float32Array(bytes, at + logitsAt(1, topK, predicted), logits) } : {}),
});

/** Of `tokens` tokens of a prompt, [T, K] and [T, E]; copies. */
export function chunkRoutingAt(bytes: ArrayBuffer, at: number, tokens: number, layout: RoutingLayout): LayerRouting {
  const { topK, predicted, logits } = layout;
  const ids = new Uint32Array(tokens * topK);
  const weights = new Float32Array(tokens * topK);
  for (let t = 0; t < tokens; t++) {
    const from = at + t * topK * 8;
    ids.set(new Uint32Array(bytes, from, topK), t * topK);
    weights.set(new Float32Array(bytes, from + 4 * topK, topK), t * topK);
  }
  if (!logits) return { ids, weights };
  return { ids, weights, logits: new Float32Array(bytes, at + logitsAt(tokens, topK, predicted), tokens * logits) };
}

export const distinct = (ids: Uint32Array): number[] => [...new Set(ids)];

/** Each expert's share of the router's weight, of which others may have some. */
export function sharesOf(experts: readonly number[], { ids, weights }: LayerRouting): Float64Array {
  const total = weights.reduce((a, w) => a + Math.abs(w), 0) || 1;
  const shares = new Float64Array(experts.length);
  ids.forEach((id, k) => {
    const at = experts.indexOf(id);
    if (at >= 0) shares[at]! += Math.abs(weights[k]!) / total;
  });
  return shares;
}
