/** Twin of shaders/moe/router_state.wgsl. */
import { gelu } from '../gelu.ts';
import { rmsNorm } from '../norm/rms_norm.ts';

export interface RouterStateTwin {
  readonly down: ArrayLike<number>; // [T, R]
  /** Bias, gains of the state before, gains of the norm; weights by input and biases of both layers. */
  readonly vectors: ArrayLike<number>; // [R, R, R, R R, R, R R, R]
  /** Of the layer before; null: there is none. */
  readonly before: ArrayLike<number> | null; // [T, R]
}

/** @returns the states, and what the router maps to logits, [T, R] each */
export function routerState(
  { down, vectors, before }: RouterStateTwin,
  { tokens, size, eps }: { readonly tokens: number; readonly size: number; readonly eps: number },
): { states: Float64Array; out: Float64Array } {
  const part = (at: number, length: number): number[] => Array.from({ length }, (_, i) => vectors[at + i]!);
  const states = Float64Array.from(
    { length: tokens * size },
    (_, i) => down[i]! + vectors[i % size]! + (before ? vectors[size + (i % size)]! * before[i]! : 0),
  );
  const normed = rmsNorm(states, part(2 * size, size), { tokens, size, eps });
  const layer = (h: Float64Array, at: number): Float64Array =>
    h.map((_, r) => {
      let sum = vectors[at + size * size + r]!;
      for (let k = 0; k < size; k++) sum += vectors[at + k * size + r]! * h[k]!;
      return gelu(sum);
    });
  const out = new Float64Array(tokens * size);
  for (let t = 0; t < tokens; t++) {
    const first = layer(normed.slice(t * size, (t + 1) * size), 3 * size);
    out.set(layer(first, 4 * size + size * size), t * size);
  }
  return { states, out };
}
