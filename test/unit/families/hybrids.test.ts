/** Families whose layers mostly carry a recurrent state: what their published sizes come to, and what is refused. */
import { expect, test } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import type { ModelConfig } from '../../../src/config/model-config.ts';
import { parameterCounts } from '../../../src/config/parameters.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';
import arctic from '../../fixtures/families/arctic/config.json' with { type: 'json' };
import skywork from '../../fixtures/families/skywork-two-maps/config.json' with { type: 'json' };
import yuan from '../../fixtures/families/yuan/config.json' with { type: 'json' };
import zaya from '../../fixtures/families/zaya/config.json' with { type: 'json' };

const attends = (layers: number, at: readonly number[], names: readonly [string, string]): string[] =>
  Array.from({ length: layers }, (_, i) => names[at.includes(i) ? 1 : 0]);

const LFM2_8B_A1B = {
  model_type: 'lfm2_moe',
  vocab_size: 65_536,
  hidden_size: 2048,
  intermediate_size: 7168,
  moe_intermediate_size: 1792,
  num_hidden_layers: 24,
  num_dense_layers: 2,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  num_experts: 32,
  num_experts_per_tok: 4,
  norm_topk_prob: true,
  use_expert_bias: true,
  routed_scaling_factor: 1,
  conv_L_cache: 3,
  conv_bias: false,
  norm_eps: 1e-5,
  rope_theta: 1_000_000,
  max_position_embeddings: 128_000,
  layer_types: attends(24, [2, 6, 10, 14, 18, 21], ['conv', 'full_attention']),
};

const GRANITE_4_H_TINY = {
  model_type: 'granitemoehybrid',
  vocab_size: 100_352,
  hidden_size: 1536,
  intermediate_size: 512,
  shared_intermediate_size: 1024,
  num_hidden_layers: 40,
  num_attention_heads: 12,
  num_key_value_heads: 4,
  num_local_experts: 64,
  num_experts_per_tok: 6,
  attention_multiplier: 0.0078125,
  embedding_multiplier: 12,
  residual_multiplier: 0.22,
  logits_scaling: 6,
  mamba_n_heads: 48,
  mamba_d_head: 64,
  mamba_d_state: 128,
  mamba_n_groups: 1,
  mamba_d_conv: 4,
  mamba_expand: 2,
  mamba_chunk_size: 256,
  mamba_conv_bias: true,
  mamba_proj_bias: false,
  position_embedding_type: 'nope',
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  max_position_embeddings: 131_072,
  layer_types: attends(40, [5, 15, 25, 35], ['mamba', 'attention']),
};

const JAMBA_MINI = {
  model_type: 'jamba',
  vocab_size: 65_536,
  hidden_size: 4096,
  intermediate_size: 14_336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  num_experts: 16,
  num_experts_per_tok: 2,
  attn_layer_period: 8,
  attn_layer_offset: 4,
  expert_layer_period: 2,
  expert_layer_offset: 1,
  mamba_d_state: 16,
  mamba_d_conv: 4,
  mamba_dt_rank: 256,
  mamba_expand: 2,
  rms_norm_eps: 1e-6,
  max_position_embeddings: 262_144,
};

const QWEN3_NEXT = {
  model_type: 'qwen3_next',
  vocab_size: 151_936,
  hidden_size: 2048,
  intermediate_size: 5120,
  moe_intermediate_size: 512,
  shared_expert_intermediate_size: 512,
  num_hidden_layers: 48,
  full_attention_interval: 4,
  num_attention_heads: 16,
  num_key_value_heads: 2,
  head_dim: 256,
  partial_rotary_factor: 0.25,
  rope_theta: 10_000_000,
  num_experts: 512,
  num_experts_per_tok: 10,
  norm_topk_prob: true,
  linear_num_key_heads: 16,
  linear_num_value_heads: 32,
  linear_key_head_dim: 128,
  linear_value_head_dim: 128,
  linear_conv_kernel_dim: 4,
  rms_norm_eps: 1e-6,
  max_position_embeddings: 262_144,
};

