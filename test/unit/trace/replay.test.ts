import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidRequest } from '../../../src/errors.ts';
import { createPolicy, POLICY_NAMES } from '../../../src/policy/index.ts';
import type { ResidencyPolicy } from '../../../src/policy/policy.ts';
import { replay, type ReplayResult } from '../../../src/trace/replay.ts';
import { visitsOf, type Visits } from '../../../src/trace/visits.ts';
import { thinned, tries } from '../../support/everyday.ts';
import { anyTrace, cyclicTrace, loadTrace, PUBLIC_TRACES, traceOf } from '../../support/traces.ts';

/** The same accounting written down again, as plainly as can be: one pool, equal slots. */
function plainReplay(visits: Visits, policy: ResidencyPolicy, slots: number): { hits: number; evicted: string[] } {
  const resident = new Set<number>();
  const { experts: count } = visits.model;
  const evicted: string[] = [];
  let hits = 0;
  visits.layer.forEach((layer, v) => {
    const [from, to] = [visits.start[v]!, visits.start[v + 1]!];
    const keys = [...visits.experts.subarray(from, to)].map((e) => layer * count + e);
    hits += keys.filter((k) => resident.has(k)).length;
    for (const key of keys) resident.add(key);
    policy.visit(layer, visits.experts.subarray(from, to), visits.weights.subarray(from, to));
    while (resident.size > slots) {
      const order = [...resident]
        .filter((k) => !keys.includes(k))
        .sort((a, b) => a - b)
        .map((k) => ({ k, stale: policy.staleness(Math.floor(k / count), k % count, layer) }));
      if (order.length === 0) break;
      const worst = order.reduce((a, b) => (b.stale > a.stale ? b : a)).k;
      resident.delete(worst);
      evicted.push(`${v}:${worst}`);
    }
  });
  return { hits, evicted };
}

describe('replay', () => {
  it.each(POLICY_NAMES)('%s hits as a plain second implementation does', (name) => {
    fc.assert(
      fc.property(anyTrace, fc.integer({ min: 1, max: 30 }), (trace, slots) => {
        const visits = visitsOf(trace);
        const plain = plainReplay(visits, createPolicy(name, visits.model), slots);
        const fast = replay(trace, { policy: name, capacity: { slots } });
        expect(fast.hits).toBe(plain.hits);
      }),
    );
  });

  it('no policy beats Belady at any capacity', () => {
    fc.assert(
      fc.property(anyTrace, (trace) => {
        const { layers, experts } = trace.model;
        for (let slots = 1; slots <= layers * experts; slots += 1 + Math.floor(slots / 4)) {
          const best = replay(trace, { policy: 'belady', capacity: { slots } }).hits;
          for (const policy of POLICY_NAMES)
            expect(replay(trace, { policy, capacity: { slots } }).hits).toBeLessThanOrEqual(best);
        }
      }),
      { numRuns: tries(60) },
    );
  });

  it('notices a Belady that looks the wrong way', () => {
    const trace = cyclicTrace(2, 2, 3, 12);
    const hits = (policy: 'belady' | (() => ResidencyPolicy)): number =>
      replay(trace, { policy, capacity: { slots: 8 } }).hits;
    const blind: ResidencyPolicy = { ...createPolicy('lfu', trace.model), staleness: (l, e) => -(l * 10 + e) };
    expect(hits('belady')).toBeGreaterThan(hits(() => blind));
  });

  it('below one cycle LRU hits nothing, and next-use does', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 8 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        (layers, topK, period) => {
          const trace = cyclicTrace(layers, topK, period, 40);
          const cycle = layers * topK * period;
          const at = (policy: string, slots: number): ReplayResult => replay(trace, { policy, capacity: { slots } });
          // A visit's own experts stay until it ends: one visit's worth of slots less than the cycle, and each visit finds nothing.
          const below = cycle - topK;
          expect(at('lru', below).hits).toBe(0);
          expect(at('lru', cycle).decodeHitRate).toBeGreaterThan(0.5);
          if (below > topK) expect(at('next-use', below).hits).toBeGreaterThan(0);
        },
      ),
    );
  });

  it('counts what the metrics say', () => {
    // One layer, K 2, two slots; by hand.
    const trace = traceOf([[[0, 1]], [[0, 2]], [[0, 1]], [[0, 1]]], 4);
    const found = replay(trace, { policy: 'lru', capacity: { slots: 2 } });
    expect(found).toMatchObject({
      lookups: 8,
      hits: 4, // 0, 0, then 0 and 1
      loads: 4,
      bytes: 400,
      decodeHitRate: 0.5,
      fullLayerRate: 0.25,
      decodeLoadsPerToken: 1,
      decodeBytesPerToken: 100,
      rereadRatio: 0.25, // 1 came back
      compulsoryShare: 0.75,
    });
  });

  it('pools share the whole capacity, and one group of all layers is the global pool', () => {
    fc.assert(
      fc.property(anyTrace, fc.integer({ min: 4, max: 30 }), (trace, slots) => {
        const at = (pooling: 'global' | 'layer' | number): ReplayResult =>
          replay(trace, { policy: 'lru', capacity: { slots }, pooling });
        expect(at(trace.model.layers)).toEqual(at('global'));
        expect(at(1)).toEqual(at('layer'));
        const all = trace.model.layers * trace.model.experts;
        expect(replay(trace, { policy: 'lru', capacity: { slots: all }, pooling: 'layer' }).rereadRatio).toBe(0);
      }),
    );
  });

  it.each([
    [{ policy: 'lru', capacity: { slots: 0 } }, /capacity/],
    [{ policy: 'lru', capacity: { bytes: 1.5 } }, /capacity/],
    [{ policy: 'mru', capacity: { slots: 3 } }, /mru.*next-use/],
    [{ policy: 'lru', capacity: { slots: 3 }, pooling: 0 }, /group/],
    [{ policy: 'lru', capacity: { slots: 3 }, warm: [1] }, /popularity/],
  ])('refuses %j', (options, message) => {
    const run = (): ReplayResult => replay(cyclicTrace(2, 1, 2, 4), options);
    expect(run).toThrow(InvalidRequest);
    expect(run).toThrow(message);
  });
});

