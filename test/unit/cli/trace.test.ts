/** `webmoe trace replay` in this process, and what `trace record` reads. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parsePrompts } from '../../../src/cli/trace-record.ts';
import { writeTrace } from '../../../src/trace/npz.ts';
import { cli } from '../../support/cli.ts';
import { cyclicTrace, DATA, TRACES } from '../../support/traces.ts';

const folder = mkdtempSync(join(tmpdir(), 'webmoe-trace-'));
afterAll(() => rmSync(folder, { recursive: true }));
const gptoss = join(DATA, 'gptoss.npz');
const small = join(folder, 'small.npz');
writeFileSync(small, writeTrace(cyclicTrace(2, 2, 2, 9)));

interface Reports {
  file: string;
  cyclePercent: number;
  rows: { policy: string; percent: number; slots: number; decodeHitRate: number; ofBelady: number }[];
  prefetch: { prefetch: string; link: number; stalls: number }[];
}

describe('trace replay', () => {
  it('prints a row for each policy and capacity', async () => {
    const { code, out, err } = await cli(['trace', 'replay', gptoss, '--policy', 'lru,belady', '--capacity', '20,5']);
    expect([code, err]).toEqual([0, '']);
    const lines = out.trim().split('\n');
    expect(lines[0]).toBe(
      'gptoss.npz: gpt-oss-120b-Q4_K_M, 36 layers of 128 experts, 2 a token (1.6 % of all), 64 decoded tokens',
    );
    expect(lines[2]).toMatch(/^lru +5 +230 +44\.2 +65\.6 /);
    expect(lines[5]).toMatch(/^belady +20 +922 +89\.1 +100\.0 /);
    expect(lines).toHaveLength(6);
  });

  it('prints JSON of several files, prefetch included', async () => {
    const argv = ['trace', 'replay', small, small, '--json', '--capacity', '50', '--pool', 'layer', '--link', '1,2'];
    const reports = JSON.parse((await cli(argv)).out) as Reports[];
    expect(reports).toHaveLength(2);
    expect(reports[0]!.cyclePercent).toBe(50);
    expect(reports[0]!.rows.map((r) => r.policy)).toEqual(['next-use', 'lru', 'lfu', 'static-hot', 'belady']);
    expect(reports[0]!.rows.every((r) => r.slots === 4 && r.ofBelady <= 1.5)).toBe(true);
    expect(new Set(reports[0]!.prefetch.map((r) => `${r.prefetch} ${r.link}`)).size).toBe(6);
  });

  it.each<[string, string, string]>([
    [
      'run.json',
      JSON.stringify({ choices: [{ routed_experts: [[[0, 1]], [[2, 1]], [[0, 3]]] }] }),
      '1 layers of 4 experts, 2',
    ],
    ['moe.csv', 'layer,expert\n0,1\n0,2\n1,0\n1,3\n0,1\n0,3\n1,0\n1,2\n', '2 layers of 4 experts, 2'],
  ])('reads what other tools write: %s', async (name, text, model) => {
    const file = join(folder, name);
    writeFileSync(file, text);
    const { code, out, err } = await cli(['trace', 'replay', file, '--policy', 'lru', '--capacity', '50']);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain(`, ${model} a token`);
    expect(out).toMatch(/^lru .* \? /m); // how large their experts are, they do not say
  });

  it('starts from another trace', async () => {
    const hits = async (...more: string[]): Promise<number> => {
      const argv = ['trace', 'replay', gptoss, '--json', '--capacity', '10', '--policy', 'next-use', ...more];
      return (JSON.parse((await cli(argv)).out) as Reports[])[0]!.rows[0]!.decodeHitRate;
    };
    expect(await hits('--warm', gptoss)).toBeGreaterThan(await hits());
  });

  it('draws', async () => {
    const target = join(folder, 'plot.svg');
    await cli(['trace', 'replay', small, '--capacity', '25,50,100', '--plot', target]);
    const svg = readFileSync(target, 'utf8');
    expect(svg).toMatch(/^<svg [^>]*viewBox="0 0 \d+ \d+"/);
    expect(svg.match(/<title>/g)).toHaveLength(5);
    expect(svg).toContain('prefers-color-scheme:dark');
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });

  it.each<[string[], RegExp]>([
    [[], /name at least one trace/],
    [['none.npz'], /cannot read none\.npz/],
    [[small, '--policy', 'mru'], /no policy mru; there are next-use/],
    [[small, '--capacity', '5,x'], /--capacity must be numbers/],
    [[small, '--capacity', '101'], /percent/],
    [[small, '--pool', '0'], /--pool must be/],
    [[small, '--warm', gptoss], /--warm is of gpt-oss/],
    [[small, '--plot', join(folder, 'no', 'x.svg')], /cannot write/],
    [
      [join(TRACES, 'README.md')],
      /README\.md is no trace\. webmoe reads a \.npz that webmoe wrote; a response of vLLM/,
    ],
    [[join(TRACES, 'qwen-curve.csv')], /qwen-curve\.csv is no trace/],
  ])('refuses %j with one line', async (argv, message) => {
    const { code, out, err } = await cli(['trace', 'replay', ...argv]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(message);
    expect(err.trim().split('\n')).toHaveLength(1);
  });
});

describe('prompts', () => {
  it('are texts or objects with one', () => {
    expect(parsePrompts('["a", {"prompt": "b", "domain": "c", "logits": true, "more": 1}]', 'f')).toEqual([
      { prompt: 'a', domain: null, logits: false },
      { prompt: 'b', domain: 'c', logits: true },
    ]);
  });
  it.each(['', '{}', '[]', '[""]', '[1]', '[{"text": "a"}]', '[null]', '[{"prompt": "a", "domain": 1}]'])(
    'refuses %s',
    (text) => {
      expect(() => parsePrompts(text, 'p.json')).toThrow(/p\.json must hold a JSON array/);
    },
  );
});
