/** Twin of shaders/moe/combine.wgsl. */
export function combine(
  input: {
    readonly y: ArrayLike<number>; // [P, D]
    readonly rowOfPair: ArrayLike<number>; // [P]
    readonly weights: ArrayLike<number>; // [T, K]
    readonly residual?: ArrayLike<number> | undefined; // [T, D]
  },
  size: { readonly hidden: number; readonly topK: number; readonly scale?: number },
): Float64Array {
  const { y, rowOfPair, weights, residual } = input;
  const { hidden, topK, scale = 1 } = size;
  const out = residual ? Float64Array.from(residual) : new Float64Array((rowOfPair.length / topK) * hidden);
  for (let pair = 0; pair < rowOfPair.length; pair++) {
    const t = Math.floor(pair / topK);
    for (let d = 0; d < hidden; d++) out[t * hidden + d]! += scale * weights[pair]! * y[rowOfPair[pair]! * hidden + d]!;
  }
  return out;
}
