/** Twin of shaders/norm/layer_norm.wgsl. x [T, D], gains [D], or with biases behind them [2 D]; returns [T, D]. */
export function layerNorm(
  x: ArrayLike<number>,
  gains: ArrayLike<number>,
  { tokens, size, eps }: { tokens: number; size: number; eps: number },
): Float64Array {
  const out = new Float64Array(tokens * size);
  for (let t = 0; t < tokens; t++) {
    const token = Array.from({ length: size }, (_, d) => x[t * size + d]!);
    const mean = token.reduce((a, b) => a + b, 0) / size;
    const variance = token.reduce((a, b) => a + (b - mean) ** 2, 0) / size;
    token.forEach((v, d) => {
      out[t * size + d] = ((v - mean) / Math.sqrt(variance + eps)) * gains[d]! + (gains[size + d] ?? 0);
    });
  }
  return out;
}
