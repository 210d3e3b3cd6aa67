/** Whatever the trace, statistics are numbers, within their limits, or typed errors. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidRequest } from '../../../../src/errors.ts';
import * as stats from '../../../../src/trace/stats/index.ts';
import { ABSENT, tokensOf, type Trace } from '../../../../src/trace/trace.ts';
import { anyTrace } from '../../../support/traces.ts';

/** With ids, texts, logits and domains, and some experts absent. */
const fullTrace: fc.Arbitrary<Trace> = fc.tuple(anyTrace, fc.nat(3), fc.boolean()).map(([trace, gaps, isSigmoid]) => {
  const { layers, topK, experts } = trace.model;
  const tokens = tokensOf(trace.steps);
  const ids = trace.ids.map((id, i) => {
    const row = Math.floor(i / topK);
    return gaps > 0 && (row * 7) % 5 < gaps && i % topK >= row % (topK + 1) ? ABSENT : id;
  });
  const weights = trace.weights?.map((w, i) => (ids[i] === ABSENT ? 0 : w)) ?? null;
  const logits = Float32Array.from({ length: tokens * layers * experts }, (_, i) => ((i * 37) % 101) / 10 - 5);
  return {
    ...trace,
    ids,
    weights,
    tokens: Int32Array.from({ length: tokens }, (_, t) => (t * t) % 5),
    texts: Array.from({ length: tokens }, (_, t) => [' the', '\n', 'x', '7'][t % 4]!),
    logits,
    scoring: isSigmoid ? 'sigmoid' : 'softmax',
    chats: [0, 1, 2].map((c) => ({ name: `${c}`, domain: c === 2 ? null : 'abc'[c]! })),
  };
});

const PARTS: readonly stats.Part[] = [{}, { phase: 'prefill' }, { chat: 1 }, { to: 1 }, { from: 3, to: 3 }];
const runs = { runs: 20 };

/** All statistics of one layer that must be free of NaN. */
const everything = (trace: Trace, layer: number, part: stats.Part): Record<string, unknown> => {
  const counts = stats.countsOf(trace, part);
  const { shapes, ...plain } = counts;
  const types = stats.typesOf(trace, layer, part)!;
  return {
    shapes,
    plain,
    load: stats.loadStats(counts, layer),
    balance: stats.balanceStats(trace, layer, part),
    popularity: stats.popularityCurve(counts, layer),
    repetition: stats.repetitionOf(trace, layer, part, [1, 2]),
    agreement: stats.agreementOf({ trace, part }, { trace }, layer),
    reuse: stats.reuseOf(trace, layer, part, [1, 2]),
    coactivation: stats.coactivationOf(trace, layer, part),
    pair: stats.pairOf(stats.coactivationOf(trace, layer, part), 0, 1),
    flow: stats.flowOf(trace, layer, 0, part, runs),
    token: stats.expertInformation(trace, layer, 'token', part, runs),
    domain: stats.expertInformation(trace, layer, 'domain', part, runs),
    domains: stats.domainsOf(trace, layer, part, runs),
    distance: stats.distanceOf(counts, stats.countsOf(trace), layer),
    difference: stats.differenceOf(counts, stats.countsOf(trace), layer),
    vocabulary: stats.vocabularyOf(trace, layer, { part, least: 1 }),
    next: stats.vocabularyOf(trace, layer, { part, least: 1, of: 'next' }),
    top: stats.topTokens(trace, layer, 0, { part }),
    types,
    shares: stats.typeShares(types, 0),
    overflow: stats.overflowOf(counts, layer, 1),
    dropped: stats.dropTokens(trace, layer, { factor: 1, order: 'gate', part }),
    paths: stats.pathsOf(trace, { from: 0, to: trace.model.layers }, part),
    explained: stats.atlasOf(trace, part).explained,
  };
};

