/** How far two choices of experts in one layer agree, over many pairs of choices. */
import { nothing, normalChance, simulatedChance, RUNS, type Chance, type Measured } from './chance.ts';
import { binomialBand, hypergeometric, logChoose } from './distributions.ts';

export interface Overlap {
  /** Share of pairs with the same first expert; by chance 1 / E. */
  readonly sameTop: Measured;
  /** |A ∩ B| / |B|; by chance k / E. */
  readonly overlap: Measured;
  /** |A ∩ B| / |A ∪ B| */
  readonly jaccard: Measured;
  /** Share of pairs with at least one expert in common; by chance 1 - C(E - k, k) / C(E, k). */
  readonly any: Measured;
  /** Share of pairs with the same set; by chance 1 / C(E, k). */
  readonly same: Measured;
}

/** Under this many pairs a mean is simulated: its distribution is not yet normal. */
const NORMAL_FROM = 256;

/** Pairs of sets of a and b experts. */
interface Group {
  readonly a: number;
  readonly b: number;
  n: number;
}

export class OverlapMeter {
  readonly #experts: number;
  readonly #groups = new Map<number, Group>();
  readonly #sums = new Float64Array(5);
  #n = 0;

  constructor(experts: number) {
    this.#experts = experts;
  }

  /** Two choices: `a[fromA .. toA]` and `b[fromB .. toB]`, in rank order. Empty ones are left out. */
  add(a: Uint16Array, fromA: number, toA: number, b: Uint16Array, fromB: number, toB: number): void {
    const [sizeA, sizeB] = [toA - fromA, toB - fromB];
    if (sizeA === 0 || sizeB === 0) return;
    let common = 0;
    for (let i = fromA; i < toA; i++) for (let j = fromB; j < toB; j++) if (a[i] === b[j]) common++;
    const sums = this.#sums;
    if (a[fromA] === b[fromB]) sums[0]!++;
    sums[1]! += common / sizeB;
    sums[2]! += common / (sizeA + sizeB - common);
    if (common > 0) sums[3]!++;
    if (common === sizeA && common === sizeB) sums[4]!++;
    const key = sizeA * 65536 + sizeB;
    const group = this.#groups.get(key) ?? { a: sizeA, b: sizeB, n: 0 };
    group.n++;
    this.#groups.set(key, group);
    this.#n++;
  }

  result(): Overlap {
    const n = this.#n;
    if (n === 0) return { sameTop: nothing, overlap: nothing, jaccard: nothing, any: nothing, same: nothing };
    const groups = [...this.#groups.values()];
    const experts = this.#experts;
    const at = (i: number, chance: Chance): Measured => ({ value: this.#sums[i]! / n, chance, n });
    return {
      sameTop: at(0, { ...binomialBand(n, 1 / experts), how: 'exact' }),
      overlap: at(
        1,
        meanChance(experts, groups, (m, { b }) => m / b),
      ),
      jaccard: at(
        2,
        meanChance(experts, groups, (m, { a, b }) => m / (a + b - m)),
      ),
      any: at(
        3,
        shareChance(groups, (g) => sharesAny(experts, g.a, g.b)),
      ),
      same: at(
        4,
        shareChance(groups, (g) => (g.a === g.b ? Math.exp(-logChoose(experts, g.a)) : 0)),
      ),
    };
  }
}

/** P(at least one in common) of sets of a and b from E. */
export const sharesAny = (experts: number, a: number, b = a): number => 1 - hypergeometric(0, experts, a, b);

/** Pairs are independent: whatever the earlier set was, the later one hits it hypergeometrically. */
function shareChance(groups: readonly Group[], p: (group: Group) => number): Chance {
  const n = groups.reduce((sum, g) => sum + g.n, 0);
  if (groups.length === 1) return { ...binomialBand(n, p(groups[0]!)), how: 'exact' };
  const mean = groups.reduce((sum, g) => sum + g.n * p(g), 0) / n;
  return normalChance(mean, groups.reduce((sum, g) => sum + g.n * p(g) * (1 - p(g)), 0) / n ** 2);
}

const known = new Map<string, Chance>();

/** Of the mean of f(m) over all pairs, m the experts in common. */
function meanChance(experts: number, groups: readonly Group[], f: (common: number, group: Group) => number): Chance {
  const n = groups.reduce((sum, g) => sum + g.n, 0);
  let [mean, variance] = [0, 0];
  for (const g of groups) {
    let [first, second] = [0, 0];
    for (let m = 0; m <= Math.min(g.a, g.b); m++) {
      const p = hypergeometric(m, experts, g.a, g.b);
      first += p * f(m, g);
      second += p * f(m, g) ** 2;
    }
    mean += (g.n * first) / n;
    variance += (g.n * Math.max(0, second - first ** 2)) / n ** 2;
  }
  if (n >= NORMAL_FROM) return normalChance(mean, variance);
  const key = `${experts} ${mean} ${groups.map((g) => `${g.a}/${g.b}/${g.n}`).join()}`;
  let chance = known.get(key);
  if (!chance) {
    chance = simulatedChance(RUNS, (next) => drawMean(next, experts, groups, f) / n, mean);
    if (known.size >= 256) known.clear();
    known.set(key, chance);
  }
  return chance;
}

/** Σ f(m) over as many pairs as there are, m drawn from its distribution. */
function drawMean(
  next: () => number,
  experts: number,
  groups: readonly Group[],
  f: (common: number, group: Group) => number,
): number {
  let sum = 0;
  for (const g of groups) {
    const most = Math.min(g.a, g.b);
    const p = Array.from({ length: most + 1 }, (_, m) => hypergeometric(m, experts, g.a, g.b));
    for (let i = 0; i < g.n; i++) {
      let m = 0;
      for (let u = next(); m < most && u >= p[m]!; m++) u -= p[m]!;
      sum += f(m, g);
    }
  }
  return sum;
}
