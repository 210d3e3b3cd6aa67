/** Distributions that have a closed form. */

export interface Band {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/** Two-sided 95 % point of the standard normal distribution. */
export const NORMAL_95 = 1.959963984540054;
const TAIL = 0.025;

const logFactorials = [0];
/** ln n! */
export function logFactorial(n: number): number {
  for (let i = logFactorials.length; i <= n && i <= 2048; i++) logFactorials.push(logFactorials[i - 1]! + Math.log(i));
  if (n <= 2048) return logFactorials[n]!;
  // Stirling's series; the next term is below 1e-20 here.
  return (n + 0.5) * Math.log(n) - n + 0.5 * Math.log(2 * Math.PI) + 1 / (12 * n) - 1 / (360 * n ** 3);
}

export const logChoose = (n: number, k: number): number => logFactorial(n) - logFactorial(k) - logFactorial(n - k);

/** P(X = x), x marked ones among `drawn` from `all`, of which `marked` are. */
export function hypergeometric(x: number, all: number, marked: number, drawn: number): number {
  if (x < Math.max(0, marked + drawn - all) || x > Math.min(marked, drawn)) return 0;
  return Math.exp(logChoose(marked, x) + logChoose(all - marked, drawn - x) - logChoose(all, drawn));
}

/** P(X = x) of n tries. */
export function binomial(x: number, n: number, p: number): number {
  if (p <= 0) return x === 0 ? 1 : 0;
  if (p >= 1) return x === n ? 1 : 0;
  return Math.exp(logChoose(n, x) + x * Math.log(p) + (n - x) * Math.log1p(-p));
}

/** The least and the greatest value that leave at most 2.5 % on either side: P(low <= X <= high) >= 95 %. */
function discreteBand(from: number, to: number, probability: (x: number) => number): { low: number; high: number } {
  let [low, high] = [from, to];
  let below = probability(low);
  while (low < to && below <= TAIL) below += probability(++low);
  let above = probability(high);
  while (high > low && above <= TAIL) above += probability(--high);
  return { low, high };
}

/** Only values within 12 deviations are looked at: what lies beyond is below 1e-25. */
function near(mean: number, deviation: number, least: number, most: number): [number, number] {
  const reach = Math.ceil(12 * deviation) + 12;
  return [Math.max(least, Math.floor(mean) - reach), Math.min(most, Math.ceil(mean) + reach)];
}

/** Of the share x / n. */
export function binomialBand(n: number, p: number): Band {
  const [from, to] = near(n * p, Math.sqrt(n * p * (1 - p)), 0, n);
  const { low, high } = discreteBand(from, to, (x) => binomial(x, n, p));
  return { mean: p, low: low / n, high: high / n };
}

/** Of the share x / drawn. */
export function hypergeometricBand(all: number, marked: number, drawn: number): Band {
  const p = marked / all;
  const spread = all > 1 ? Math.sqrt((drawn * p * (1 - p) * (all - drawn)) / (all - 1)) : 0;
  const [from, to] = near(drawn * p, spread, Math.max(0, marked + drawn - all), Math.min(marked, drawn));
  const { low, high } = discreteBand(from, to, (x) => hypergeometric(x, all, marked, drawn));
  return { mean: p, low: low / drawn, high: high / drawn };
}

/** Quantile of chi-square over its degrees of freedom, by Wilson and Hilferty: within 1 % from 3 on. z: of the standard normal. */
export const chiSquareRatio = (freedom: number, z: number): number =>
  Math.max(0, 1 - 2 / (9 * freedom) + z * Math.sqrt(2 / (9 * freedom))) ** 3;

/** P(|Z| >= |z|), to 2e-7 of itself: the continued fraction and the series of erfc (Abramowitz and Stegun 7.1.5, 7.1.14). */
export function twoSided(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  if (x < 2) {
    let [term, total] = [x, x];
    for (let n = 1; Math.abs(term) > 1e-17; n++) {
      term *= (-x * x) / n;
      total += term / (2 * n + 1);
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * total;
  }
  let fraction = x;
  for (let n = 60; n > 0; n--) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction);
}