/** Where numbers that are none are, and bands that end before they begin. */
function faults(value: unknown, path = ''): string[] {
  if (typeof value === 'number') return Number.isFinite(value) ? [] : [`${path} is ${value}`];
  if (typeof value !== 'object' || value === null) return [];
  const entries = ArrayBuffer.isView(value) ? Array.from(value as Float64Array).entries() : Object.entries(value);
  const below = [...entries].flatMap(([key, v]) => faults(v, `${path}.${key}`));
  if (!('low' in value && 'high' in value && 'mean' in value)) return below;
  // The mean of a rare thing may lie outside: its band can be 0 to 0.
  const { low, high } = value as unknown as stats.Chance;
  return low <= high ? below : [...below, `${path}: ${low} to ${high}`];
}

describe('of any trace', () => {
  it('all statistics are numbers', () => {
    fc.assert(
      fc.property(fullTrace, fc.constantFrom(...PARTS), (trace, part) => {
        const layer = trace.model.layers - 1;
        expect(faults(everything(trace, layer, part))).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('they keep their limits', () => {
    fc.assert(
      fc.property(fullTrace, (trace) => {
        const { experts } = trace.model;
        const counts = stats.countsOf(trace);
        const { share, ...load } = stats.loadStats(counts, 0, { chance: false });
        const within = ({ value }: stats.Measured, low: number, high: number): void => {
          expect(value).toBeGreaterThanOrEqual(low - 1e-9);
          expect(value).toBeLessThanOrEqual(high + 1e-9);
        };
        if (load.cv.n > 0) {
          expect(share.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
          within(load.effective, 1, experts);
          within(load.maxVio, 0, experts - 1);
        }
        for (const name of ['entropy', 'gini', 'topQuarter', 'unused', 'rare'] as const) within(load[name], 0, 1);
        expect(load.rare.value).toBeGreaterThanOrEqual(load.unused.value);
        const [{ any, overlap, jaccard, same }] = stats.repetitionOf(trace, 0) as [stats.Repetition];
        for (const [less, more] of [
          [same, jaccard],
          [jaccard, overlap],
          [overlap, any],
        ] as const)
          within(less, 0, more.value);
        const { pairs } = stats.coactivationOf(trace, 0);
        for (let i = 0; i < experts; i++)
          for (let j = 0; j < experts; j++) {
            expect(pairs[i * experts + j]).toBe(pairs[j * experts + i]);
            expect(pairs[i * experts + j]).toBeLessThanOrEqual(pairs[i * (experts + 1)]!);
          }
        within(stats.flowOf(trace, 0, 0, {}, runs).information, 0, Math.log2(experts));
        const { dropped, overflow } = stats.dropTokens(trace, 0, { factor: 1, order: 'position' });
        expect(overflow).toBeCloseTo(stats.overflowOf(counts, 0, 1).value, 12);
        expect(dropped.length).toBe(tokensOf(trace.steps) * trace.model.topK);
      }),
      { numRuns: 60 },
    );
  });

  it('a layer that does not exist is refused by all', () => {
    const [trace] = fc.sample(fullTrace, { numRuns: 1, seed: 1 });
    const counts = stats.countsOf(trace!);
    const { layers } = trace!.model;
    for (const layer of [-1, layers, 0.5, NaN])
      for (const call of [
        () => stats.loadStats(counts, layer),
        () => stats.balanceStats(trace!, layer),
        () => stats.popularityCurve(counts, layer),
        () => stats.repetitionOf(trace!, layer),
        () => stats.reuseOf(trace!, layer),
        () => stats.coactivationOf(trace!, layer),
        () => stats.flowOf(trace!, 0, layer),
        () => stats.routerZLoss(trace!, layer),
        () => stats.sequenceBalance(trace!, layer),
        () => stats.gateOf(trace!, layer),
        () => stats.domainsOf(trace!, layer),
        () => stats.differenceOf(counts, counts, layer),
        () => stats.vocabularyOf(trace!, layer),
        () => stats.typesOf(trace!, layer),
        () => stats.dropTokens(trace!, layer, { factor: 1, order: 'gate' }),
      ])
        expect(call, `${layer}: ${String(call)}`).toThrow(InvalidRequest);
  });
});
