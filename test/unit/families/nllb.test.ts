/** What configs of M2M-100, NLLB-200 and NLLB-MoE come to, and what of them is refused. */
import { expect, test } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import { parameterCounts } from '../../../src/config/parameters.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';
import type { JsonObject } from '../config/published.ts';
import { loadConfig, readModel } from './checkpoint.ts';

/** NLLB-200-distilled-600M. */
const DENSE: JsonObject = {
  activation_dropout: 0,
  activation_function: 'relu',
  architectures: ['M2M100ForConditionalGeneration'],
  attention_dropout: 0.1,
  bos_token_id: 0,
  d_model: 1024,
  decoder_attention_heads: 16,
  decoder_ffn_dim: 4096,
  decoder_layerdrop: 0,
  decoder_layers: 12,
  decoder_start_token_id: 2,
  dropout: 0.1,
  encoder_attention_heads: 16,
  encoder_ffn_dim: 4096,
  encoder_layerdrop: 0,
  encoder_layers: 12,
  eos_token_id: 2,
  init_std: 0.02,
  is_encoder_decoder: true,
  max_length: 200,
  max_position_embeddings: 1024,
  model_type: 'm2m_100',
  num_hidden_layers: 12,
  pad_token_id: 1,
  scale_embedding: true,
  tokenizer_class: 'NllbTokenizer',
  torch_dtype: 'float32',
  vocab_size: 256_206,
};

const SPARSE: JsonObject = {
  ...DENSE,
  architectures: ['NllbMoeForConditionalGeneration'],
  model_type: 'nllb-moe',
  encoder_sparse_step: 4,
  decoder_sparse_step: 3,
  num_experts: 128,
  moe_eval_capacity_token_fraction: 1,
  moe_token_dropout: 0.2,
  second_expert_policy: 'all',
};

const read = (config: JsonObject) => readModelConfig(JSON.stringify(config)).config;

test('NLLB-200-distilled has its published 0.6 B parameters; tokens are counted from behind the padding', () => {
  const config = read(DENSE);
  expect(parameterCounts(config).total / 1e9).toBeCloseTo(0.615, 3);
  expect(config.encoder).toEqual({ layers: 12, startToken: 2 });
  expect(config).toMatchObject({ embeddingScale: 32, sinusoids: { offset: 2 }, norm: 'layer-biased' });
  expect(read({ ...DENSE, scale_embedding: false, pad_token_id: 5, forced_bos_token_id: 7 })).toMatchObject({
    embeddingScale: 1,
    sinusoids: { offset: 6 },
    encoder: { firstToken: 7 },
  });
});

test('of every few blocks of each stack the last has experts, two for a token, which give 0.8 of what they would', () => {
  const { layers } = read(SPARSE);
  const kinds = (from: number, end: number): string[] => layers.slice(from, end).map(({ ffn }) => ffn.kind);
  expect(kinds(0, 12)).toEqual(Array(3).fill(['dense', 'dense', 'dense', 'moe']).flat());
  expect(kinds(12, 36)).toEqual(Array(4).fill(['none', 'dense', 'none', 'dense', 'none', 'moe']).flat());
  expect(layers[3]!.ffn).toMatchObject({ topK: 2, expertBias: true, router: { scale: 0.8 } });
  const none = read({ ...SPARSE, encoder_sparse_step: 0, decoder_sparse_step: 0 });
  expect(none.layers.filter(({ ffn }) => ffn.kind === 'moe')).toEqual([]);
});

test.each(['m2m-100', 'nllb-moe'])('%s: a checkpoint has as many parameters as its config says', (name) => {
  const folder = `test/fixtures/families/${name}`;
  const sizes = [...readModel(folder).values()].map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  expect(parameterCounts(loadConfig(folder).config).total).toBe(sizes.reduce((a, b) => a + b, 0));
});

test.each([
  ['activation_function', 'gelu'],
  ['tie_word_embeddings', false],
  ['router_bias', true],
  ['second_expert_policy', 'sampling'],
  ['moe_eval_capacity_token_fraction', 0.5],
])('refuses %s = %s', (key, value) => {
  expect(() => read({ ...SPARSE, [key]: value })).toThrow(UnsupportedModel);
});

test.each([
  ['d_model', 1023],
  ['encoder_ffn_dim', 4095],
  ['decoder_attention_heads', 3],
  ['moe_token_dropout', 1],
])('names a wrong %s (%s)', (key, value) => {
  expect(() => read({ ...SPARSE, [key]: value })).toThrow(InvalidCheckpoint);
  expect(() => read({ ...SPARSE, [key]: value })).toThrow(key);
});
