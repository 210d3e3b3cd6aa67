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

  // cos and sin of torch.einsum('i,j->ij', torch.arange(1001), 10000 ** (-torch.arange(0, 8, 2) / 8)), all in torch.bfloat16 (torch 2.13).
  it.each([
    [37, [0.765625, -0.84765625, 0.93359375, 1, -0.64453125, -0.53125, 0.36328125, 0.036865234375]],
    [301, [-0.0220947265625, 0.154296875, -0.98828125, 0.95703125, -1, -0.98828125, 0.1416015625, 0.296875]],
    [1000, [0.5625, 0.86328125, -0.83984375, 0.5390625, 0.828125, -0.5078125, -0.54296875, 0.83984375]],
  ])('rounds positions, frequencies, angles, cos and sin to bf16: position %i', (position, expected) => {
    const table = ropeTable({ ...rope, inverseFrequencies: [1, 0.1, 0.01, 0.001], rounded: true }, position + 1);
    expect([...table.subarray(8 * position)]).toEqual(expected);
  });

  it('is empty without positions or frequencies', () => {
    expect(ropeTable(rope, 0)).toHaveLength(0);
    expect(ropeTable({ ...rope, inverseFrequencies: [] }, 5)).toHaveLength(0);
  });
});
