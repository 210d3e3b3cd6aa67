/** Where a token is, as a vector that is added to its embedding: sines and cosines of angles that fall geometrically, as fairseq has them. */
import type { ModelConfig } from '../config/model-config.ts';

/** The slowest angle's pace; the fastest's is 1. */
const SLOWEST = 1 / 10_000;

/** [rows, size], in doubles until the end: an angle of some thousand rounded to f32 is wrong in the fourth digit behind the point. */
export function sinusoidRows(
  { offset }: NonNullable<ModelConfig['sinusoids']>,
  { rows, size }: { readonly rows: number; readonly size: number },
): Float32Array<ArrayBuffer> {
  const half = size / 2;
  const paces = Array.from({ length: half }, (_, j) => SLOWEST ** (j / (half - 1)));
  const table = new Float32Array(rows * size);
  for (let p = 0; p < rows; p++) {
    paces.forEach((pace, j) => {
      table[p * size + j] = Math.sin((p + offset) * pace);
      table[p * size + half + j] = Math.cos((p + offset) * pace);
    });
  }
  return table;
}
