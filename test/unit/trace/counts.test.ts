/** Tables of published counts: files, and what the papers' own figures say of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { unzipSync, zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { InvalidTrace } from '../../../src/errors.ts';
import { readCounts, writeCounts } from '../../../src/trace/counts-npz.ts';
import type { CountsTable } from '../../../src/trace/counts-table.ts';
import { encodeNpy } from '../../../src/trace/npy.ts';
import { DATA } from '../../support/traces.ts';

const small: CountsTable = {
  model: { name: 'x', experts: 2, topK: 1 },
  layers: [0, 5],
  domains: ['code', '<b>'],
  counts: Uint32Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  pairs: { layers: [[0, 5]], counts: Uint32Array.of(1, 1, 2, 2, 3, 3, 4, 2 ** 31) },
  topTokens: { most: 1, entries: Int32Array.from({ length: 16 }, (_, i) => (i > 13 ? -1 : i)) },
  provenance: { kind: 'published', note: 'a test' },
};
const meta = (change: Record<string, unknown>): Uint8Array => {
  const members = unzipSync(writeCounts(small));
  const json = JSON.parse(new TextDecoder().decode(members['meta.npy']!.subarray(128))) as Record<string, unknown>;
  const text = new TextEncoder().encode(JSON.stringify({ ...json, ...change }));
  return zipSync({ ...members, 'meta.npy': encodeNpy(text, [text.length]) });
};

describe('a table of counts', () => {
  it('comes back whole, with pairs and tokens or without', () => {
    expect(readCounts(writeCounts(small))).toEqual(small);
    const bare = { ...small, pairs: null, topTokens: null };
    expect(readCounts(writeCounts(bare))).toEqual(bare);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['a later version', meta({ version: 2 }), /version 2; this webmoe reads 1/],
    ['a trace', meta({ format: 'webmoe-trace' }), /no webmoe-counts/],
    ['no domains', meta({ domains: null }), /must list/],
    ['another number of domains', meta({ domains: ['a'] }), /must be u4 \[1, /],
    ['a layer twice', meta({ layers: [3, 3] }), /different numbers/],
    ['a model without name', meta({ model: { experts: 2, topK: 1 } }), /short texts/],
    ['a pair of three layers', meta({ pairs: [[0, 5, 7]] }), /two layers/],
    ['no origin', meta({ provenance: {} }), /where its counts come from/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => readCounts(bytes, 'x')).toThrow(InvalidTrace);
    expect(() => readCounts(bytes, 'x')).toThrow(message);
  });
});

describe.each([
  ['olmoe', 64, 8],
  ['mixtral', 8, 2],
] as const)('the published counts of %s', (id, experts, topK) => {
  const table = readCounts(readFileSync(join(DATA, `${id}-counts.npz`)), id);
  const row = (domain: string, layer: number): Uint32Array => {
    const at = (table.domains.indexOf(domain) * 3 + table.layers.indexOf(layer)) * experts;
    return table.counts.subarray(at, at + experts);
  };

  it('are of five domains at three layers, about 209,000 tokens each', () => {
    expect(table.model).toMatchObject({ experts, topK });
    expect([...table.domains].sort()).toEqual(['arxiv', 'book', 'c4', 'github', 'wikipedia']);
    expect(table.layers).toEqual([0, 7, 15]);
    for (const domain of table.domains)
      for (const layer of table.layers) {
        const tokens = row(domain, layer).reduce((a, b) => a + b, 0) / topK;
        expect(tokens).toBeGreaterThan(190_000);
        expect(tokens).toBeLessThan(230_000);
      }
  });

  it('give the load balance that was computed from them elsewhere', () => {
    // H / ln E and MaxVio of layer 7, by domain.
    const known = {
      olmoe: { c4: [0.9817, 1.66], github: [0.8514, 5.16] },
      mixtral: { c4: [0.9996, 0.08], github: [0.9964, 0.25] },
    };
    for (const [domain, [entropy, maxVio]] of Object.entries(known[id])) {
      const counts = [...row(domain, 7)];
      const total = counts.reduce((a, b) => a + b, 0);
      const h = -counts.reduce((sum, n) => sum + (n / total) * Math.log(n / total), 0) / Math.log(experts);
      expect(h).toBeCloseTo(entropy!, 4);
      expect(Math.max(...counts) / (total / experts) - 1).toBeCloseTo(maxVio!, 2);
    }
  });

  it('name the ten most frequent tokens of an expert, by falling count', () => {
    const { most, entries } = table.topTokens!;
    expect(most).toBe(10);
    let known = 0;
    for (let at = 0; at < entries.length; at += 20) {
      const counts = [...entries.subarray(at, at + 20)].filter((_, i) => i % 2 === 1);
      expect(counts).toEqual([...counts].sort((a, b) => b - a));
      if (counts[0]! > 0) known++;
    }
    expect(known).toBe((id === 'olmoe' ? 4 : 5) * 3 * experts); // nobody published C4 of OLMoE
  });
});