/** Best rows of the plain two-rate estimate (half 0.25, half 0.03, no weights, no echo), measured by this replay; points of decode hit rate. */
const PLAIN: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  qwen: { 3: 29.4, 5: 39.5, 10: 58.2, 20: 77.9, 33: 91.1, 50: 96.4 },
  gemma: { 3: 29.6, 5: 40.4, 10: 57.9, 20: 75.8, 33: 88.5, 50: 95.7 },
  gptoss: { 3: 35.2, 5: 47.0, 10: 61.1, 20: 75.8, 33: 84.5, 50: 89.1 },
};

describe.each(thinned(PUBLIC_TRACES, PUBLIC_TRACES.length))('next-use on %s', (name) => {
  const visits = visitsOf(loadTrace(name));
  const { layers, experts } = visits.model;
  it('is at least the plain estimate everywhere, and within 2 points of the best of the others', () => {
    for (const [percent, plain] of thinned(Object.entries(PLAIN[name]!), 6)) {
      const capacity = { slots: Math.round((layers * experts * Number(percent)) / 100) };
      const at = (policy: string): number => 100 * replay(visits, { policy, capacity }).decodeHitRate;
      const found = at('next-use');
      expect(found, `${percent} %`).toBeGreaterThan(plain - 0.06);
      expect(found, `${percent} %`).toBeGreaterThan(Math.max(at('lru'), at('lfu')) - 2);
    }
  });
});

it('next-use leads on many chats of a small model, at every capacity', () => {
  const visits = visitsOf(loadTrace('smolmoe'));
  const { layers, experts } = visits.model;
  for (const percent of thinned([10, 33, 50, 75], 4)) {
    const capacity = { slots: Math.round((layers * experts * percent) / 100) };
    const at = (policy: string): number => replay(visits, { policy, capacity }).decodeHitRate;
    expect(at('next-use'), `${percent} %`).toBeGreaterThan(Math.max(at('lru'), at('lfu')) + 0.02);
  }
});
