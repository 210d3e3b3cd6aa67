/** Divergence of next-token distributions against values by hand. */
import { describe, expect, it } from 'vitest';
import { InvalidRequest } from '../../../src/errors.ts';
import { divergenceOf, moversOf } from '../../../src/trace/stats/kl.ts';

const logs = (...p: number[]): Float32Array => Float32Array.from(p, Math.log);

describe('divergence', () => {
  it('equals values by hand, in both directions', () => {
    const { forward, backward, totalVariation } = divergenceOf(logs(0.5, 0.25, 0.25), logs(0.25, 0.25, 0.5));
    expect(forward).toBeCloseTo(0.25 * Math.log(2), 7);
    expect(backward).toBeCloseTo(0.25 * Math.log(2), 7);
    expect(totalVariation).toBeCloseTo(0.25, 7);
    const skew = divergenceOf(logs(0.5, 0.5), logs(0.9, 0.1));
    expect(skew.forward).toBeCloseTo(0.5 * Math.log(0.5 / 0.9) + 0.5 * Math.log(0.5 / 0.1), 6);
    expect(skew.backward).toBeCloseTo(0.9 * Math.log(0.9 / 0.5) + 0.1 * Math.log(0.1 / 0.5), 6);
  });

  it('is exactly 0 for equal logits, and does not see a constant', () => {
    const logits = Float32Array.of(3, -2, 0.5, 80);
    expect(divergenceOf(logits, logits)).toEqual({ forward: 0, backward: 0, totalVariation: 0 });
    expect(
      divergenceOf(
        logits,
        logits.map((l) => l + 4),
      ).forward,
    ).toBeCloseTo(0, 6);
  });

  it('stays finite where a probability is nothing', () => {
    expect(Number.isFinite(divergenceOf([0, -1e4], [0, 0]).forward)).toBe(true);
  });

  it('refuses vocabularies that differ', () => {
    expect(() => divergenceOf([1], [1, 2])).toThrow(InvalidRequest);
    expect(() => divergenceOf([], [])).toThrow(InvalidRequest);
  });
});

describe('movers', () => {
  it('are those that changed most, with both probabilities', () => {
    const moved = moversOf(logs(0.5, 0.3, 0.1, 0.1), logs(0.1, 0.3, 0.4, 0.2), 2);
    expect(moved.map(({ id }) => id)).toEqual([0, 2]);
    expect(moved[0]!.before).toBeCloseTo(0.5, 6);
    expect(moved[0]!.after).toBeCloseTo(0.1, 6);
    expect(moversOf([1, 2], [1, 2], 5)).toEqual([]);
  });
});