const NEMOTRON_3_NANO = {
  model_type: 'nemotron_h',
  vocab_size: 131_072,
  hidden_size: 2688,
  hybrid_override_pattern: 'MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME',
  num_hidden_layers: 52,
  num_attention_heads: 32,
  num_key_value_heads: 2,
  head_dim: 128,
  intermediate_size: 1856,
  moe_intermediate_size: 1856,
  moe_shared_expert_intermediate_size: 3712,
  n_routed_experts: 128,
  n_shared_experts: 1,
  num_experts_per_tok: 6,
  mamba_num_heads: 64,
  mamba_head_dim: 64,
  ssm_state_size: 128,
  n_groups: 8,
  conv_kernel: 4,
  layer_norm_epsilon: 1e-5,
  max_position_embeddings: 262_144,
};

const config = (json: object): ModelConfig => readModelConfig(JSON.stringify(json)).config;

test.each([
  // Billions of the model cards: 8.3 and 1.5; 7 and 1; 80 and 3 (without the head); 52 and 12; 31.6 and 3.6.
  ['LFM2-8B-A1B', 8.34, 1.56, LFM2_8B_A1B],
  ['Granite-4.0-H-Tiny', 6.94, 1.47, GRANITE_4_H_TINY],
  ['Qwen3-Next-80B-A3B', 79.67, 3.87, QWEN3_NEXT],
  ['Jamba-Mini', 51.57, 12.11, JAMBA_MINI],
  ['Nemotron 3 Nano', 31.58, 3.58, NEMOTRON_3_NANO],
])('%s has %d B parameters, %d B active', (_, total, active, json) => {
  const counts = parameterCounts(config(json));
  expect(counts.total / 1e9).toBeCloseTo(total, 2);
  expect(counts.active / 1e9).toBeCloseTo(active, 2);
});

test('token mixers lie where the config says', () => {
  const kinds = (json: object): string =>
    config(json)
      .layers.map((l) => l.mixer.kind[0])
      .join('');
  expect(kinds(LFM2_8B_A1B)).toBe('ssgsssgsssgsssgsssgssgss');
  expect(kinds(QWEN3_NEXT)).toBe('dddg'.repeat(12));
  expect(kinds(JAMBA_MINI)).toBe('mmmmgmmm'.repeat(4));
  expect(kinds({ ...GRANITE_4_H_TINY, num_hidden_layers: 3, layer_types: ['mamba', 'attention', 'mamba'] })).toBe(
    'mgm',
  );
});

test('a block that mixes tokens and the feed-forward behind it are one layer, by pattern as by list', () => {
  const { hybrid_override_pattern: pattern } = NEMOTRON_3_NANO;
  const rest = { ...NEMOTRON_3_NANO, hybrid_override_pattern: undefined, num_hidden_layers: undefined };
  const parts = ({ layers }: ModelConfig): string => layers.map((l) => `${l.mixer.kind[0]}${l.ffn.kind[0]}`).join(' ');
  const nano = config(NEMOTRON_3_NANO);
  expect(parts(nano)).toBe(
    pattern.replace(/([M*])(E?)/g, (_, mixer, ffn) => `${mixer === 'M' ? 'm' : 'g'}${ffn ? 'm' : 'n'} `).trim(),
  );
  const names: Record<string, string> = { M: 'mamba', '*': 'full_attention', E: 'moe', '-': 'mlp' };
  const listed = { ...rest, layers_block_type: [...pattern].map((letter) => names[letter]) };
  expect(config(listed)).toEqual(nano);
  expect(config({ ...listed, hybrid_override_pattern: 'M' })).toEqual(nano);
  expect(parts(config({ ...rest, hybrid_override_pattern: 'M-MM*-' }))).toBe('md mn mn gd');
});

