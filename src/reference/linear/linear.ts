/** Twin of shaders/linear/matvec.wgsl and matmul.wgsl. */
import { rmsNorm } from '../norm/rms_norm.ts';

export interface LinearInput {
  readonly x: ArrayLike<number>; // [T, xRow]
  readonly weights: ArrayLike<number>; // [N, K]
  readonly bias?: ArrayLike<number> | undefined; // [N]
  readonly residual?: ArrayLike<number> | undefined; // [T, N]
  readonly rowScale?: ArrayLike<number> | undefined; // [T]
  readonly gamma?: ArrayLike<number> | undefined; // [K]
}

export interface LinearSize {
  readonly tokens: number; // T
  readonly rows: number; // N
  readonly cols: number; // K
  readonly xRow?: number | undefined;
  readonly xAt?: number | undefined;
  readonly eps?: number | undefined;
  readonly scale?: number | undefined;
  /** What is added to the residual, y, counts as cap tanh(y / cap). */
  readonly softcap?: number | undefined;
}

/** (h W^T + bias) * rowScale * scale + residual, h = x or its RMS norm times gamma; returns [T, N]. */
export function linear(input: LinearInput, size: LinearSize): Float64Array {
  const { weights, bias, residual, rowScale } = input;
  const { tokens, rows, cols, scale = 1, softcap } = size;
  const h = inputRows(input, size);
  const out = new Float64Array(tokens * rows);
  for (let t = 0; t < tokens; t++) {
    for (let n = 0; n < rows; n++) {
      let sum = 0;
      for (let k = 0; k < cols; k++) sum += h[t * cols + k]! * weights[n * cols + k]!;
      const own = (sum + (bias?.[n] ?? 0)) * (rowScale?.[t] ?? 1) * scale;
      const counts = softcap === undefined ? own : softcap * Math.tanh(own / softcap);
      out[t * rows + n] = counts + (residual?.[t * rows + n] ?? 0);
    }
  }
  return out;
}

/** [T, K]: the part of x that is multiplied, normed if there is a gamma. */
export function inputRows({ x, gamma }: Pick<LinearInput, 'x' | 'gamma'>, size: LinearSize): Float64Array {
  const { tokens, cols, xRow = cols, xAt = 0, eps = 0 } = size;
  if (gamma) return rmsNorm(x, gamma, { tokens, size: cols, eps, row: xRow, at: xAt });
  return Float64Array.from({ length: tokens * cols }, (_, i) => x[Math.floor(i / cols) * xRow + xAt + (i % cols)]!);
}
