/** Rows of M2M-100's sinusoids, as transformers 5.18 computes them in f32. */
import { expect, it } from 'vitest';
import { sinusoidRows } from '../../../src/layers/sinusoids.ts';

const ROWS: readonly (readonly [position: number, row: readonly number[]])[] = [
  [0, [0.9093, 0.02, 0.0002, -0.41615, 0.9998, 1]],
  [1, [0.14112, 0.03, 0.0003, -0.98999, 0.99955, 1]],
  [1023, [0.74517, -0.7347, 0.10232, 0.66687, -0.67839, 0.99475]],
];

it('are half sines and half cosines, from the offset on', () => {
  const table = sinusoidRows({ offset: 2 }, { rows: 1024, size: 6 });
  for (const [position, row] of ROWS)
    row.forEach((value, i) => expect(table[6 * position + i], `${position}, ${i}`).toBeCloseTo(value, 4));
});
