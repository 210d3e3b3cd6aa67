import { describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import type { Trace } from '../../../src/trace/trace.ts';
import type { State, View } from '../../../src/viz/view.ts';
import { chainOrder } from '../../../src/viz/figures/order.ts';
import { atlas } from '../../../src/viz/views/atlas.ts';
import { capacity } from '../../../src/viz/views/capacity.ts';
import { coactivation } from '../../../src/viz/views/coactivation.ts';
import type { DomainCounts } from '../../../src/viz/views/domain-source.ts';
import { domains } from '../../../src/viz/views/domains.ts';
import { heatmap, type Heat } from '../../../src/viz/views/heatmap.ts';
import { flow } from '../../../src/viz/views/flow.ts';
import { load } from '../../../src/viz/views/load.ts';
import { popularity } from '../../../src/viz/views/popularity.ts';
import { repetition } from '../../../src/viz/views/repetition.ts';
import { contextOf } from '../../support/viz-context.ts';
import { bareTrace, syntheticTrace } from '../../support/viz-traces.ts';

type Row = readonly (string | number | null)[];

function tableOf<D, S extends State>(
  view: View<D, S>,
  trace: Trace,
  options: Parameters<typeof contextOf<D, S>>[2] = {},
): { readonly rows: readonly Row[]; readonly summary: string; readonly context: ReturnType<typeof contextOf<D, S>> } {
  const context = contextOf(view, trace, options);
  const data = view.compute(context) as D;
  const { columns, rows } = view.table(data, context);
  for (const row of rows) expect(row).toHaveLength(columns.length);
  return { rows, summary: view.summary(data, context), context };
}

/** 4 tokens, 2 layers, 4 experts, 2 a token: a row of `ids` is a layer of a token. */
const small: Trace = {
  model: { name: 'small', layers: 2, experts: 4, topK: 2, expertBytes: [1, 1] },
  steps: [{ phase: 'prefill', chat: 0, position: 0, tokens: 4 }],
  ids: Uint16Array.from(
    [
      [0, 1],
      [3, 2],
      [0, 1],
      [3, 2],
      [2, 0],
      [1, 0],
      [3, 1],
      [3, 0],
    ].flat(),
  ),
  weights: null,
  origins: null,
};

describe('moe-load', () => {
  it('tabulates measures, shares and their chance', () => {
    const { rows, summary } = tableOf(load, small);
    const shares = rows.filter(([what]) => what === 'share of choices f');
    expect(shares.map((r) => r[3])).toEqual([3 / 8, 3 / 8, 1 / 8, 1 / 8]);
    expect(shares[0]!.slice(4, 7)).toEqual([1 / 4, 0, 1 / 2]);
    const [cv] = rows.filter(([what, layer]) => what === 'CV' && layer === 0);
    expect(cv![3]).toBeCloseTo(0.5, 12);
    expect(summary).toMatch(
      /^4 tokens, 2 of 4 experts each: an even share is 25\.0 %\. CV of layer 0: 0\.500 \(by chance/,
    );
  });
  it('gives each group its measures, and leaves out what the trace lacks', () => {
    const names = (group: string, trace: Trace): unknown[] => [
      ...new Set(tableOf(load, trace, { state: { group: group as 'losses' } }).rows.map(([what]) => what)),
    ];
    expect(names('losses', small)).toEqual(['Load CV²', 'share of choices f']);
    const full = syntheticTrace();
    expect(names('losses', full)).toContain('Switch f·P');
    expect(names('losses', full)).toContain('Router z-loss');
    expect(names('devices', full)).toContain('Device balance');
    expect(names('information', full)).toEqual(expect.arrayContaining(['I(expert; token)', 'I(expert; domain)']));
  });
  it('takes only numbers of devices that divide', () => {
    const value = (devices: string): unknown =>
      tableOf(load, small, { state: { group: 'devices', devices } }).rows.find(
        ([what]) => what === 'Device balance',
      )![3];
    expect(value('2')).toBeCloseTo(0.5, 12);
    expect(value('3')).toBeCloseTo(0.5, 12);
  });
});

it('moe-heatmap sorts each layer by itself and keeps the experts’ numbers in its table', () => {
  const of = (order: 'id' | 'load' | 'cluster') => {
    const context = contextOf(heatmap, small, { state: { as: 'count', order } });
    const data = heatmap.compute(context) as Heat;
    return {
      order: data.order.map((row) => Array.from(row)),
      placed: [...data.placed],
      rows: tableOf(heatmap, small, { state: { as: 'count', order } }).rows,
    };
  };
  expect(of('load').order).toEqual([
    [0, 1, 2, 3],
    [3, 0, 2, 1],
  ]);
  expect(of('load').placed).toEqual([3, 3, 1, 1, 3, 2, 2, 1]);
  expect(of('cluster').order.map((row) => row.toSorted())).toEqual([
    [0, 1, 2, 3],
    [0, 1, 2, 3],
  ]);
  expect(of('load').rows).toEqual(of('id').rows);
});

it('moe-popularity sorts the experts of every layer', () => {
  const { rows, summary } = tableOf(popularity, small, { state: { top: 50 } });
  expect(rows.filter(([layer]) => layer === 0).map((r) => r.slice(1, 4))).toEqual([
    [1, 0, 3 / 8],
    [2, 1, 3 / 8],
    [3, 2, 1 / 8],
    [4, 3, 1 / 8],
  ]);
  expect(summary).toMatch(/the busiest 2 experts of 4 take 75\.0 % \(by chance/);
});

describe('moe-capacity', () => {
  it('drops what finds its expert full, and tells the brush which tokens', () => {
    const { rows, context, summary } = tableOf(capacity, small, { state: { factor: 1 } });
    // Two places an expert: the third choices of experts 0 and 1 drop, both second choices.
    expect(rows[0]!.slice(0, 3)).toEqual([0, 1, 2 / 8]);
    expect([...context.brush.dropped!].sort()).toEqual([2, 3]);
    expect(summary).toMatch(/an expert of layer 0 has 2 places\. 25\.0 % .*2 tokens would lose some, 0 all/);
    capacity.leave!(context.brush);
    expect(context.brush.dropped).toBe(null);
  });
});

it('moe-repetition compares neighbours', () => {
  const { rows, summary } = tableOf(repetition, small);
  const overlap = rows.find(([what, layer, lag]) => what === 'experts in common' && layer === 0 && lag === 1)!;
  // {0,1}{0,1}: 2 of 2; {0,1}{2,0}: 1; {2,0}{3,1}: 0.
  expect(overlap[3]).toBeCloseTo(0.5, 12);
  expect(overlap[4]).toBeCloseTo(0.5, 12);
  expect(summary).toMatch(/^3 pairs of neighbouring tokens in layer 0: experts in common 50\.0 % \(by chance/);
});

describe('moe-coactivation', () => {
  it('counts all pairs of a token and hides those with few', () => {
    const { rows } = tableOf(coactivation, small, { state: { least: 1, order: 'id' } });
    const [pair] = rows.filter(([i, j]) => i === 0 && j === 1);
    // Expert 0 has 3 tokens, 2 of them with expert 1; lift 2 · 4 / (3 · 3).
    expect(pair!.slice(2, 5)).toEqual([2, 2 / 3, 1 / 3]);
    expect(pair![7]).toBeCloseTo(8 / 9, 12);
    expect(tableOf(coactivation, small, { state: { least: 2, order: 'id' } }).rows.map((r) => r.slice(0, 2))).toEqual([
      [0, 1],
      [1, 0],
    ]);
  });
  it('needs pairs', () => {
    const one = bareTrace({ topK: 1 });
    expect(coactivation.lacks!(one, contextOf(coactivation, one))).toMatch(/no pairs/);
  });
  it('puts experts that work together beside each other, always alike', () => {
    const alike = [
      [NaN, 1, 9, 2],
      [1, NaN, 1, 8],
      [9, 1, NaN, 3],
      [2, 8, 3, NaN],
    ].flat();
    expect(chainOrder(alike, 4)).toEqual([0, 2, 3, 1]);
    expect(chainOrder(new Float64Array(16).fill(NaN), 4)).toHaveLength(4);
    expect(chainOrder([NaN], 1)).toEqual([0]);
  });
});

describe('moe-flow', () => {
  it('counts pairs of first experts, with what their shares explain', () => {
    const { rows } = tableOf(flow, small, { state: { least: 1, third: '' } });
    expect(rows).toEqual([
      [0, 0, 1, 3, 2, 1.5],
      [0, 2, 1, 1, 1, 0.25],
      [0, 3, 1, 3, 1, 0.75],
    ]);
  });
  it('takes layers that exist, each once and in order', () => {
    const trace = syntheticTrace();
    const layers = (state: Partial<typeof flow.state>): unknown[] => [
      ...new Set(tableOf(flow, trace, { state }).rows.map((r) => `${r[0]} ${r[2]}`)),
    ];
    expect(layers({ first: '3', second: '1', third: '1', fourth: '99' })).toEqual(['1 3']);
    expect(layers({ first: 'x', second: '', third: '' })).toEqual(['0 1']);
  });
});

describe('moe-domains', () => {
  it('compares the domains of a trace by chats', () => {
    const { rows, summary } = tableOf(domains, syntheticTrace());
    const distances = rows.filter(([what]) => what === 'distance');
    expect(distances.map((r) => r.slice(2, 4))).toEqual([
      ['code', 'prose'],
      ['code', 'french'],
      ['prose', 'french'],
    ]);
    const shares = rows.filter(([what, , text]) => what === 'share' && text === 'code').map((r) => r[4] as number);
    expect(shares.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
    expect(summary).toMatch(/216 tokens of 3 kinds of text, layer 0; mean distance 0\.\d+, by chance 0\.\d+/);
  });
  it('ranks the experts of one domain against all others', () => {
    const counts: DomainCounts = {
      model: { name: 'two', experts: 2, topK: 1 },
      layers: [5],
      domains: ['a', 'b'],
      counts: [3, 1, 1, 3],
    };
    const options = { state: { domain: 'b' }, extra: { counts } };
    const ranked = tableOf(domains, bareTrace(), options).rows.filter(([what]) => what === 'log-odds');
    // ln of the odds (1.5 / 3.5) here over (3.5 / 1.5) elsewhere; layer 5 is the model's.
    expect(ranked.map((r) => r.slice(1, 4))).toEqual([
      [5, 'b', 0],
      [5, 'b', 1],
    ]);
    expect(ranked[0]![4]).toBeCloseTo(2 * Math.log(1.5 / 3.5), 12);
  });
  it('says how to get domains', () => {
    const bare = bareTrace();
    expect(domains.lacks!(bare, contextOf(domains, bare))).toMatch(/--prompts FILE/);
  });
  it('reads published counts: OLMoE’s domains are far apart, Mixtral’s are not', () => {
    const published = (name: string, experts: number, topK: number): DomainCounts => {
      const file = new URL(`../../fixtures/olmoe-paper/${name}-expert-counts.json`, import.meta.url);
      const counts = JSON.parse(readFileSync(file, 'utf8')) as Record<string, number[][]>;
      return {
        model: { name, experts, topK },
        layers: [0, 7, 15],
        domains: Object.keys(counts),
        counts: Object.values(counts).flat(2),
      };
    };
    const mean = (name: string, experts: number, topK: number): number => {
      const options = { state: { layer: '7' }, extra: { counts: published(name, experts, topK) } };
      expect(domains.lacks!(bareTrace(), contextOf(domains, bareTrace(), options))).toBe(null);
      const of = tableOf(domains, bareTrace(), options).rows.filter(([what]) => what === 'distance');
      expect(of).toHaveLength(10);
      // Squared: the divergence in bits, as published.
      return of.reduce((sum, r) => sum + (r[4] as number) ** 2, 0) / of.length;
    };
    expect(mean('mixtral', 8, 2)).toBeLessThan(0.007);
    expect(mean('olmoe', 64, 8)).toBeGreaterThan(0.09);
  });
});

describe('moe-atlas', () => {
  it('places every expert, the same at every call', () => {
    const trace = syntheticTrace();
    const first = tableOf(atlas, trace);
    expect(first.rows).toHaveLength(32);
    expect(first.rows.every(([, , x, y]) => typeof x === 'number' && typeof y === 'number')).toBe(true);
    expect(tableOf(atlas, trace).rows).toEqual(first.rows);
    expect(first.summary).toMatch(/32 experts by their share in 9 chats\. .*by chance about 25\.0 %/);
  });
  it('falls back on what the trace has, or says what it lacks', () => {
    const bare = bareTrace();
    expect(tableOf(atlas, bare, { state: { by: 'type', colour: 'type' } }).summary).toMatch(/9 chats/);
    const few = bareTrace({ chats: 2 });
    expect(atlas.lacks!(few, contextOf(atlas, few))).toMatch(/fewer than three chats/);
  });
});

it.each([load, popularity, capacity, repetition, coactivation, flow] as readonly View<unknown, State>[])(
  'says that a selection has no tokens: $question',
  (view) => {
    const trace = syntheticTrace();
    expect(view.lacks!(trace, contextOf(view, trace, { selection: { chat: 77 } }))).toMatch(/No token/);
    expect(view.lacks!(trace, contextOf(view, trace))).toBe(null);
  },
);
