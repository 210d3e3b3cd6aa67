/**
 * What each statistic would be by chance. All random numbers of the statistics are drawn here, from a fixed seed: the same trace has the same bands
 * everywhere.
 */
import { prng } from '../../util/prng.ts';
import { NORMAL_95, type Band } from './distributions.ts';

/** Where a statistic lies when nothing but chance is at work: its mean and 95 % band. */
export interface Chance extends Band {
  /** `exact`: in closed form; `normal`: by the central limit; `simulated`: `runs` draws, quantiles of which are the band. */
  readonly how: 'exact' | 'simulated' | 'normal';
  readonly runs?: number;
  readonly seed?: number;
}

export interface Measured {
  /** 0 where `n` is 0: there was nothing to measure. */
  readonly value: number;
  /** null: chance says nothing about this, or nothing was measured. */
  readonly chance: Chance | null;
  /** Tokens, or what the statistic says it counts. */
  readonly n: number;
}

/** Tokens that each take k of E experts, all sets of k equally likely: `taking[k]` tokens. */
export interface Draws {
  readonly experts: number;
  readonly taking: readonly number[];
}

/** The share of a 95 % band that new draws fall into is 95 % with a deviation of √(0.95 · 0.05 / runs) = 0.5 %. */
export const RUNS = 2000;
export const SEED = 1;
/** Up to here draws are simulated one by one; beyond, and with as many expected per expert, their sums are as good as normal. */
const EXACT_TOKENS = 512;
const EXACT_PER_EXPERT = 30;

export const nothing: Measured = { value: 0, chance: null, n: 0 };
export const tokensDrawn = ({ taking }: Draws): number => taking.reduce((n, t, k) => n + (k > 0 ? t : 0), 0);
export const pairsDrawn = ({ taking }: Draws): number => taking.reduce((n, t, k) => n + k * t, 0);
/** Var of one expert's count: each token takes it with k / E. */
export const countVariance = ({ experts, taking }: Draws): number =>
  taking.reduce((v, t, k) => v + t * (k / experts) * (1 - k / experts), 0);

/** Mean and central 95 % of simulated values, which are sorted in place. */
export function bandOf(values: Float64Array, mean?: number): Chance {
  values.sort();
  const runs = values.length;
  const low = values[Math.floor(0.025 * runs)]!;
  const high = values[Math.ceil(0.975 * runs) - 1]!;
  return { mean: mean ?? values.reduce((a, b) => a + b, 0) / runs, low, high, how: 'simulated', runs, seed: SEED };
}

/** Runs of uniform routing side by side, which grow by a token at a time: a live trace asks for one token more each time. */
interface Walk {
  readonly next: () => number;
  readonly counts: Uint32Array; // [runs, E]
  /** All experts, in the order that the last draws left. */
  readonly order: Uint16Array;
  tokens: number;
}
const walks = new Map<string, Walk>();

function step({ next, counts, order }: Walk, experts: number, k: number): void {
  for (let base = 0; base < counts.length; base += experts) {
    for (let j = 0; j < k; j++) {
      const i = j + Math.floor(next() * (experts - j));
      const id = order[i]!;
      order[i] = order[j]!;
      order[j] = id;
      counts[base + id]!++;
    }
  }
}

/** Counts of RUNS simulated routings, [runs, E], valid until the next call. */
function simulateExactly({ experts, taking }: Draws): Uint32Array {
  const sizes = taking.flatMap((tokens, k) => (tokens > 0 && k > 0 ? [{ tokens, k }] : []));
  const key = sizes.length === 1 ? `${experts}/${sizes[0]!.k}` : '';
  let walk = walks.get(key);
  if (!walk || key === '' || walk.tokens > sizes[0]!.tokens) {
    const order = Uint16Array.from({ length: experts }, (_, e) => e);
    walk = { next: prng(SEED), counts: new Uint32Array(RUNS * experts), order, tokens: 0 };
    if (key) keep(walks, key, walk, 8);
  }
  for (const { tokens, k } of sizes) {
    for (let t = key ? walk.tokens : 0; t < tokens; t++) step(walk, experts, k);
    walk.tokens = tokens;
  }
  return walk.counts;
}

/** Standard normal, two at a time. */
export function normals(next: () => number, out: Float64Array): void {
  for (let i = 0; i < out.length; i += 2) {
    const r = Math.sqrt(-2 * Math.log(1 - next()));
    const angle = 2 * Math.PI * next();
    out[i] = r * Math.cos(angle);
    if (i + 1 < out.length) out[i + 1] = r * Math.sin(angle);
  }
}

