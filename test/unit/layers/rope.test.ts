import { describe, expect, it } from 'vitest';
import { ropeTable } from '../../../src/layers/rope.ts';

const rope = { inverseFrequencies: [1, 0.01, 3e-5], amplitude: 1, interleaved: false };

describe('ropeTable', () => {
  it('holds cos, then sin, position by position', () => {
    const table = ropeTable(rope, 3);
    expect(table).toHaveLength(3 * 2 * 3);
    expect([...table.subarray(0, 6)]).toEqual([1, 1, 1, 0, 0, 0]);
    expect([...table.subarray(12, 18)]).toEqual(
      [Math.cos(2), Math.cos(0.02), Math.cos(6e-5), Math.sin(2), Math.sin(0.02), Math.sin(6e-5)].map(Math.fround),
    );
  });

  it('is exact far from zero, where f32 angles are not', () => {
    const position = 131071;
    const frequency = 0.7498942093324559; // 10000^(-1/32)
    const table = ropeTable({ ...rope, inverseFrequencies: [frequency] }, position + 1);
    expect(table[2 * position]).toBe(Math.fround(Math.cos(position * frequency)));
    expect(table[2 * position]).not.toBeCloseTo(Math.cos(Math.fround(position * Math.fround(frequency))), 4);
  });

  it('multiplies both by the amplitude', () => {
    const table = ropeTable({ ...rope, amplitude: 1.5 }, 2);
    expect(table[0]).toBe(1.5);
    expect(table[2 * 3 + 3]).toBe(Math.fround(1.5 * Math.sin(1)));
  });

  it('is empty without positions or frequencies', () => {
    expect(ropeTable(rope, 0)).toHaveLength(0);
    expect(ropeTable({ ...rope, inverseFrequencies: [] }, 5)).toHaveLength(0);
  });
});
