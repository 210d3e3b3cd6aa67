/** Rows of a matrix in another order than they are stored in. */
import { planes } from '../layout.ts';
import type { NativeRows, PublishedMatrix } from '../matrix.ts';

/**
 * Row of a head (A rows) where llama.cpp keeps row `i` of the original: it rotates neighbours (2j, 2j + 1), the original rotates (j, j + A/2).
 */
const storedRow = (i: number, headSize: number): number => (i < headSize / 2 ? 2 * i : 2 * (i - headSize / 2) + 1);

/** The matrix of q or k with its rows as the original model has them. */
export function unpermuted(matrix: PublishedMatrix, headSize: number): PublishedMatrix {
  const { layout, cols } = matrix;
  const { valueRowWords, scaleRowWords, zeroRowWords } = planes(layout, { rows: 1, cols });
  return {
    ...matrix,
    ...(matrix.floats && { floats: unpermuted(matrix.floats, headSize) }),
    async read(begin, end, signal) {
      // Whole heads: a row's place depends on its head only.
      const first = Math.floor(begin / headSize) * headSize;
      const last = Math.min(matrix.rows, Math.ceil(end / headSize) * headSize);
      const stored = await matrix.read(first, last, signal);
      const order = Array.from({ length: end - begin }, (_, i) => {
        const row = begin + i;
        return row - (row % headSize) + storedRow(row % headSize, headSize) - first;
      });
      const pick = (plane: keyof NativeRows, words: number): Uint32Array => {
        const out = new Uint32Array(order.length * words);
        order.forEach((row, i) => out.set(stored[plane].subarray(row * words, (row + 1) * words), i * words));
        return out;
      };
      return {
        values: pick('values', valueRowWords),
        scales: pick('scales', scaleRowWords),
        zeros: pick('zeros', zeroRowWords),
      };
    },
  };
}
