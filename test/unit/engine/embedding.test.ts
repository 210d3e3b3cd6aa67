import { describe, expect, it } from 'vitest';
import { checkPooling, Pool } from '../../../src/engine/embedding.ts';
import { InvalidRequest } from '../../../src/errors.ts';

const vector = (pool: Pool, normalize: boolean): number[] => [...pool.vector(normalize)];

describe('a vector for a text', () => {
  it('is the mean of all rows, however they come', () => {
    const pool = new Pool(2, 'mean');
    pool.add(Float32Array.of(1, 2, 3, 4));
    pool.add(Float32Array.of(8, 0));
    expect(vector(pool, false)).toEqual([4, 2]);
  });

  it('is the last row', () => {
    const pool = new Pool(2, 'last');
    pool.add(Float32Array.of(1, 2, 3, 4));
    pool.add(Float32Array.of(8, 0, 6, 7));
    expect(vector(pool, false)).toEqual([6, 7]);
  });

  it('has length 1, unless it is all zeros', () => {
    const pool = new Pool(2);
    pool.add(Float32Array.of(3, 4));
    expect(vector(pool, true)).toEqual([Math.fround(0.6), Math.fround(0.8)]);
    const zeros = new Pool(2);
    zeros.add(Float32Array.of(0, 0));
    expect(vector(zeros, true)).toEqual([0, 0]);
  });

  it('pools by name', () => {
    for (const pooling of ['mean', 'last', undefined]) checkPooling(pooling);
    expect(() => checkPooling('max')).toThrow(InvalidRequest);
  });
});
