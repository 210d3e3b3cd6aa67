/** Where the buckets of T5's relative positions begin, as transformers 5.24 computes them in f32. */
import { describe, expect, it } from 'vitest';
import { bucketTable } from '../../../src/layers/distance.ts';

interface Case {
  readonly buckets: number;
  readonly furthest: number;
  /** By bucket, the first distance of it, to keys in front of the query. */
  readonly text: readonly number[];
  readonly tokens: readonly number[];
}

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

const CASES: readonly Case[] = [
  {
    buckets: 32,
    furthest: 128,
    text: [...upTo(8), 8, 12, 16, 23, 32, 46, 64, 91],
    tokens: [...upTo(16), 16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113],
  },
  {
    buckets: 16,
    furthest: 20,
    text: [0, 1, 2, 3, 4, 6, 9, 14],
    tokens: [...upTo(8), 8, 9, 11, 12, 13, 15, 16, 18],
  },
];

const bucketsOf = (first: readonly number[], furthest: number): number[] =>
  upTo(furthest + 1).map((distance) => first.findLastIndex((from) => from <= distance));

describe.each(CASES)('$buckets buckets up to a distance of $furthest', ({ buckets, furthest, text, tokens }) => {
  it('of a text read as a whole: half for the keys behind the query', () => {
    const side = bucketsOf(text, furthest);
    const behind = side.slice(1).map((bucket) => buckets / 2 + bucket);
    expect([...bucketTable({ buckets, furthest }, 'step')]).toEqual([...side.toReversed(), ...behind]);
  });

  it('of a text that grows: all for the keys in front', () => {
    const unseen = upTo(furthest).map(() => 0);
    const side = bucketsOf(tokens, furthest).toReversed();
    expect([...bucketTable({ buckets, furthest }, 'before')]).toEqual([...side, ...unseen]);
  });
});
