/**
 * Of random routing each statistic lies in its 95 % band 95 % of the time. Bands come from 2000 runs, which leaves the coverage of each uncertain by
 * 0.5 %; over N traces the share inside deviates by √(0.95 · 0.05 / N): 0.45 % for 2400. So 2 % are about four deviations.
 */
import { describe, expect, it } from 'vitest';
import * as stats from '../../../../src/trace/stats/index.ts';
import type { Chance, Measured } from '../../../../src/trace/stats/index.ts';
import type { Trace } from '../../../../src/trace/trace.ts';
import { randomTrace, type RandomRouting } from '../../../support/random-routing.ts';

type Many = Readonly<Record<string, Measured | null | undefined>>;
/** One that takes fewer values, of as many traces, has no band of exactly 95 %: its band is the narrowest that holds at least as much. */
const CONTINUOUS = 0.3;

interface Seen {
  inside: number;
  n: number;
  readonly values: Set<number>;
}

const shareOf = (seen: readonly Seen[]): number =>
  seen.reduce((sum, s) => sum + s.inside, 0) / seen.reduce((sum, s) => sum + s.n, 0);

/** Share inside, for each statistic over all sizes together: at least 93 %, and over those where it takes many values at most 97 %. */
function expectCoverage(sizes: readonly RandomRouting[], runs: number, measure: (trace: Trace) => Many): void {
  const seen = new Map<string, Seen[]>();
  sizes.forEach((size, s) => {
    for (let run = 0; run < runs; run++)
      for (const [name, found] of Object.entries(measure(randomTrace(1000 + s + sizes.length * run, size)))) {
        if (!found || found.n === 0) continue;
        const { value, chance } = found;
        if (!seen.has(name)) seen.set(name, []);
        const of = (seen.get(name)![s] ??= { inside: 0, n: 0, values: new Set() });
        of.n++;
        of.values.add(Math.round(value * 1e9));
        if (value >= chance!.low - 1e-12 && value <= chance!.high + 1e-12) of.inside++;
      }
  });
  expect(seen.size).toBeGreaterThan(0);
  for (const [name, bySize] of seen) {
    const all = bySize.filter((s) => s.n >= runs / 2);
    const many = all.filter((s) => s.values.size >= CONTINUOUS * s.n);
    if (process.env.WEBMOE_COVERAGE) console.log(name, shareOf(all), all.length, shareOf(many), many.length);
    expect(shareOf(all), name).toBeGreaterThanOrEqual(0.93);
    if (many.length > 0) expect(shareOf(many), name).toBeLessThanOrEqual(0.97);
    // Of one size alone there are fewer: 3.5 % are about as many deviations.
    for (const one of many) expect(Math.abs(shareOf([one]) - 0.95), `${name}, of one size`).toBeLessThanOrEqual(0.035);
  }
}

const SIZES: readonly RandomRouting[] = [
  { layers: 1, experts: 8, topK: 2, tokens: 40, isBare: true },
  { layers: 1, experts: 16, topK: 4, tokens: 64, isBare: true },
  { layers: 1, experts: 64, topK: 8, tokens: 96, isBare: true },
  { layers: 1, experts: 8, topK: 2, tokens: 600, isBare: true },
];

const withBand = (value: number, n: number, low: number, high: number): Measured => {
  const chance: Chance = { mean: (low + high) / 2, low, high, how: 'normal' };
  return { value, chance, n };
};

