import { describe, expect, it } from 'vitest';
import {
  binomial,
  binomialBand,
  chiSquareRatio,
  hypergeometric,
  hypergeometricBand,
  logFactorial,
  NORMAL_95,
  twoSided,
} from '../../../../src/trace/stats/distributions.ts';

describe('closed forms', () => {
  it('factorials, small and by Stirling', () => {
    expect(logFactorial(5)).toBeCloseTo(Math.log(120), 12);
    expect(logFactorial(2049) - logFactorial(2048)).toBeCloseTo(Math.log(2049), 8);
    expect(logFactorial(1e6)).toBeCloseTo(12815518.384658169, 6);
  });
  it('distributions add up to 1 and have their means', () => {
    for (const [n, p] of [
      [1, 0.3],
      [40, 0.25],
      [300, 0.9],
      [7, 0],
      [7, 1],
    ] as const) {
      const all = Array.from({ length: n + 1 }, (_, x) => binomial(x, n, p));
      expect(all.reduce((a, b) => a + b)).toBeCloseTo(1, 10);
      expect(all.reduce((sum, q, x) => sum + q * x, 0)).toBeCloseTo(n * p, 9);
    }
    const draws = Array.from({ length: 9 }, (_, x) => hypergeometric(x, 64, 8, 8));
    expect(draws.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    expect(draws.reduce((sum, q, x) => sum + q * x, 0)).toBeCloseTo(1, 12);
    // 5 of 10, 3 drawn: C(5,1) C(5,2) / C(10,3).
    expect(hypergeometric(1, 10, 5, 3)).toBeCloseTo(50 / 120, 12);
    expect(hypergeometric(4, 10, 5, 3)).toBe(0);
  });
  it('bands hold 95 %, and without either end less', () => {
    for (const [n, p] of [
      [50, 0.1],
      [500, 0.5],
      [100_000, 0.01],
    ] as const) {
      const { mean, low, high } = binomialBand(n, p);
      expect(mean).toBe(p);
      let inside = 0;
      for (let x = Math.round(low * n); x <= Math.round(high * n); x++) inside += binomial(x, n, p);
      expect(inside).toBeGreaterThanOrEqual(0.95);
      expect(inside - binomial(Math.round(low * n), n, p) - binomial(Math.round(high * n), n, p)).toBeLessThan(0.95);
    }
    expect(binomialBand(20, 0)).toEqual({ mean: 0, low: 0, high: 0 });
    expect(binomialBand(20, 1)).toEqual({ mean: 1, low: 1, high: 1 });
    expect(hypergeometricBand(10, 10, 4)).toEqual({ mean: 1, low: 1, high: 1 });
    // All are drawn: no room for chance.
    expect(hypergeometricBand(10, 4, 10)).toEqual({ mean: 0.4, low: 0.4, high: 0.4 });
  });
  it.each([
    [0, 1],
    [1, 0.31731050786],
    [1.959963984540054, 0.05],
    [2.82, 0.004802364948],
    [2.84, 0.004511353383],
    [5, 5.733031437e-7],
    [10, 1.523970605e-23],
  ])('P(|Z| >= %d) = %d', (z, p) => {
    expect(twoSided(z) / p).toBeCloseTo(1, 5);
    expect(twoSided(-z)).toBe(twoSided(z));
  });
  it('chi-square at 95 %', () => {
    expect(7 * chiSquareRatio(7, NORMAL_95)).toBeCloseTo(16.013, 1);
    expect(63 * chiSquareRatio(63, -NORMAL_95)).toBeCloseTo(42.95, 1);
  });
});
