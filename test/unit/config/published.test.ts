import { expect, test } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import type { GroupedAttention, LatentAttention, MoeFfn } from '../../../src/config/model-config.ts';
import { parameterCounts } from '../../../src/config/parameters.ts';
import { published, PUBLISHED, toV5 } from './published.ts';

const load = (name: string): ReturnType<typeof readModelConfig> => readModelConfig(JSON.stringify(published(name)));

test.each(PUBLISHED)('%s passes in both forms, and both say the same', (name) => {
  const v4 = load(name);
  const v5 = readModelConfig(JSON.stringify(toV5(published(name))));
  expect(v5.config).toEqual(v4.config);
  expect(v5.family).toBe(v4.family);
});

test.each([
  // Totals and active counts from model cards and model-by-model sums; active includes the embedding table.
  ['mixtral-8x7b-instruct-v0.1', 46.7, 12.88],
  ['olmoe-1b-7b-0924-instruct', 6.92, 1.28],
  ['qwen1.5-moe-a2.7b', 14.32, 2.69],
  ['qwen2-57b-a14b', 57.41, 14.25],
  ['qwen3-30b-a3b', 30.53, 3.35],
  ['glm-4.5-air', 106.85, 13.42],
  ['deepseek-v2-lite', 15.71, 2.66],
  ['deepseek-v3', 671.03, 37.55],
  ['moonlight-16b-a3b', 15.96, 2.91],
  ['gpt-oss-20b', 20.91, 4.19],
])('%s has %d B parameters, %d B active', (name, total, active) => {
  const counts = parameterCounts(load(name).config);
  expect(counts.total / 1e9).toBeCloseTo(total, 2);
  expect(counts.active / 1e9).toBeCloseTo(active, 2);
});

test('gpt-oss without its embedding has the advertised 3.6 B active', () => {
  const { active, embedding } = parameterCounts(load('gpt-oss-20b').config);
  expect((active - embedding) / 1e9).toBeCloseTo(3.61, 2);
});

const moe = (name: string, layer: number): MoeFfn => load(name).config.layers[layer]!.ffn as MoeFfn;
const grouped = (name: string): GroupedAttention[] => load(name).config.layers.map((l) => l.mixer as GroupedAttention);
const latent = (name: string): LatentAttention => load(name).config.layers[0]!.mixer as LatentAttention;

test('Mixtral: GQA without window, renormalised softmax', () => {
  expect(grouped('mixtral-8x7b-instruct-v0.1')[0]).toMatchObject({
    heads: 32,
    kvHeads: 8,
    headSize: 128,
    scale: 128 ** -0.5,
    qkNorm: 'none',
    window: null,
  });
  expect(moe('mixtral-8x7b-instruct-v0.1', 0)).toMatchObject({ experts: 8, topK: 2, width: 14336, shared: null });
  expect(moe('mixtral-8x7b-instruct-v0.1', 0).router).toMatchObject({ score: 'softmax', renormalize: { epsilon: 0 } });
});

test('OLMoE: norms over the whole projection, weights that do not sum to one', () => {
  expect(grouped('olmoe-1b-7b-0924-instruct')[0]).toMatchObject({ qkNorm: 'full', clip: null, kvHeads: 16 });
  expect(moe('olmoe-1b-7b-0924-instruct', 15).router.renormalize).toBeNull();
});

test('Qwen1.5-MoE: biased q, k, v by default, gated shared expert, window switched off', () => {
  expect(grouped('qwen1.5-moe-a2.7b')[0]).toMatchObject({ bias: { qkv: true, o: false }, window: null });
  expect(moe('qwen1.5-moe-a2.7b', 0).shared).toEqual({ width: 5632, gated: true });
});

test('Qwen3: explicit head size, per-head norms, theta of the 2507 release', () => {
  const [first] = grouped('qwen3-30b-a3b');
  expect(first).toMatchObject({ headSize: 128, qkNorm: 'per-head', bias: { qkv: false, o: false } });
  expect(first!.rope.inverseFrequencies[1]).toBeCloseTo(1e6 ** (-2 / 128), 12);
  const later = grouped('qwen3-30b-a3b-instruct-2507')[0]!;
  expect(later.rope.inverseFrequencies[1]).toBeCloseTo(1e7 ** (-2 / 128), 12);
});

test('GLM-4.5-Air: half a head rotates, sigmoid router with selection bias, first layer dense', () => {
  const { config } = load('glm-4.5-air');
  expect(grouped('glm-4.5-air')[0]).toMatchObject({ qkNorm: 'none', bias: { qkv: true, o: false } });
  expect(grouped('glm-4.5-air')[0]!.rope.inverseFrequencies).toHaveLength(32);
  expect(config.layers.map((l) => l.ffn.kind).indexOf('moe')).toBe(1);
  expect(config.endTokens).toEqual([151329, 151336, 151338]);
  expect(config.beginToken).toBeNull();
  expect(moe('glm-4.5-air', 1).router).toEqual({
    score: 'sigmoid',
    logitBias: false,
    selectionBias: true,
    groups: null,
    renormalize: { epsilon: 1e-20 },
    scale: 1,
  });
});

test('DeepSeek: latent attention, YaRN in the softmax scale, groups', () => {
  const lite = latent('deepseek-v2-lite');
  expect(lite).toMatchObject({ qRank: null, kvRank: 512, nopeSize: 128, ropeSize: 64, valueSize: 128 });
  expect(lite.scale * 192 ** 0.5).toBeCloseTo(1.5896, 4);
  expect(lite.rope.amplitude).toBe(1);
  expect(lite.rope.interleaved).toBe(true);
  expect(moe('deepseek-v2-lite', 1).shared).toEqual({ width: 2816, gated: false });
  const v3 = latent('deepseek-v3');
  expect(v3.qRank).toBe(1536);
  expect(v3.scale * 192 ** 0.5).toBeCloseTo(1.8739, 4);
  expect(moe('deepseek-v3', 3).router).toMatchObject({
    groups: { count: 8, keep: 4, rank: 'top2-sum', dropped: 'minus-infinity' },
    scale: 2.5,
  });
  expect(load('deepseek-v3').quantization).toMatchObject({ quant_method: 'fp8' });
  expect(latent('moonlight-16b-a3b')).toMatchObject({ scale: 192 ** -0.5, innerNormEps: 1e-6 });
  expect(load('moonlight-16b-a3b').config.normEps).toBe(1e-5);
});

test('gpt-oss: windows in turn, sinks, biases, untruncated YaRN', () => {
  const attention = grouped('gpt-oss-20b');
  expect(attention.map((a) => a.window)).toEqual(Array.from({ length: 24 }, (_, i) => (i % 2 ? null : 128)));
  expect(attention[0]).toMatchObject({ sinks: true, bias: { qkv: true, o: true }, headSize: 64, kvHeads: 8 });
  expect(attention[0]!.rope.amplitude).toBeCloseTo(1.34657, 5);
  expect(moe('gpt-oss-20b', 0)).toMatchObject({
    activation: { kind: 'clamped-swiglu', alpha: 1.702, limit: 7 },
    expertBias: true,
    router: { score: 'softmax-chosen', logitBias: true },
  });
});
