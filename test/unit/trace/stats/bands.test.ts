import { describe, expect, it } from 'vitest';
import * as stats from '../../../../src/trace/stats/index.ts';
import type { Chance } from '../../../../src/trace/stats/index.ts';
import { randomTrace } from '../../../support/random-routing.ts';
import { loadTrace } from '../../../support/traces.ts';

describe('bands', () => {
  const counts = (tokens: number): stats.LayerCounts =>
    stats.countsFrom([[...Array<number>(6).fill(0), tokens, tokens]], 2);

  it('are the same each time, in whatever order they are asked for, and say how they were made', () => {
    const shape = (tokens: number): Chance => stats.loadStats(counts(tokens), 0).cv.chance!;
    const before = [30, 50, 40, 700].map(shape);
    expect(before.map(({ how, runs, seed }) => [how, runs, seed])).toEqual(Array(4).fill(['simulated', 2000, 1]));
    // Other sizes push these out of what is kept.
    for (let t = 1; t < 300; t++) stats.loadStats(stats.countsFrom([[t, t]], 1), 0);
    expect([700, 40, 30, 50].map(shape)).toEqual([3, 2, 0, 1].map((i) => before[i]));
  });

  it('go on smoothly from simulated tokens to their normal limit', () => {
    const [exact, normal] = [512, 513].map((t) => stats.loadStats(counts(t), 0));
    for (const name of ['cv', 'maxVio', 'gini', 'topQuarter'] as const)
      expect(normal![name].chance!.mean / exact![name].chance!.mean).toBeCloseTo(1, 1);
    expect(normal!.unused.chance).toMatchObject({ mean: 0, low: 0, high: 0 });
  });

  it.each(['overlap', 'jaccard'] as const)(
    'of %s go on smoothly from simulated pairs to their normal limit',
    (name) => {
      const trace = randomTrace(1, { layers: 1, experts: 16, topK: 4, tokens: 257, isBare: true });
      const [before, after] = [256, 257].map((to) => stats.repetitionOf(trace, 0, { to })[0]![name].chance!);
      expect([before!.how, after!.how]).toEqual(['simulated', 'normal']);
      expect(after!.mean).toBe(before!.mean);
      const width = ({ low, high }: Chance): number => high - low;
      expect(width(after!) / width(before!)).toBeCloseTo(1, 1);
    },
  );

  it('keep the sum of the counts in the limit', () => {
    // Of 600 tokens and two experts one has |x| too many, x normal with a deviation of √(600 / 4): on average √(2 / π) of it.
    const { chance } = stats.overflowOf(stats.countsFrom([[300, 300]], 1), 0, 1);
    expect((chance!.mean * 600) / (Math.sqrt(2 / Math.PI) * Math.sqrt(150))).toBeCloseTo(1, 1);
  });

  it('are those that docs/statistics.md shows', () => {
    const trace = loadTrace('qwen');
    const { cv } = stats.loadStats(stats.countsOf(trace, { phase: 'decode' }), 12);
    const { any } = stats.repetitionOf(trace, 12, { phase: 'decode' })[0]!;
    const plain = ({ value, chance, n }: stats.Measured, places: number): unknown => {
      const [mean, low, high] = [chance!.mean, chance!.low, chance!.high].map((x) => Number(x.toFixed(places)));
      return { value: Number(value.toFixed(places)), chance: { ...chance, mean, low, high }, n };
    };
    const how = { how: 'simulated', runs: 2000, seed: 1 };
    expect(plain(cv, 2)).toEqual({ value: 2.09, chance: { mean: 0.4, low: 0.35, high: 0.45, ...how }, n: 128 });
    expect(plain(any, 3)).toEqual({
      value: 0.937,
      chance: { mean: 0.255, low: 0.181, high: 0.331, how: 'exact' },
      n: 127,
    });
  });

  it.each([
    [8, 2, 0.464],
    [64, 8, 0.679],
    [128, 8, 0.412],
  ])('of any expert in common, %i experts and %i a token: %d', (experts, k, share) => {
    expect(stats.sharesAny(experts, k)).toBeCloseTo(share, 3);
  });
});
