/** Twin of shaders/norm/rms_norm.wgsl. x [T, row], gamma [D]; returns [T, D]. */
export function rmsNorm(
  x: ArrayLike<number>,
  gamma: ArrayLike<number>,
  shape: { tokens: number; size: number; eps: number; row?: number; at?: number; scale?: number },
  residual?: ArrayLike<number>,
): Float64Array {
  const { tokens, size, eps, row = size, at = 0, scale: outer = 1 } = shape;
  const out = new Float64Array(tokens * size);
  for (let t = 0; t < tokens; t++) {
    let squares = 0;
    for (let d = 0; d < size; d++) squares += x[t * row + at + d]! ** 2;
    const scale = 1 / Math.sqrt(squares / size + eps);
    for (let d = 0; d < size; d++)
      out[t * size + d] = x[t * row + at + d]! * scale * gamma[d]! * outer + (residual?.[t * size + d] ?? 0);
  }
  return out;
}
