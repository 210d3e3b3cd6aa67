/** What an encoder-decoder's config comes to, and what of it is refused. */
import { expect, test } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import { parameterCounts } from '../../../src/config/parameters.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';
import { loadConfig, readModel } from './checkpoint.ts';

const SWITCH_BASE_8 = {
  architectures: ['SwitchTransformersForConditionalGeneration'],
  model_type: 'switch_transformers',
  is_encoder_decoder: true,
  vocab_size: 32_128,
  d_model: 768,
  d_ff: 3072,
  d_kv: 64,
  num_heads: 12,
  num_layers: 12,
  num_decoder_layers: 12,
  num_sparse_encoder_layers: 6,
  num_sparse_decoder_layers: 6,
  encoder_sparse_step: 2,
  decoder_sparse_step: 2,
  num_experts: 8,
  expert_capacity: 64,
  router_bias: false,
  router_type: 'tokens_masked',
  feed_forward_proj: 'relu',
  dropout_rate: 0.1,
  layer_norm_epsilon: 1e-6,
  pad_token_id: 0,
  eos_token_id: 1,
  decoder_start_token_id: 0,
  tie_word_embeddings: true,
};

const read = (changes: Record<string, unknown> = {}) =>
  readModelConfig(JSON.stringify({ ...SWITCH_BASE_8, ...changes })).config;

test('base-8 has its published 0.62 B parameters, experts in every second block of both stacks, and both in one row of layers', () => {
  const config = read();
  expect(parameterCounts(config).total / 1e9).toBeCloseTo(0.62, 2);
  expect(config.encoder).toEqual({ layers: 12, startToken: 0 });
  const kinds = config.layers.map(({ ffn }) => ffn.kind);
  expect(kinds.slice(0, 12)).toEqual(Array(6).fill(['dense', 'moe']).flat());
  expect(kinds.slice(12)).toEqual(Array(6).fill(['none', 'dense', 'none', 'moe']).flat());
});

test('a checkpoint has as many parameters as its config says', () => {
  const folder = 'test/fixtures/families/switch';
  const sizes = [...readModel(folder).values()].map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  expect(parameterCounts(loadConfig(folder).config).total).toBe(sizes.reduce((a, b) => a + b, 0));
});

test('experts everywhere, or nowhere', () => {
  const kinds = (sparse: number): Set<string> =>
    new Set(
      read({ num_sparse_encoder_layers: sparse })
        .layers.map(({ ffn }) => ffn.kind)
        .slice(0, 12),
    );
  expect(kinds(12)).toEqual(new Set(['moe']));
  // With none, transformers gives block 1 experts: what is left of 1 by the number of blocks is 1.
  expect(
    read({ num_sparse_encoder_layers: 0 })
      .layers.slice(0, 12)
      .filter(({ ffn }) => ffn.kind === 'moe'),
  ).toHaveLength(1);
});

test.each([
  ['is_encoder_decoder', false],
  ['tie_word_embeddings', false],
  ['dense_act_fn', 'gated-gelu'],
  ['feed_forward_proj', 'gated-gelu'],
  ['router_bias', true],
  ['num_selected_experts', 2],
])('refuses %s = %s', (key, value) => {
  expect(() => read({ [key]: value })).toThrow(UnsupportedModel);
});

test.each([
  ['d_ff', 3071],
  ['relative_attention_num_buckets', 31],
  ['relative_attention_max_distance', 16],
  ['num_sparse_decoder_layers', 13],
])('names a wrong %s (%s)', (key, value) => {
  expect(() => read({ [key]: value })).toThrow(InvalidCheckpoint);
  expect(() => read({ [key]: value })).toThrow(key);
});
