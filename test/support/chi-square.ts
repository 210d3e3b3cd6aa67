/** Pearson's test of drawn tokens against the probabilities that they should have had. */
import { expect } from 'vitest';

/** A cell with fewer expected draws is joined with its neighbours: the statistic is only then distributed as it should be. */
const LEAST_EXPECTED = 5;
/** Normal deviate of p = 0.001. */
const DEVIATE = 3.0902;

/** Upper 0.1 % point of the chi-square distribution, by Wilson and Hilferty: within 1 % from 3 degrees of freedom on. */
export const criticalValue = (freedom: number): number =>
  freedom * (1 - 2 / (9 * freedom) + DEVIATE * Math.sqrt(2 / (9 * freedom))) ** 3;

export function chiSquare(
  drawn: readonly number[],
  probabilities: ArrayLike<number>,
): { value: number; freedom: number } {
  const times = new Float64Array(probabilities.length);
  for (const id of drawn) times[id]!++;
  let value = 0;
  let cells = 0;
  let seen = 0;
  let expected = 0;
  const left = drawn.length - LEAST_EXPECTED;
  let before = 0;
  const close = (): void => {
    value += (seen - expected) ** 2 / expected;
    cells++;
    before += expected;
    seen = expected = 0;
  };
  for (let id = 0; id < probabilities.length; id++) {
    seen += times[id]!;
    expected += probabilities[id]! * drawn.length;
    if (expected >= LEAST_EXPECTED && before + expected <= left) close();
  }
  if (expected > 0) close();
  return { value, freedom: cells - 1 };
}

/** Draws come from fixed seeds, so that the outcome is the same every time. */
export function expectDistribution(drawn: readonly number[], probabilities: ArrayLike<number>, what: string): void {
  for (const id of drawn) expect(probabilities[id], `${what}: drew ${id}, which cannot be`).toBeGreaterThan(0);
  const { value, freedom } = chiSquare(drawn, probabilities);
  expect(freedom, `${what}: nothing to compare`).toBeGreaterThan(2);
  expect(value, `${what}: chi-square with ${freedom} degrees of freedom`).toBeLessThan(criticalValue(freedom));
}
