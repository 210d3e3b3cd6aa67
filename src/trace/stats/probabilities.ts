/** A router's logits as the probabilities that its experts are chosen by. */
import type { Trace } from '../trace.ts';

/**
 * softmax(z), or for sigmoid routers s_i / Σ s_j with s = sigmoid(z) (DeepSeek-V3, arXiv 2412.19437, eq. 19). 0 for experts that the layer lacks.
 * @param out [E], overwritten
 * @returns false, with `out` as it was, when the trace has no logits for this token, or does not say how they are scored
 */
export function probabilitiesAt(
  { model: { layers, experts }, logits, scoring }: Trace,
  row: number,
  layer: number,
  out: Float64Array,
): boolean {
  if (!logits || !scoring) return false;
  const at = (row * layers + layer) * experts;
  let most = -Infinity;
  for (let e = 0; e < experts; e++) if (logits[at + e]! > most) most = logits[at + e]!;
  if (most === -Infinity) return false;
  let total = 0;
  for (let e = 0; e < experts; e++) {
    const z = logits[at + e]!;
    const score = scoring === 'softmax' ? Math.exp(z - most) : 1 / (1 + Math.exp(-z));
    total += out[e] = Number.isNaN(z) ? 0 : score;
  }
  for (let e = 0; e < experts; e++) out[e]! /= total;
  return true;
}