test('an infinite limit may be a bare word, as Python writes it', () => {
  const text = JSON.stringify({ ...NEMOTRON_3_NANO, time_step_limit: [0, 'x'] });
  const { layers } = readModelConfig(text.replace('"x"', 'Infinity')).config;
  expect(layers[0]!.mixer).toMatchObject({ stepLimits: [0, Infinity] });
  expect(() => readModelConfig(text.replace('"x"', 'Infinite'))).toThrow(InvalidCheckpoint);
  expect(() => readModelConfig(text.replace('"x"', '1').replace('{', '{"not \\" Infinity": 1,'))).toThrow(
    'not " Infinity',
  );
});

test('Granite 4 without experts is dense', () => {
  const { layers } = config({ ...GRANITE_4_H_TINY, num_local_experts: 0, num_experts_per_tok: 0 });
  expect(layers.every(({ ffn }) => ffn.kind === 'dense' && ffn.width === 1024)).toBe(true);
});

test('an untied LFM2 is possible, by either name', () => {
  expect(config(LFM2_8B_A1B).tieEmbeddings).toBe(true);
  expect(config({ ...LFM2_8B_A1B, tie_embedding: false }).tieEmbeddings).toBe(false);
  expect(config({ ...LFM2_8B_A1B, tie_word_embeddings: false }).tieEmbeddings).toBe(false);
});

test('what Skywork multiplies and spreads is in its keys', () => {
  const of = (changes: object): unknown => {
    const ffn = config({ ...skywork, ...changes }).layers.at(-1)!.ffn;
    return ffn.kind === 'moe' ? [ffn.inputScale ?? 1, ffn.router.inner ?? 0, ffn.router.deviation ?? null] : ffn.kind;
  };
  expect(of({})).toEqual([2, 64, 1.4]);
  expect(of({ moe_feature_no_mul_topk: true, moe_use_logits_norm: false })).toEqual([1, 64, null]);
  expect(of({ moe_use_mixtral_gating: true, moe_gate_norm_std: undefined })).toEqual([1, 64, 1]);
  expect(of({ moe_2layer_gate: false, num_experts: [16, 16] })).toEqual([1, 0, 1.4]);
  expect(of({ num_experts: undefined, num_local_experts: 4, num_experts_per_tok: 1 })).toEqual([2, 32, 1.4]);
  const dense = Object.fromEntries(Object.entries(skywork).filter(([key]) => !/moe_|num_experts/.test(key)));
  expect(config(dense).layers.map(({ ffn }) => ffn.kind)).toEqual(['dense', 'dense', 'dense', 'dense']);
});

test('ZAYA1 as published: a type of rotation beside those of the layers, and the rotation of transformers where none is said', () => {
  const { rope_parameters: ropes, ...rest } = zaya;
  const read = config(zaya);
  expect(config({ ...zaya, rope_parameters: { ...ropes, rope_type: 'default' } })).toEqual(read);
  expect(config(rest)).toEqual(read);
});

