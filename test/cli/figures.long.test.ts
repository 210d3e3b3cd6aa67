/** Scores and benchmarks as the command line gives them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { BenchReport, BenchRow } from '../../src/cli/bench.ts';
import type { Comparison } from '../../src/cli/quality/compare.ts';
import { cli } from '../support/cli.ts';
import { expectClose } from '../support/conformance.ts';
import { Golden } from '../support/golden.ts';
import { fixturePath } from '../support/models.ts';

const folder = mkdtempSync(join(tmpdir(), 'webmoe-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

describe('logits', () => {
  it.each(['olmoe', 'deepseek-v3'])('%s: writes what the golden file holds', async (family) => {
    const model = fixturePath(`families/${family}`);
    const golden = new Golden(`${model}/golden.safetensors`);
    const out = at(`${family}.safetensors`);
    writeFileSync(at('ids.json'), JSON.stringify(golden.ids('prompt_ids')));
    const argv = ['logits', '--model', model, '--ids', at('ids.json'), '--out', out, '--greedy', '16', '--hidden'];
    expect(await cli(argv)).toEqual({ code: 0, out: '', err: '' });
    const written = new Golden(out);
    const names = ['logits', 'hidden', 'topk_ids', 'topk_weights', 'greedy_ids'];
    for (const name of names) expect(written.shape(name), name).toEqual(golden.shape(name));
    for (const name of ['topk_ids', 'greedy_ids']) expect(written.ids(name)).toEqual(golden.ids(name));
    for (const name of ['logits', 'hidden', 'topk_weights'])
      expectClose(written.floats(name), golden.floats(name), 1e-3, name);
  });
});

describe('bench', () => {
  it('counts what a token costs, and prints all of it as JSON', async () => {
    const argv = [
      'bench',
      '--model',
      fixturePath('families/mixtral'),
      '--prefill-chunk',
      '32',
      '--prompt-tokens',
      '20',
      '--decode-tokens',
      '5',
      '--json',
    ];
    const { code, out, err } = await cli(argv);
    expect([code, err]).toEqual([0, '']);
    const report = JSON.parse(out) as BenchReport;
    const { prefill, decode } = report;
    expect(report).toMatchObject({ layers: 2, moeLayers: 2, precision: 'as-is' });
    expect(prefill).toMatchObject({ tokens: 20, submits: 1, readbacks: 1 });
    expect(decode).toMatchObject({
      tokens: 4,
      submitsPerToken: 1,
      readbacksPerToken: 1,
      createdPerToken: { buffers: 0, bindGroups: 0, pipelines: 0 },
    });
    expect(decode.dispatchesPerToken).toBeLessThanOrEqual(3 + 2 * 12);
    expect(prefill.dispatches).toBeLessThanOrEqual(3 + 2 * 16);
    expect(report.gpuBytes.kv).toBe(2 * 2 * 2 * 16 * 512 * 4); // layers, keys and values, kv heads, head size, positions, f32
    const positive = [
      report.ttftMs,
      prefill.tokensPerSecond,
      decode.tokensPerSecond,
      decode.uploadBytesPerToken,
      decode.itlMs.median,
      ...Object.values(report.gpuBytes),
    ];
    for (const value of positive) expect(value).toBeGreaterThan(0);
    expect(decode.itlMs.p95).toBeGreaterThanOrEqual(decode.itlMs.median);
    expect(decode.uploadBytesPerToken).toBeLessThan(256); // the step uniform, no more
    expect(Object.keys(report.gpuBytes).sort()).toEqual(['activations', 'experts', 'kv', 'weights']);
    expect(Object.keys(report.adapter).sort()).toEqual(['architecture', 'description', 'isFallback', 'vendor']);

    // Mixtral's own arithmetic: bf16 everywhere, norms in f32. D 64, F 96, V 256, 4 heads of 16 over 2, 2 of 8 experts.
    const attention = 2 * 64 * (64 + 32 + 32 + 64);
    const layer = attention + 2 * 8 * 64 + 2 * (2 * 3 * 64 * 96) + 4 * 2 * 64;
    const head = 2 * 256 * 64;
    expect(decode.weightBytesPerToken).toBe(2 * layer + head + 2 * 64 + 4 * 64);
    // The programs recorded on paper are the ones that ran.
    expect(report.cost.token.dispatches).toBe(decode.dispatchesPerToken);
    expect(report.cost.prompt.dispatches).toBe(prefill.dispatches);
  });

  it('sweeps models that it makes up, and counts what each costs', async () => {
    const argv = ['bench', '--synthetic', '--experts-resident', '1,0.5', '--hidden', '64', '--vocab', '256'];
    const more = ['--prompt-tokens', '5,9', '--decode-tokens', '3', '--kernels', 'gpu', '--format', 'json'];
    const { code, out, err } = await cli([...argv, ...more]);
    expect([code, err]).toEqual([0, '']);
    const rows = JSON.parse(out) as BenchRow[];
    expect(rows.map((r) => [r.experts, r.topK, r.residency, r.promptTokens])).toEqual([
      [8, 2, 1, 5],
      [8, 2, 1, 9],
      [8, 2, 0.5, 5],
      [8, 2, 0.5, 9],
    ]);
    for (const { report, residency, promptTokens } of rows) {
      expect(report.batch).toBe(1);
      expect(report.balance!.tokens).toBe(promptTokens);
      expect(report.endToEndMs).toBeGreaterThan(report.ttftMs);
      expect(report.throughput.samplesPerSecond).toBeCloseTo(1000 / report.endToEndMs, 9);
      expect(report.streaming === null).toBe(residency === 1);
      const { startup } = report;
      expect(startup === null).toBe(promptTokens === 9); // the second prompt of each model
      if (startup) expect(startup.ratio).toBeCloseTo((startup.loadMs + startup.ttftMs) / report.ttftMs, 9);
      if (residency < 1) continue; // missing experts repeat passes, and later layers are guessed
      expect(report.cost.token.dispatches).toBe(report.decode.dispatchesPerToken);
      expect(report.cost.prompt.dispatches).toBe(report.prefill.dispatches);
    }
    expect(rows[2]!.report.gpuBytes.experts).toBe(rows[0]!.report.gpuBytes.experts / 2);
  });

  it('runs several requests at once', async () => {
    const argv = ['bench', '--synthetic', '--batch', '1,3', '--hidden', '64', '--vocab', '256', '--layers', '1'];
    const { code, out, err } = await cli([...argv, '--prompt-tokens', '5', '--decode-tokens', '6', '--format', 'json']);
    expect([code, err]).toEqual([0, '']);
    const rows = JSON.parse(out) as BenchRow[];
    expect(rows.map(({ report }) => report.batch)).toEqual([1, 3]);
    for (const { report } of rows) {
      const { batch, throughput, endToEndMs, decode } = report;
      expect(throughput.samplesPerSecond).toBeCloseTo((1000 * batch) / endToEndMs, 9);
      expect(throughput.tokensPerSecond).toBeCloseTo((1000 * 6 * batch) / endToEndMs, 9);
      expect(decode.tokens).toBeLessThanOrEqual(5 * batch);
    }
    // A step writes a token of each request that runs.
    expect(rows[1]!.report.decode.submitsPerToken).toBeLessThan(rows[0]!.report.decode.submitsPerToken);
  });
});

describe('quality', () => {
  const model = fixturePath('families/olmoe');
  const golden = new Golden(`${model}/golden.safetensors`);
  const ids = at('quality.json');
  writeFileSync(ids, JSON.stringify(golden.ids('prompt_ids')));

  it('gives the perplexity of the golden logits, and a distance to fewer experts', async () => {
    const argv = ['quality', '--model', model, '--ids', ids, '--window', '512', '--context-length', '64', '--json'];
    const { code, out, err } = await cli([...argv, '--against-keep-experts', '3']);
    expect([code, err]).toEqual([0, '']);
    const found = JSON.parse(out) as Comparison;
    const logits = golden.floats('logits');
    const prompt = golden.ids('prompt_ids');
    const losses = prompt.slice(1).map((id, t) => {
      const row = Array.from(logits.slice(t * 256, (t + 1) * 256), Math.exp);
      return -Math.log(row[id]! / row.reduce((a, b) => a + b, 0));
    });
    const expected = Math.exp(losses.reduce((a, b) => a + b, 0) / losses.length);
    expect(found.tokens).toBe(prompt.length - 1);
    expect(Math.abs(found.first.perplexity.value / expected - 1)).toBeLessThan(1e-3);
    expect(found.second.name).toBe('keep-experts 3');
    expect(found.kl.mean.value).toBeGreaterThan(1e-4);
  });

  it.each([
    [[], /nothing to compare/],
    [['--against-weights', 'q4', '--text', 'x'], /--text or --ids/],
  ])('%j ends with one line', async (more, message) => {
    const { code, err } = await cli(['quality', '--model', model, '--ids', ids, ...more]);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });
});
