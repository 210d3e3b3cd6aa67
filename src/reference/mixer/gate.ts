/** Twin of shaders/mixer/gate.wgsl. x [T, size], gate [T, row]; returns x gated, [T, size]. */
export function gate(
  x: ArrayLike<number>,
  gates: ArrayLike<number>,
  { tokens, size, row, at, silu }: { tokens: number; size: number; row: number; at: number; silu: boolean },
): Float64Array {
  const out = new Float64Array(tokens * size);
  for (let t = 0; t < tokens; t++) {
    for (let i = 0; i < size; i++) {
      const g = gates[t * row + at + i]!;
      out[t * size + i] = (x[t * size + i]! * (silu ? g : 1)) / (1 + Math.exp(-g));
    }
  }
  return out;
}
