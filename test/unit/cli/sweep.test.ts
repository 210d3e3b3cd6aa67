/** What a sweep runs, and how its rows are written. */
import { describe, expect, it, test } from 'vitest';
import { BENCH_OPTIONS, type BenchRow } from '../../../src/cli/bench.ts';
import { readOptions } from '../../../src/cli/args.ts';
import { html } from '../../../src/cli/bench/html.ts';
import type { CostReport } from '../../../src/cli/bench/measure.ts';
import { loadSettings, runSettings } from '../../../src/cli/bench/settings.ts';
import { csv, FIGURE_COLUMNS, reportText, SETTING_COLUMNS, tableText } from '../../../src/cli/bench/table.ts';

const options = (...argv: string[]): ReturnType<typeof readOptions> => readOptions(argv, BENCH_OPTIONS, 0);

describe('settings', () => {
  it('are every combination, models outside and requests inside', () => {
    const o = options(
      '--synthetic',
      '--experts',
      '8,16',
      '--bits',
      '4,16',
      '--experts-resident',
      '1,0.5',
      '--prompt-tokens',
      '2,3',
    );
    const loads = loadSettings(o);
    expect(loads.map((l) => [l.made!.experts, l.made!.topK, l.weights, l.expertsResident])).toEqual([
      [8, 2, 'q4', 1],
      [8, 2, 'q4', 0.5],
      [8, 2, 'as-is', 1],
      [8, 2, 'as-is', 0.5],
      [16, 2, 'q4', 1],
      [16, 2, 'q4', 0.5],
      [16, 2, 'as-is', 1],
      [16, 2, 'as-is', 0.5],
    ]);
    expect(runSettings(o)).toEqual([
      { promptTokens: 2, decodeTokens: 16 },
      { promptTokens: 3, decodeTokens: 16 },
    ]);
  });

  it('of one model are one, as its options say', () => {
    expect(loadSettings(options('--model', 'x', '--weights', 'q8'))).toEqual([
      { made: null, weights: 'q8', expertsResident: undefined, batch: 1 },
    ]);
  });

  it.each<[string[], RegExp]>([
    [[], /--model.*--synthetic/],
    [['--model', 'x', '--synthetic'], /--model.*--synthetic/],
    [['--model', 'x', '--experts', '8'], /--experts is for --synthetic/],
    [['--synthetic', '--bits', '5'], /--bits must be 4, 8 or 16/],
    [['--synthetic', '--bits', '4', '--weights', 'q4'], /--bits and --weights/],
    [['--synthetic', '--batch', '1,65'], /--batch must be 1 to 64, got 65/],
    [['--synthetic', '--batch', '1,4', '--timestamps'], /--timestamps is for --batch 1/],
  ])('%j is refused', (argv, message) => {
    const o = options(...argv);
    expect(() => [loadSettings(o), runSettings(o)]).toThrow(message);
  });

  it.each([
    ['--experts', '8,'],
    ['--experts', '8,0'],
    ['--prompt-tokens', '1.5'],
    ['--experts-resident', '0.5,2'],
  ])('%s %s is no list of numbers', (name, value) => {
    expect(() => options('--synthetic', name, value)).toThrow(new RegExp(name));
  });
});

const cost: CostReport = {
  dispatches: 17,
  workgroups: 99,
  weightBytes: 1000,
  kvBytes: 20,
  activationBytes: 300,
  usefulFlops: 4e6,
  issuedFlops: 5e6,
  paddingFactor: 1.25,
  floorMs: 0.5,
};
const row = (promptTokens: number, experts: number, model = 'a "b", c'): BenchRow => ({
  model,
  experts,
  topK: 2,
  width: 64,
  weights: 'q4',
  residency: 1,
  promptTokens,
  decodeTokens: 8,
  report: {
    layers: 2,
    moeLayers: 2,
    batch: 1,
    ttftMs: 3 * promptTokens,
    startup: { loadMs: 2, ttftMs: 3.25 * promptTokens, ratio: 1.125 },
    endToEndMs: 100,
    throughput: { tokensPerSecond: 80, samplesPerSecond: 10 },
    prefill: { tokens: promptTokens, tokensPerSecond: 333, dispatches: 23, submits: 1, readbacks: 1 },
    decode: {
      tokens: 7,
      tokensPerSecond: 90,
      dispatchesPerToken: 17,
      submitsPerToken: 1,
      readbacksPerToken: 1,
      readbackBytesPerToken: 528,
      uploadBytesPerToken: 64,
      weightBytesPerToken: 1000,
      createdPerToken: { buffers: 0, bindGroups: 0, pipelines: 0 },
      itlMs: { median: 11, p95: 12 },
    },
    balance: null,
    cost: { token: cost, prompt: cost, floorFor: { bytesPerSecond: 2e11, launchSeconds: 1e-5 } },
    kernels: null,
    streaming: null,
    gpuBytes: { weights: 1, experts: 2, kv: 3, activations: 4 },
    precision: 'q4',
    adapter: { vendor: '', architecture: '', description: '<soft>', isFallback: true },
    tuning: { fewUpTo: 1, tileRows: 16 },
  },
});
const rows = [row(16, 8), row(64, 8), row(16, 16), row(64, 16)];

describe('written', () => {
  it('as comma-separated values: a name each column, quotes where they must be', () => {
    const lines = csv(rows).split('\r\n');
    expect(lines).toHaveLength(6);
    expect(lines[0]!.split(',')).toHaveLength(SETTING_COLUMNS.length + FIGURE_COLUMNS.length);
    expect(lines[1]).toMatch(/^"a ""b"", c",8,2,64,q4,1,1,16,8,48,1.125,11,12,100,80,10,/);
  });

  it('as a page that asks for nothing: no script, no address, no markup from names', () => {
    const page = html([row(16, 8, '<script>alert(1)</script>'), ...rows.slice(1)]);
    expect(page).not.toMatch(/<script|src=|href=|url\(|@import|https?:/);
    expect(page).toContain('&lt;script&gt;');
    expect(page).toContain('&lt;soft&gt;');
    expect(page).toContain('its times say nothing about GPUs');
    expect(page.match(/<svg /g)!.length).toBeGreaterThanOrEqual(6);
    expect(page.match(/<polyline /g)!.length).toBeGreaterThan(6);
    for (const { name } of FIGURE_COLUMNS) expect(page).toContain(name);
    const numbers = [...page.matchAll(/(?:points|cx|cy|width|x|y)="([^"]*)"/g)].map(([, value]) => value!);
    expect(numbers.filter((n) => /NaN|Infinity|undefined/.test(n))).toEqual([]);
  });

  it('as bars where nothing varies, and as text', () => {
    expect(html([row(16, 8)])).toContain('<rect ');
    expect(reportText(row(16, 8).report)).toContain('4.00 Mflop');
    const table = tableText(rows).split('\n');
    expect(new Set(table.slice(0, -1).map((line) => line.length)).size).toBe(1);
  });
});

test('a report says that it is of one sequence, and what the floor is for', () => {
  const text = reportText(row(16, 8).report);
  expect(text).toContain('one sequence at a time');
  expect(text).toContain('at 200 GB/s and 10 us a dispatch: a token at least 0.500 ms');
  expect(text).toContain(
    '54 ms from the last weight to the first token of all, 2 of them compiling: 1.13 times a later',
  );
  expect(text).toContain('software: says nothing about GPUs');
});
