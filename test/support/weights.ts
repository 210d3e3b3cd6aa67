/** Safetensors files made in memory, and native rows turned back into numbers. */
import { decodeMatrix } from '../../src/reference/weights.ts';
import { planes } from '../../src/weights/layout.ts';
import type { PublishedMatrix } from '../../src/weights/matrix.ts';

/** Rows [begin, end) of a matrix as numbers, through the layout's reference decoder. */
export async function floatsOf(matrix: PublishedMatrix, begin = 0, end = matrix.rows): Promise<number[]> {
  const { values, scales, zeros } = await matrix.read(begin, end);
  const shape = { rows: end - begin, cols: matrix.cols };
  const p = planes(matrix.layout, shape);
  if (values.length !== shape.rows * p.valueRowWords) throw new Error(`values have ${values.length} words`);
  if (scales.length !== shape.rows * p.scaleRowWords) throw new Error(`scales have ${scales.length} words`);
  if (zeros.length !== shape.rows * p.zeroRowWords) throw new Error(`zeros have ${zeros.length} words`);
  const words = new Uint32Array(p.bytes / 4);
  words.set(values);
  words.set(scales, p.scalesAt / 4);
  words.set(zeros, p.zerosAt / 4);
  return [...decodeMatrix(words, matrix.layout, shape)];
}
