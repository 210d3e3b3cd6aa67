/** Whether texts of different kinds take different experts. */
import type { Trace } from '../trace.ts';
import { nothing, pairsDrawn, permutationChances, tokensDrawn, type Chance, type Measured } from './chance.ts';
import { chiSquareRatio, NORMAL_95 } from './distributions.ts';
import { domainGroups, labelTable, type InformationOptions } from './information.ts';
import { layerOf, rowsOf, type LayerCounts, type Part } from './select.ts';
import { takenIn } from './taken.ts';

/**
 * Jensen-Shannon distance of two load shares (Endres and Schindelin 2003), the root of
 * the divergence H((p + q) / 2) - (H(p) + H(q)) / 2 in bits: 0 for equal shares, 1 for experts that are never shared. All 0: 0.
 */
export function jensenShannon(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [totalA, totalB] = [0, 0];
  for (let e = 0; e < a.length; e++) {
    totalA += a[e]!;
    totalB += b[e]!;
  }
  if (totalA === 0 || totalB === 0) return 0;
  let divergence = 0;
  for (let e = 0; e < a.length; e++) {
    const [p, q] = [a[e]! / totalA, b[e]! / totalB];
    if (p > 0) divergence += 0.5 * p * Math.log2((2 * p) / (p + q));
    if (q > 0) divergence += 0.5 * q * Math.log2((2 * q) / (p + q));
  }
  return Math.sqrt(Math.max(0, divergence));
}

/**
 * The distance of two published counts. The band: both are samples of one distribution, tokens independent; then the divergence is
 * (E - k) (1 / pairs of a + 1 / pairs of b) / (8 ln 2) times chi-square over E - 1, from about ten pairs an expert on. Tokens of one text are not independent, so real texts lie above.
 * @throws InvalidRequest for a layer that does not exist
 */
export function distanceOf(a: LayerCounts, b: LayerCounts, layer: number): Measured {
  const [left, right] = [layerOf(a, layer), layerOf(b, layer)];
  const n = Math.min(tokensDrawn(left.draws), tokensDrawn(right.draws));
  if (n === 0) return nothing;
  const experts = left.counts.length;
  const [pairsA, pairsB] = [pairsDrawn(left.draws), pairsDrawn(right.draws)];
  const k = pairsA / tokensDrawn(left.draws);
  const mean = ((experts - k) * (1 / pairsA + 1 / pairsB)) / (8 * Math.LN2);
  const at = (z: number): number => (experts > 1 ? Math.sqrt(mean * chiSquareRatio(experts - 1, z)) : 0);
  const chance: Chance = { mean: at(0), low: at(-NORMAL_95), high: at(NORMAL_95), how: 'normal' };
  return { value: jensenShannon(left.counts, right.counts), chance, n };
}

export interface Domains {
  /** In order of appearance; null: chats that name none. */
  readonly names: readonly (string | null)[];
  readonly experts: number;
  /** Of each domain. */
  readonly tokens: readonly number[];
  readonly chats: readonly number[];
  /** Load shares, [domains, E]. */
  readonly share: Float64Array;
  /**
   * Jensen-Shannon distances, [domains, domains]. The band: chats shuffled among domains; two or three chats a domain leave it wide.
   * `n` counts the chats of both.
   */
  readonly distance: readonly (readonly Measured[])[];
  /** The mean of all distances, one number for a layer: many pairs are many looks. `n` counts chats. */
  readonly meanDistance: Measured;
}

/**
 * @returns null when the trace has chats of fewer than two domains
 * @throws InvalidRequest for a layer that does not exist
 */
export function domainsOf(
  trace: Trace,
  layer: number,
  part?: Part,
  { runs = 1000 }: InformationOptions = {},
): Domains | null {
  const taken = takenIn(trace, layer, part);
  const groups = domainGroups(trace, taken);
  if (!groups) return null;
  const { unit, label, count, names } = groups;
  const { experts } = taken;
  const ofChats = labelTable(taken, unit, label.length);
  const sums = new Float64Array(count * experts);
  const pairs = Array.from({ length: count }, (_, b) => Array.from({ length: b }, (_x, a) => [a, b] as const)).flat();
  const measure = (labels: Int32Array, out: Float64Array): void => {
    sums.fill(0);
    labels.forEach((d, c) => {
      for (let e = 0; e < experts; e++) sums[d * experts + e]! += ofChats[c * experts + e]!;
    });
    const of = (d: number): Float64Array => sums.subarray(d * experts, (d + 1) * experts);
    pairs.forEach(([a, b], i) => (out[i] = jensenShannon(of(a), of(b))));
    out[pairs.length] = out.subarray(0, pairs.length).reduce((x, y) => x + y, 0) / pairs.length;
  };
  const chances = permutationChances(label, runs, pairs.length + 1, measure);
  const values = new Float64Array(pairs.length + 1);
  measure(label, values);
  const chats = names.map((_, d) => label.filter((l) => l === d).length);
  const distance = names.map((): Measured[] => names.map(() => ({ value: 0, chance: null, n: 0 })));
  pairs.forEach(([a, b], i) => {
    const found = { value: values[i]!, chance: chances[i]!, n: chats[a]! + chats[b]! };
    distance[a]![b] = distance[b]![a] = found;
  });
  return {
    names,
    experts,
    tokens: names.map((_, d) => taken.rows.reduce((n, _row, r) => n + (label[unit[r]!] === d ? 1 : 0), 0)),
    chats,
    share: sums.map((c, i) => c / Math.max(1, sumOf(sums, Math.floor(i / experts), experts))),
    distance,
    meanDistance: { value: values[pairs.length]!, chance: chances[pairs.length]!, n: label.length },
  };
}

const sumOf = (table: Float64Array, row: number, width: number): number =>
  table.subarray(row * width, (row + 1) * width).reduce((a, b) => a + b, 0);

/** The part of one domain, for every statistic that takes a part. Chats that do not exist in the trace's list have no domain. */
export function domainPart(trace: Trace, domain: string | null, part: Part = {}): Part {
  const all = [...new Set(trace.steps.map((s) => s.chat))];
  const within = part.chats ? all.filter((c) => part.chats!.includes(c)) : all;
  return { ...part, chats: within.filter((c) => (trace.chats?.[c]?.domain ?? null) === domain) };
}

/** Names of the domains of the part's chats, in order of appearance. */
export function domainNames(trace: Trace, part?: Part): readonly (string | null)[] {
  const groups = domainGroups(trace, { rows: rowsOf(trace, part) });
  return groups?.names ?? [];
}
