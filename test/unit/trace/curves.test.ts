/** Our replay against hit rates that another project printed for the same traces: the gate before any figure of ours counts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ResidencyPolicy } from '../../../src/policy/policy.ts';
import { lru } from '../../../src/policy/lru.ts';
import { replay, type ReplayOptions } from '../../../src/trace/replay.ts';
import { visitsOf } from '../../../src/trace/visits.ts';
import { thinned } from '../../support/everyday.ts';
import { loadTrace, PUBLIC_TRACES, TRACES } from '../../support/traces.ts';

/** Theirs -> ours. Their random needs their generator. */
const POLICIES: Readonly<Record<string, Pick<ReplayOptions, 'policy' | 'pooling'>>> = {
  belady: { policy: 'belady' },
  lru: { policy: 'lru' },
  lfu: { policy: 'lfu' },
  layer: { policy: 'lru', pooling: 'layer' },
  layerlfu: { policy: 'lfu', pooling: 'layer' },
};
/** They print three digits, so equal is within half of the last one. */
const PRINTED = 0.00051;
const MIB = 2 ** 20;
const SOME_MIB = [500, 1500, 3000, 8000];

interface Row {
  readonly mib: number;
  readonly policy: string;
  readonly total: number;
  readonly decode: number;
  readonly readMib: number;
}

const curve = (name: string): Row[] =>
  readFileSync(join(TRACES, `${name}-curve.csv`), 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(','))
    .map(([mib, policy, ...numbers]) => {
      const [total, decode, readMib] = numbers.map(Number);
      return { mib: Number(mib), policy: policy!, total: total!, decode: decode!, readMib: readMib! };
    });

describe.each(PUBLIC_TRACES)('%s', (name) => {
  const visits = visitsOf(loadTrace(name));
  const rows = curve(name);
  it.each(
    thinned(
      [
        ['lfu', 4],
        ['belady', 11],
        ['lru', 11],
        ['layer', 4],
        ['layerlfu', 4],
      ] as const,
      3,
    ),
  )('%s at %s budgets', (theirs, budgets) => {
    const found = rows.filter((r) => r.policy === theirs && (budgets === 11 || SOME_MIB.includes(r.mib)));
    expect(found).toHaveLength(budgets);
    for (const row of found) {
      const ours = replay(visits, { ...POLICIES[theirs]!, capacity: { bytes: row.mib * MIB } });
      const at = `${row.mib} MiB`;
      expect(Math.abs(100 * ours.hitRate - row.total), at).toBeLessThan(PRINTED);
      expect(Math.abs(100 * ours.decodeHitRate - row.decode), at).toBeLessThan(PRINTED);
      // Among experts that are never used again Belady may take either; where layers differ in size, the bytes then differ a little.
      if (theirs !== 'belady') expect(Math.abs(ours.bytes / MIB - row.readMib), at).toBeLessThan(0.051);
    }
  });
});

describe('the comparison notices', () => {
  const visits = visitsOf(loadTrace('qwen'));
  const row = curve('qwen').find((r) => r.policy === 'lru' && r.mib === 4000)!;
  const shape = visits.model;
  const off = (policy: () => ResidencyPolicy, from = visits): number =>
    Math.abs(100 * replay(from, { policy, capacity: { bytes: row.mib * MIB } }).decodeHitRate - row.decode);

  it.each<[string, () => ResidencyPolicy]>([
    [
      'a policy that evicts the newest',
      () => {
        const inner = lru(shape);
        return { ...inner, staleness: (...args) => -inner.staleness(...args) };
      },
    ],
    [
      'a policy that misses every second visit',
      () => {
        const inner = lru(shape);
        let n = 0;
        return { ...inner, visit: (...args) => void (n++ % 2 && inner.visit(...args)) };
      },
    ],
  ])('%s', (_, policy) => {
    expect(off(() => lru(shape))).toBeLessThan(PRINTED);
    expect(off(policy)).toBeGreaterThan(0.5);
  });

  it('a prompt that touches its experts in another order', () => {
    const [from, to] = [visits.start[shape.layers - 2]!, visits.start[shape.layers - 1]!];
    const experts = visits.experts.slice();
    experts.subarray(0, visits.start[shape.layers]).reverse();
    expect(to).toBeGreaterThan(from);
    expect(off(() => lru(shape), { ...visits, experts })).toBeGreaterThan(PRINTED);
  });
});
