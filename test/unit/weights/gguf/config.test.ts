/** Metadata as config.json: what no fixture has. Fixtures hold the rest to their folders' configs. */
import { expect, test } from 'vitest';
import { InvalidCheckpoint } from '../../../../src/errors.ts';
import { ggufConfig } from '../../../../src/weights/gguf/config.ts';
import { modelFile } from '../../../../src/weights/gguf/model-file.ts';
import type { MetadataValue } from '../../../../src/weights/gguf/values.ts';

type Keys = Readonly<Record<string, MetadataValue>>;
type Shapes = Readonly<Record<string, readonly number[]>>;

const BASE: Keys = {
  block_count: 4,
  context_length: 4096,
  embedding_length: 64,
  feed_forward_length: 96,
  'attention.head_count': 4,
  'attention.head_count_kv': 2,
  'attention.layer_norm_rms_epsilon': 1e-5,
};

function configOf(architecture: string, keys: Keys, shapes: Shapes = {}): Record<string, unknown> {
  const own = Object.entries({ ...BASE, ...keys }).map(([key, value]) => [`${architecture}.${key}`, value] as const);
  const metadata = new Map<string, MetadataValue>([['general.architecture', architecture], ...own]);
  const all = { 'token_embd.weight': [256, 64], ...shapes };
  const tensors = new Map(Object.entries(all).map(([name, shape]) => [name, { shape }]));
  const header = { file: 'm.gguf', bytes: 0, metadata, tensors: new Map(), warnings: [] };
  return ggufConfig(modelFile(header, tensors), 'm.gguf', { bos: 1, eos: 2 });
}

test('a Llama without experts is a Llama', () => {
  expect(configOf('llama', { 'rope.freq_base': 5e5 }, { 'output.weight': [256, 64] })).toEqual({
    model_type: 'llama',
    vocab_size: 256,
    hidden_size: 64,
    num_hidden_layers: 4,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    rope_theta: 5e5,
    head_dim: 16,
    hidden_act: 'silu',
    intermediate_size: 96,
    bos_token_id: 1,
    eos_token_id: 2,
    quantization_config: { quant_method: 'gguf', file: 'm.gguf', permuted_head_size: 16 },
  });
});

test("Granite's multipliers", () => {
  const keys = {
    expert_count: 8,
    expert_used_count: 2,
    embedding_scale: 12,
    residual_scale: 0.22,
    'attention.scale': 0.0156,
    logit_scale: 6,
  };
  const found = configOf('granitemoe', keys);
  expect(found).toMatchObject({
    model_type: 'granitemoe',
    tie_word_embeddings: true,
    num_local_experts: 8,
    embedding_multiplier: 12,
    residual_multiplier: 0.22,
    attention_multiplier: 0.0156,
    logits_scaling: 6,
  });
  expect(configOf('granitemoe', { ...keys, expert_shared_feed_forward_length: 32 })).toMatchObject({
    model_type: 'granitemoeshared',
    shared_intermediate_size: 32,
  });
});

const LATENT: Keys = {
  'attention.head_count_kv': 1,
  'attention.kv_lora_rank': 32,
  'attention.key_length': 40,
  'attention.value_length': 32,
  'attention.key_length_mla': 24,
  'attention.value_length_mla': 16,
  'rope.dimension_count': 8,
  expert_count: 8,
  expert_used_count: 2,
  expert_feed_forward_length: 32,
  leading_dense_block_count: 1,
};
const ROUTER: Shapes = { 'blk.1.ffn_gate_inp.weight': [8, 64] };

test('YaRN as DeepSeek writes it: a tenth of mscale is stored', () => {
  const yarn = {
    'rope.scaling.type': 'yarn',
    'rope.scaling.factor': 40,
    'rope.scaling.original_context_length': 4096,
    'rope.scaling.yarn_log_multiplier': 0.0707,
  };
  expect(configOf('deepseek2', { ...LATENT, ...yarn }, ROUTER).rope_scaling).toEqual({
    type: 'yarn',
    factor: 40,
    original_max_position_embeddings: 4096,
    mscale: 0.707,
    mscale_all_dim: 0.707,
  });
});

test('the router tells DeepSeek-V2 from V3, and layers that predict further tokens are not counted', () => {
  expect(configOf('deepseek2', LATENT, ROUTER)).toMatchObject({ model_type: 'deepseek_v2', topk_method: 'greedy' });
  const v3 = configOf(
    'deepseek2',
    { ...LATENT, nextn_predict_layers: 1 },
    { ...ROUTER, 'blk.1.exp_probs_b.bias': [8] },
  );
  expect(v3).toMatchObject({ model_type: 'deepseek_v3', num_hidden_layers: 3, qk_nope_head_dim: 16, v_head_dim: 16 });
  const grouped = { ...LATENT, expert_group_count: 4, expert_group_used_count: 2 };
  expect(configOf('deepseek2', grouped, ROUTER)).toMatchObject({ topk_method: 'group_limited_greedy', n_group: 4 });
});

test.each<[string, string, Keys, RegExp]>([
  ['no layers', 'olmoe', { block_count: 0 }, /block_count/],
  [
    'values of another size than keys',
    'olmoe',
    { expert_count: 8, expert_used_count: 2, 'attention.value_length': 8 },
    /value_length/,
  ],
  [
    'half of a head that rotates',
    'qwen3moe',
    { expert_count: 8, expert_used_count: 2, expert_feed_forward_length: 32, 'rope.dimension_count': 8 },
    /dimension_count/,
  ],
  [
    'a router that is no sigmoid',
    'glm4moe',
    { expert_count: 8, expert_used_count: 2, expert_gating_func: 1 },
    /expert_gating_func/,
  ],
])('%s', (_, architecture, keys, message) => {
  expect(() => configOf(architecture, keys)).toThrow(InvalidCheckpoint);
  expect(() => configOf(architecture, keys)).toThrow(message);
});
