/** Checkpoints that nobody stored, and predictions from configs alone. */
import { describe, expect, it } from 'vitest';
import { fileURLToPath } from 'node:url';
import { impliedTensors } from '../../../src/cli/bench/implied.ts';
import { madeConfig, madeSource } from '../../../src/cli/bench/made-source.ts';
import type { Prediction } from '../../../src/cli/bench/predictions.ts';
import { plan } from '../../../src/engine/load.ts';
import { InvalidRequest } from '../../../src/errors.ts';
import { readModelConfig } from '../../../src/config/load.ts';
import { bf16ToF32 } from '../../../src/util/half.ts';
import { readBytes } from '../../../src/weights/source.ts';
import { cli } from '../../support/cli.ts';
import { published, PUBLISHED } from '../config/published.ts';
import openmoe from '../../fixtures/families/openmoe/config.json' with { type: 'json' };
import { expectedTensors } from '../families/expected.ts';

const SHAPE = { experts: 8, topK: 2, width: 64, layers: 2, hidden: 128, vocab: 512 };

describe('tensors that a config implies', () => {
  const plain = PUBLISHED.filter((name) => !('quantization_config' in published(name)));
  it.each([...plain.map((name) => [name, published(name)] as const), ['openmoe', openmoe] as const])(
    '%s',
    (_, json) => {
      const text = JSON.stringify(json);
      const { config, names } = readModelConfig(text);
      const found = impliedTensors(text).map((t) => `${t.name} ${t.shape.join()}`);
      const expected = [...expectedTensors(config, names)].map(([tensor, shape]) => `${tensor} ${shape.join()}`);
      expect(found.sort().join('\n') === expected.sort().join('\n')).toBe(true);
    },
  );

  it('gpt-oss: MXFP4 experts, everything else in bf16', () => {
    const found = impliedTensors(JSON.stringify(published('gpt-oss-20b')));
    const one = (name: string): unknown => found.find((t) => t.name === `model.layers.0.mlp.experts.${name}`);
    expect(one('gate_up_proj_blocks')).toMatchObject({ dtype: 'U8', shape: [32, 5760, 90, 16] });
    expect(one('down_proj_scales')).toMatchObject({ dtype: 'U8', shape: [32, 2880, 90] });
    expect(one('gate_up_proj_bias')).toMatchObject({ dtype: 'BF16', shape: [32, 5760] });
  });

  it('another quantisation is refused by name', () => {
    expect(() => impliedTensors(JSON.stringify(published('deepseek-v3')))).toThrow(/fp8/);
  });
});

describe('a made-up checkpoint', () => {
  const source = (seed: number | null) => madeSource('made', madeConfig(SHAPE), seed);
  const weights = 'model.safetensors';

  it('has the same bytes however they are read, and others from another seed', async () => {
    const size = (await source(1).size(weights))!;
    const whole = await readBytes(source(1), weights, 0, size);
    for (const [begin, end] of [
      [0, 10],
      [17, 200_003],
      [size - 12_345, size],
      [99_999, 99_999 + 8193],
    ] as const)
      expect(await readBytes(source(1), weights, begin, end)).toEqual(whole.slice(begin, end));
    const other = await readBytes(source(2), weights, 0, size);
    const same = whole.reduce((n, byte, i) => n + (byte === other[i] ? 1 : 0), 0);
    expect(same / size).toBeLessThan(0.6); // vectors, and bytes of sign and exponent, are often equal
  });

  it('has norms of one, an embedding that stands out, and small numbers of either sign elsewhere', async () => {
    const s = source(3);
    const size = (await s.size(weights))!;
    const bytes = await readBytes(s, weights, 0, size);
    const headEnd = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, headEnd))) as Record<
      string,
      { data_offsets: [number, number] }
    >;
    const values = (name: string): number[] => {
      const [begin, end] = header[name]!.data_offsets;
      return Array.from(new Uint16Array(bytes.slice(headEnd + begin, headEnd + end).buffer), bf16ToF32);
    };
    expect(new Set(values('model.norm.weight'))).toEqual(new Set([1]));
    const [embed, head] = [values('model.embed_tokens.weight'), values('lm_head.weight')];
    const mean = (of: number[]): number => of.reduce((a, b) => a + b, 0) / of.length;
    expect(Math.abs(mean(embed))).toBeLessThan(0.02);
    expect(Math.min(...embed.map(Math.abs))).toBeGreaterThanOrEqual(0.5);
    expect(Math.max(...head.map(Math.abs))).toBeLessThan(0.0625);
  });

  it('is planned like any other', async () => {
    const found = await plan(source(1), { weights: 'q4' });
    expect(found.slots.experts).toBe(16);
    expect(found.verdict).toBe('fits');
  });

  it('without a seed has no weights to read', async () => {
    expect((await plan(source(null), { weights: 'q4' })).slots.experts).toBe(16);
    await expect(readBytes(source(null), weights, 1e6, 1e6 + 1)).rejects.toThrow(InvalidRequest);
  });

  it.each([
    [{ topK: 9 }, /--top-k 9 of --experts 8/],
    [{ hidden: 100 }, /--hidden must be a multiple of 64/],
  ])('%j is refused', (changes, message) => {
    expect(() => madeConfig({ ...SHAPE, ...changes })).toThrow(message);
  });
});

const configOf = (name: string): string => fileURLToPath(new URL(`../config/published/${name}.json`, import.meta.url));

describe('webmoe bench --predict', () => {
  it('works out floors from a config: bytes over bandwidth, and launches', async () => {
    const { code, out, err } = await cli([
      'bench',
      '--predict',
      '--model',
      configOf('olmoe-1b-7b-0924-instruct'),
      '--format',
      'json',
    ]);
    expect([code, err]).toEqual([0, '']);
    const { token, gpus, weights } = JSON.parse(out) as Prediction;
    expect(weights).toBe('q4');
    const m1 = gpus.find((g) => g.gpu.startsWith('Apple M1'))!;
    const bytes = token.weightBytes + token.kvBytes + token.activationBytes;
    expect(m1.memoryMs).toBeCloseTo((1000 * bytes) / 68.3e9, 6);
    expect(m1.launchMs.least).toBeCloseTo(1000 * token.dispatches * 2.05e-6, 6);
    expect(gpus).toHaveLength(5);
    for (const { tokensPerSecond: t } of gpus) expect(t.leastLaunch).toBeGreaterThan(t.mostLaunch);
  });

  it('says that it predicts', async () => {
    const { out } = await cli([
      'bench',
      '--predict',
      '--model',
      configOf('mixtral-8x7b-instruct-v0.1'),
      '--prompt-tokens',
      '64',
    ]);
    expect(out).toMatch(/predicted, not measured/);
    expect(out.match(/^\| /gm)).toHaveLength(7);
  });

  it('needs one model and one prompt', async () => {
    for (const argv of [[], ['--model', configOf('qwen3-30b-a3b'), '--prompt-tokens', '1,2']])
      expect((await cli(['bench', '--predict', ...argv])).code).toBe(2);
  });
});