describe('of random routing 95 ± 2 % lie in the band of', () => {
  it('load', () => {
    expectCoverage(SIZES, 600, (trace) => {
      const counts = stats.countsOf(trace);
      const { share, ...load } = stats.loadStats(counts, 0);
      expect(share.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
      const { share: sorted, chance } = stats.popularityCurve(counts, 0);
      const place = (i: number): Measured => ({ value: sorted[i]!, chance: chance![i]!, n: counts.tokens });
      return { ...load, busiest: place(0), second: place(1), idlest: place(sorted.length - 1) };
    });
  });

  it('balance and capacity', () => {
    const sizes = SIZES.map((s) => ({ ...s, chats: 4, isBare: false }));
    expectCoverage(sizes, 600, (trace) => {
      const counts = stats.countsOf(trace);
      const { zLoss, ...balance } = stats.balanceStats(trace, 0, {}, { counts });
      expect(zLoss!.chance).toBeNull();
      const overflow = stats.overflowOf(counts, 0, 1.1);
      return { ...balance, devices: stats.deviceBalance(counts, 0, 4), overflow };
    });
  });

  it('repetition and agreement', () => {
    expectCoverage(SIZES, 600, (trace) => {
      const [one, three] = stats.repetitionOf(trace, 0, {}, [1, 3]);
      const { lag, ...next } = one!;
      expect(lag).toBe(1);
      const half = trace.steps.length / 2;
      const halves = stats.agreementOf({ trace, part: { to: half } }, { trace, part: { from: half } }, 0);
      return {
        ...next,
        any3: three!.any,
        jaccard3: three!.jaccard,
        anyOfHalves: halves.any,
        overlapOfHalves: halves.overlap,
      };
    });
  });

  it('reuse, co-activation, differences', () => {
    expectCoverage(SIZES, 600, (trace) => {
      const within = stats.reuseOf(trace, 0, {}, [1, 4, 16]).within;
      const half = trace.steps.length / 2;
      const [a, b] = [stats.countsOf(trace, { to: half }), stats.countsOf(trace, { from: half })];
      const { z, logOddsZ } = stats.differenceOf(a, b, 0);
      const co = stats.coactivationOf(trace, 0);
      return {
        ...Object.fromEntries(within.map((w) => [`within ${w.span}`, w.share])),
        conditional: stats.pairOf(co, 0, 1).conditional,
        z: withBand(z[0]!, half, -1.96, 1.96),
        logOddsZ: withBand(logOddsZ[0]!, half, -1.96, 1.96),
      };
    });
  });

  it('vocabulary and token types', () => {
    expectCoverage(SIZES.slice(0, 3), 800, (trace) => {
      const table = stats.typesOf(trace, 0)!;
      const of = stats.typeShares(table, 3);
      return {
        specialisation: stats.vocabularyOf(trace, 0, { least: 5 })!.specialisation,
        'function words': of[stats.TOKEN_TYPES.indexOf('function word')],
        newlines: of[stats.TOKEN_TYPES.indexOf('newline')],
      };
    });
  });

  it('what is made of counts alone, where they are not few', () => {
    const sizes = [
      { layers: 2, experts: 6, topK: 1, tokens: 720, isBare: true },
      { layers: 2, experts: 8, topK: 2, tokens: 600, isBare: true },
      { layers: 2, experts: 32, topK: 24, tokens: 400, isBare: true },
    ];
    expectCoverage(sizes, 700, (trace) => {
      const { experts, topK } = trace.model;
      const half = trace.steps.length / 2;
      const [a, b] = [stats.countsOf(trace, { to: half }), stats.countsOf(trace, { from: half })];
      // First experts of two layers are independent samples; chi-square needs several a cell.
      const top = topK > 2 ? null : stats.flowOf(trace, 0, 1, {}, { pairs: 'top', runs: 1 });
      return {
        distance: stats.distanceOf(a, b, 0),
        information: top && stats.informationOf(top.counts, experts, experts).bits,
      };
    });
  });

  const CHATS: readonly RandomRouting[] = [
    { layers: 2, experts: 8, topK: 2, tokens: 96, chats: 12, domains: 3, isBare: true },
    { layers: 2, experts: 6, topK: 1, tokens: 180, chats: 12, domains: 2, isBare: true },
  ];

  it('flow and paths', () => {
    expectCoverage(CHATS, 600, (trace) => {
      const { paths, tokens } = stats.pathsOf(trace, { from: 0, to: 2 }, {}, 100);
      const path = paths.find((p) => p.experts.join() === '1,2');
      return {
        flow: stats.flowOf(trace, 0, 1, {}, { runs: 60 }).information,
        path: { value: path?.share ?? 0, chance: paths[0]!.chance, n: tokens },
      };
    });
  });

  it('domains', () => {
    expectCoverage(CHATS, 600, (trace) => {
      const { distance, meanDistance } = stats.domainsOf(trace, 0)!;
      return { distance: distance[0]![1], 'mean distance': meanDistance };
    });
  });

  it('information on tokens and domains', () => {
    expectCoverage(CHATS, 600, (trace) => ({
      token: stats.expertInformation(trace, 0, 'token', {}, { runs: 299 })!.bits,
      domain: stats.expertInformation(trace, 0, 'domain')!.bits,
    }));
  });
});