test.each<[string, object, typeof InvalidCheckpoint | typeof UnsupportedModel, string]>([
  ['an unknown mixer', { ...LFM2_8B_A1B, layer_types: Array(24).fill('mamba') }, UnsupportedModel, 'mamba'],
  ['a biased convolution', { ...LFM2_8B_A1B, conv_bias: true }, UnsupportedModel, 'conv_bias'],
  ['too few layer types', { ...LFM2_8B_A1B, layer_types: ['conv'] }, InvalidCheckpoint, 'layer_types'],
  ['heads that are not the channels', { ...GRANITE_4_H_TINY, mamba_d_head: 32 }, InvalidCheckpoint, 'mamba_d_head'],
  ['groups that do not divide', { ...GRANITE_4_H_TINY, mamba_n_groups: 5 }, InvalidCheckpoint, 'mamba_n_groups'],
  ['biased projections', { ...JAMBA_MINI, mamba_proj_bias: true }, UnsupportedModel, 'mamba_proj_bias'],
  ['an unknown block', { ...NEMOTRON_3_NANO, hybrid_override_pattern: 'MX' }, UnsupportedModel, '"X"'],
  [
    'a feed-forward in front',
    { ...NEMOTRON_3_NANO, num_hidden_layers: 2, hybrid_override_pattern: 'EM' },
    UnsupportedModel,
    'block 0',
  ],
  [
    'two in a row',
    { ...NEMOTRON_3_NANO, num_hidden_layers: 3, hybrid_override_pattern: 'ME-' },
    UnsupportedModel,
    'block 2',
  ],
  ['another number of blocks', { ...NEMOTRON_3_NANO, num_hidden_layers: 3 }, InvalidCheckpoint, 'num_hidden_layers'],
  ['an odd width', { ...NEMOTRON_3_NANO, moe_intermediate_size: 1855 }, InvalidCheckpoint, 'moe_intermediate_size'],
  [
    'a latent of experts wider than the stream',
    { ...NEMOTRON_3_NANO, moe_latent_size: 4096 },
    InvalidCheckpoint,
    'moe_latent_size',
  ],
  ['q and k of one projection', { ...yuan, use_shareqk: true }, UnsupportedModel, 'use_shareqk'],
  [
    'experts without gates',
    { ...yuan, moe_config: { gated_linear_unit: false } },
    UnsupportedModel,
    'gated_linear_unit',
  ],
  ['no experts', { ...yuan, moe_config: null }, InvalidCheckpoint, 'moe_config'],
  ['a key of the experts', { ...yuan, moe_config: { ...yuan.moe_config, router: 1 } }, UnsupportedModel, 'router'],
  ['narrow heads', { ...yuan, attention_projection_size: 32 }, InvalidCheckpoint, 'attention_projection_size'],
  ['a mixture of sizes', { ...skywork, num_experts: [8, 16] }, InvalidCheckpoint, 'num_experts'],
  ['an empty mixture', { ...skywork, num_experts: [] }, InvalidCheckpoint, 'num_experts'],
  ['a gate of too many values', { ...skywork, num_experts: [65] }, InvalidCheckpoint, 'moe_2layer_gate'],
  ['keys of experts without experts', { ...skywork, num_experts: null }, UnsupportedModel, 'moe_2layer_gate'],
  ['logits without a deviation', { ...skywork, moe_gate_norm_std: 0 }, InvalidCheckpoint, 'moe_gate_norm_std'],
  ['a convolution over three tokens', { ...zaya, cca_time1: 3 }, UnsupportedModel, 'cca_time1'],
  ['two experts a token', { ...zaya, num_experts_per_tok: 2 }, UnsupportedModel, 'num_experts_per_tok'],
  ['a layer of another type', { ...zaya, layer_types: ['hybrid', 'conv', 'hybrid'] }, InvalidCheckpoint, 'layer_types'],
  ['no rotation for a type of layer', { ...zaya, rope_parameters: { hybrid: {} } }, InvalidCheckpoint, 'sliding'],
  ['no dense branch', { ...arctic, parallel_attn_mlp_res: false }, UnsupportedModel, 'parallel_attn_mlp_res'],
  ['a branch nobody announces', { ...arctic, parallel_attn_mlp_res: null }, InvalidCheckpoint, 'parallel_attn_mlp_res'],
  ['an offset beyond its period', { ...JAMBA_MINI, attn_layer_offset: 8 }, InvalidCheckpoint, 'attn_layer_offset'],
])('%s is refused by name', (_, json, type, key) => {
  const error = ((): unknown => {
    try {
      return config(json);
    } catch (e) {
      return e;
    }
  })();
  expect(error).toBeInstanceOf(type);
  expect((error as Error).message).toContain(key);
});
