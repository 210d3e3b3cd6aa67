import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Ghost } from '../../../src/policy/ghost.ts';
import { createPolicy } from '../../../src/policy/index.ts';
import { Pools } from '../../../src/trace/pool.ts';
import { replay } from '../../../src/trace/replay.ts';
import { visitsOf } from '../../../src/trace/visits.ts';
import { loadTrace } from '../../support/traces.ts';

/** An LRU of `slots` over single keys; tells the ghost what leaves. */
function lruHits(keys: readonly number[], slots: number, ghost?: Ghost): number {
  const order: number[] = [];
  let hits = 0;
  for (const key of keys) {
    ghost?.onLookups(1);
    const at = order.indexOf(key);
    if (at >= 0) {
      hits++;
      order.splice(at, 1);
    } else ghost?.onMiss(key);
    order.push(key);
    if (order.length <= slots) continue;
    const left = order.shift()!;
    ghost?.onLeave(left);
  }
  return hits;
}

test('is exact for LRU', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 25 }), { minLength: 1, maxLength: 200 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 20 }),
      (keys, slots, size) => {
        const ghost = new Ghost(size);
        const hits = lruHits(keys, slots, ghost);
        const more = Array.from({ length: size }, (_, n) => n + 1);
        for (const { moreSlots, gain } of ghost.curve(more))
          expect(hits + gain * keys.length, `${moreSlots} more`).toBeCloseTo(lruHits(keys, slots + moreSlots), 6);
      },
    ),
  );
});

test('a load on a guess is no evidence', () => {
  const ghost = new Ghost(4);
  ghost.onLookups(10);
  ghost.onLeave(1);
  ghost.onLoad(1);
  ghost.onMiss(1);
  expect(ghost.curve([4])[0]!.gain).toBe(0);
});

test('says no more than it remembers, and fades', () => {
  const ghost = new Ghost(2);
  ghost.onLookups(10);
  for (const key of [1, 2, 3]) ghost.onLeave(key);
  ghost.onMiss(1); // pushed out by 3
  ghost.onMiss(2);
  expect(ghost.curve([1, 2, 100]).map((p) => p.gain)).toEqual([0, 0.1, 0.1]);
  ghost.age(0.5);
  ghost.onLookups(5);
  expect(ghost.curve([2])[0]!.gain).toBe(0.05);
});

test('says within 4 points what half as many slots again bring to next-use', () => {
  const visits = visitsOf(loadTrace('gptoss'));
  const { layers, experts } = visits.model;
  const slots = 460;
  const policy = createPolicy('next-use', visits.model);
  const ghost = new Ghost(slots);
  const pools = new Pools({
    shape: visits.model,
    pooling: 'global',
    capacity: slots,
    sizes: new Uint8Array(layers).fill(1),
  });
  visits.layer.forEach((layer, v) => {
    const used = visits.experts.subarray(visits.start[v], visits.start[v + 1]);
    const keys = new Set(Array.from(used, (e) => layer * experts + e));
    ghost.onLookups(used.length);
    for (const expert of used) {
      if (pools.has(layer, expert)) continue;
      ghost.onMiss(layer * experts + expert);
      pools.add(layer, expert);
    }
    policy.visit(layer, used, visits.weights.subarray(visits.start[v], visits.start[v + 1]));
    for (const key of pools.victims(policy, layer, (k) => keys.has(k))) {
      pools.remove(key);
      ghost.onLeave(key);
    }
  });
  const rate = (n: number): number => replay(visits, { policy: 'next-use', capacity: { slots: n } }).hitRate;
  for (const { moreSlots, gain } of ghost.curve([115, 230])) {
    const real = rate(slots + moreSlots) - rate(slots);
    expect(real).toBeGreaterThan(0.02);
    expect(Math.abs(gain - real), `${moreSlots} more: ${gain} for ${real}`).toBeLessThan(0.04);
  }
});
