import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { belady } from '../../../src/policy/belady.ts';
import { createPolicy, POLICY_NAMES } from '../../../src/policy/index.ts';
import type { ResidencyPolicy } from '../../../src/policy/policy.ts';
import { visitsOf } from '../../../src/trace/visits.ts';
import { prng } from '../../../src/util/prng.ts';
import { anyTrace } from '../../support/traces.ts';

const SHAPE = { layers: 3, experts: 4 };
const policy = (name: string): ResidencyPolicy => createPolicy(name, SHAPE);
/** Experts of layer 0 from the one that leaves first. */
const order = (p: ResidencyPolicy): number[] =>
  [0, 1, 2, 3].sort((a, b) => p.staleness(0, b, 0) - p.staleness(0, a, 0) || a - b);

describe.each(POLICY_NAMES)('%s', (name) => {
  it('gives chances, and numbers that order', () => {
    fc.assert(
      fc.property(anyTrace, (trace) => {
        const visits = visitsOf(trace);
        const { layers, experts } = trace.model;
        const p = createPolicy(name, { layers, experts });
        for (let v = 0; v < visits.layer.length; v++) {
          const [from, to] = [visits.start[v]!, visits.start[v + 1]!];
          p.visit(visits.layer[v]!, visits.experts.subarray(from, to), visits.weights.subarray(from, to));
        }
        for (let l = 0; l < layers; l++)
          for (let e = 0; e < experts; e++) {
            const chance = p.popularity(l, e);
            expect(chance >= 0 && chance <= 1, `chance ${chance}`).toBe(true);
            expect(Number.isNaN(p.staleness(l, e, 0))).toBe(false);
          }
      }),
      { numRuns: 40 },
    );
  });
  it('keeps what an earlier session used', () => {
    const p = policy(name);
    p.warm([0.1, 0.9, 0.2, 0.3, 0, 0, 0, 0, 0, 0, 0, 0]);
    if (name !== 'lru') expect(order(p)).toEqual([0, 2, 3, 1]);
    expect(order(p).at(-1)).toBe(1);
  });
  it('gives numbers after tokens that use no expert', () => {
    const p = policy(name);
    for (const used of [[], [1], [], [1], [2]])
      for (let layer = 0; layer < 3; layer++)
        p.visit(
          layer,
          used,
          used.map(() => 1),
        );
    for (let e = 0; e < 4; e++) expect(Number.isFinite(p.staleness(0, e, 0)), `expert ${e}`).toBe(true);
  });
  it('needs no weights', () => {
    const p = policy(name);
    p.visit(0, [1, 2]);
    p.visit(1, [0]);
    p.visit(0, [1, 3]);
    if (name !== 'static-hot') expect(order(p)[0]).toBe(0);
  });
});

test('lru: by last use', () => {
  const p = policy('lru');
  for (const e of [2, 0, 3, 1, 0]) p.visit(0, [e]);
  expect(order(p)).toEqual([2, 3, 1, 0]);
});

test('lfu: by uses, then by last use', () => {
  const p = policy('lfu');
  for (const e of [2, 2, 0, 3, 1]) p.visit(0, [e]);
  expect(order(p)).toEqual([0, 3, 1, 2]);
  expect(p.popularity(0, 2)).toBe(0.4);
});

test('static-hot: nothing moves its ranks', () => {
  const p = policy('static-hot');
  p.warm([0.4, 0.3, 0.2, 0.1, ...Array<number>(8).fill(0)]);
  for (let n = 0; n < 9; n++) p.visit(0, [3]);
  expect(order(p)).toEqual([3, 2, 1, 0]);
});

describe('belady', () => {
  const future = [
    { layer: 0, experts: [0, 1] },
    { layer: 0, experts: [2] },
    { layer: 0, experts: [1] },
    { layer: 0, experts: [0] },
  ];
  it('knows the next use of each', () => {
    const p = belady(SHAPE, future);
    p.visit(0, [0, 1]);
    expect([0, 1, 2, 3].map((e) => p.staleness(0, e, 0))).toEqual([2, 1, 0, Infinity]);
  });
  it('refuses another future', () => {
    const p = belady(SHAPE, future);
    expect(() => p.visit(0, [3])).toThrow(/not the one/);
  });
});

describe('next-use', () => {
  it('waits for a layer that runs soon, not for one that just ran', () => {
    const p = policy('next-use');
    for (let n = 0; n < 3; n++) for (const layer of [0, 1, 2]) p.visit(layer, [0, 1]);
    p.visit(0, [0, 1]);
    const wait = [0, 1, 2].map((layer) => p.staleness(layer, 0, 0));
    expect(wait[1]!).toBeLessThan(wait[2]!);
    expect(wait[2]!).toBeLessThan(wait[0]!);
  });
  it('counts a large share of the router’s weight for more', () => {
    const p = policy('next-use');
    for (let n = 0; n < 4; n++) p.visit(0, [0, 1], [0.9, 0.1]);
    expect(p.popularity(0, 0)).toBeGreaterThan(p.popularity(0, 1));
  });
  it('a burst counts more now, a habit later', () => {
    const p = policy('next-use');
    for (let n = 0; n < 30; n++) p.visit(0, n % 2 ? [0] : [1]);
    for (let n = 0; n < 5; n++) p.visit(0, [2]);
    expect(p.popularity(0, 2)).toBeGreaterThan(p.popularity(0, 0));
    for (let n = 0; n < 12; n++) p.visit(0, [3]);
    expect(p.popularity(0, 0)).toBeGreaterThan(p.popularity(0, 2));
  });
  it('expects what followed the last time', () => {
    // The first layers show the word, the last one takes an expert by it; overall its experts are about as common.
    const layers = 12;
    const p = createPolicy('next-use', { layers, experts: 4 });
    const draw = prng(5);
    const read = (word: number): void => {
      for (let layer = 0; layer < layers - 1; layer++) p.visit(layer, [word], [1]);
    };
    for (let n = 0; n < 60; n++) {
      const word = Math.floor(draw() * 4);
      read(word);
      if (n >= 20) {
        const waits = [0, 1, 2, 3].map((e) => p.staleness(layers - 1, e, layers - 2));
        expect(waits.indexOf(Math.min(...waits)), `word ${n}`).toBe(word);
      }
      p.visit(layers - 1, [word], [1]);
    }
  });
  it('remembers a window, and works on beyond it', () => {
    const p = createPolicy('next-use', { layers: 2, experts: 4 });
    for (let n = 0; n < 700; n++) for (const layer of [0, 1]) p.visit(layer, [n % 3, 3], [0.5, 0.5]);
    p.visit(0, [700 % 3, 3], [0.5, 0.5]);
    const waits = [0, 1, 2].map((e) => p.staleness(1, e, 0));
    expect(waits.indexOf(Math.min(...waits))).toBe(700 % 3);
  });
});