/**
 * Counts of one routing after another. In the limit they are normal with the covariance of draws without replacement: for a token,
 * p (1 - p) on the diagonal and -p (1 - p) / (E - 1) beside it, p = k / E.
 */
function forEachRun(draws: Draws, look: (counts: Float64Array, run: number) => void): void {
  const { experts } = draws;
  const one = new Float64Array(experts);
  const mean = pairsDrawn(draws) / experts;
  if (tokensDrawn(draws) <= EXACT_TOKENS || mean < EXACT_PER_EXPERT) {
    const counts = simulateExactly(draws);
    for (let r = 0; r < RUNS; r++) {
      one.set(counts.subarray(r * experts, (r + 1) * experts));
      look(one, r);
    }
    return;
  }
  const next = prng(SEED);
  const scale = experts > 1 ? Math.sqrt((countVariance(draws) * experts) / (experts - 1)) : 0;
  for (let r = 0; r < RUNS; r++) {
    normals(next, one);
    const centre = one.reduce((a, b) => a + b, 0) / experts;
    for (let e = 0; e < experts; e++) one[e] = Math.max(0, mean + scale * (one[e]! - centre));
    look(one, r);
  }
}

const bands = new Map<string, readonly Chance[]>();

/** Keeps at most `most`; the oldest leaves. */
function keep<T>(map: Map<string, T>, key: string, value: T, most: number): void {
  map.delete(key);
  if (map.size >= most) map.delete(map.keys().next().value!);
  map.set(key, value);
}

/**
 * Bands of statistics of the counts of one layer under uniform routing; kept, by `name` and draws.
 * @param name of `measure`: two that differ must differ in it
 * @param measure writes its statistics of `counts` [E] to `out` [size]
 */
export function loadChances(
  name: string,
  draws: Draws,
  size: number,
  measure: (counts: Float64Array, out: Float64Array) => void,
): readonly Chance[] {
  const key = `${name} ${draws.experts} ${draws.taking.slice(1).join()}`;
  const known = bands.get(key);
  if (known) return known;
  const values = Array.from({ length: size }, () => new Float64Array(RUNS));
  const out = new Float64Array(size);
  forEachRun(draws, (counts, run) => {
    measure(counts, out);
    for (let i = 0; i < size; i++) values[i]![run] = out[i]!;
  });
  const found = values.map((v) => bandOf(v));
  keep(bands, key, found, 256);
  return found;
}

/** A shuffle in place, Fisher and Yates. */
export function shuffle(values: Int32Array, next: () => number): void {
  for (let i = values.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    const held = values[i]!;
    values[i] = values[j]!;
    values[j] = held;
  }
}

/** Mean ± 1.96 deviations of few simulated values, of which quantiles would be too rough. */
export function spreadOf(values: Float64Array): Chance {
  const runs = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / runs;
  const variance = values.reduce((v, x) => v + (x - mean) ** 2, 0) / Math.max(1, runs - 1);
  return { ...normalChance(mean, variance), how: 'simulated', runs, seed: SEED };
}

/** Bands of statistics when labels have nothing to do with what they label: they are shuffled `runs` times. */
export function permutationChances(
  labels: Int32Array,
  runs: number,
  size: number,
  measure: (labels: Int32Array, out: Float64Array) => void,
  band: (values: Float64Array) => Chance = bandOf,
): readonly Chance[] {
  const next = prng(SEED);
  const mixed = labels.slice();
  const out = new Float64Array(size);
  const values = Array.from({ length: size }, () => new Float64Array(runs));
  for (let r = 0; r < runs; r++) {
    shuffle(mixed, next);
    measure(mixed, out);
    for (let i = 0; i < size; i++) values[i]![r] = out[i]!;
  }
  return values.map((v) => band(v));
}

/** Band of values that `draw` makes with the random numbers it is given. */
export function simulatedChance(runs: number, draw: (next: () => number) => number, mean?: number): Chance {
  const next = prng(SEED);
  return bandOf(
    Float64Array.from({ length: runs }, () => draw(next)),
    mean,
  );
}

export const normalChance = (mean: number, variance: number): Chance => {
  const half = NORMAL_95 * Math.sqrt(variance);
  return { mean, low: mean - half, high: mean + half, how: 'normal' };
};
