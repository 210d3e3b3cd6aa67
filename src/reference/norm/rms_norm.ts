/** Twin of shaders/norm/rms_norm.wgsl. x [T, row], gamma [groups, D]; returns [T, groups, D]. */
export function rmsNorm(
  x: ArrayLike<number>,
  gamma: ArrayLike<number>,
  shape: {
    tokens: number;
    size: number;
    eps: number;
    groups?: number;
    row?: number;
    at?: number;
    scale?: number;
    total?: number;
  },
  residual?: ArrayLike<number>,
): Float64Array {
  const { tokens, size, eps, groups = 1, row = groups * size, at = 0, scale: outer = 1, total = 1 } = shape;
  const out = new Float64Array(tokens * groups * size);
  for (let t = 0; t < tokens; t++) {
    for (let g = 0; g < groups; g++) {
      const from = t * row + at + g * size;
      const to = (t * groups + g) * size;
      let squares = 0;
      for (let d = 0; d < size; d++) squares += x[from + d]! ** 2;
      const scale = 1 / Math.sqrt(squares / size + eps);
      for (let d = 0; d < size; d++)
        out[to + d] = (x[from + d]! * scale * gamma[g * size + d]! * outer + (residual?.[to + d] ?? 0)) * total;
    }
  }
  return out;
}
