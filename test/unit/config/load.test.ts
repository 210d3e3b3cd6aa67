import { expect, test } from 'vitest';
import { readGenerationConfig, readModelConfig } from '../../../src/config/load.ts';
import { MAX_JSON_LENGTH, parseJson } from '../../../src/config/json.ts';
import { isAttention } from '../../../src/config/mixers.ts';
import type { GroupedAttention, MoeFfn } from '../../../src/config/model-config.ts';
import { InvalidCheckpoint, UnsupportedModel, WebmoeError } from '../../../src/errors.ts';
import type { Json } from '../../../src/config/read.ts';
import { published, PUBLISHED, toV5, type JsonObject } from './published.ts';

const load = (name: string, changes: JsonObject = {}): ReturnType<typeof readModelConfig> =>
  readModelConfig(JSON.stringify({ ...published(name), ...changes }));

function caught(run: () => unknown): WebmoeError {
  try {
    run();
  } catch (error) {
    if (error instanceof WebmoeError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** A loaded config is finite everywhere; a refused one says why in our own terms. */
function attempt(config: JsonObject): void {
  try {
    const { config: loaded } = readModelConfig(JSON.stringify(config));
    const { mixer: attention } = loaded.layers[0]!;
    const used = isAttention(attention)
      ? [attention.scale, attention.rope.amplitude, ...attention.rope.inverseFrequencies]
      : [];
    expect(used.every(Number.isFinite), JSON.stringify(config)).toBe(true);
  } catch (error) {
    if (!(error instanceof WebmoeError)) throw error;
  }
}

const QWEN = 'qwen3-30b-a3b';
const V3 = 'deepseek-v3';

test.each<[string, string, JsonObject]>([
  ['experts', QWEN, { num_experts: 0 }],
  ['negative experts', QWEN, { num_experts: -1 }],
  ['experts as text', QWEN, { num_experts: '128' }],
  ['half an expert', QWEN, { num_experts: 12.5 }],
  ['more chosen than there are', QWEN, { num_experts_per_tok: 129 }],
  ['two counts of experts', QWEN, { num_local_experts: 64 }],
  ['hidden 2^31', QWEN, { hidden_size: 2 ** 31 }],
  ['hidden 0', QWEN, { hidden_size: 0 }],
  ['vocabulary 1e9', QWEN, { vocab_size: 1e9 }],
  ['a million layers', QWEN, { num_hidden_layers: 1e6 }],
  ['kv heads that do not divide', QWEN, { num_key_value_heads: 5 }],
  ['head size that is not whole', QWEN, { head_dim: null, hidden_size: 2047 }],
  ['eps as text', QWEN, { rms_norm_eps: '1e-6' }],
  ['end token beyond reason', QWEN, { eos_token_id: [1, -2] }],
  ['sparse step 0', QWEN, { decoder_sparse_step: 0 }],
  ['dense layers that are no list', QWEN, { mlp_only_layers: 3 }],
  ['groups that do not divide', V3, { n_group: 7 }],
  ['more groups kept than there are', V3, { topk_group: 9 }],
  ['kept groups too small', V3, { n_group: 128, topk_group: 2 }],
  ['groups of one', V3, { n_group: 256, topk_group: 8 }],
  ['more dense layers than layers', V3, { first_k_dense_replace: 62 }],
  ['kv heads in latent attention', V3, { num_key_value_heads: 8 }],
  ['too few layer types', 'gpt-oss-20b', { layer_types: ['full_attention'] }],
  ['a sliding layer without window', 'gpt-oss-20b', { sliding_window: null }],
  ['a sliding layer without switch', 'qwen2-57b-a14b', { layer_types: Array<string>(28).fill('sliding_attention') }],
])('%s is damage', (_, name, changes) => {
  const error = caught(() => load(name, changes));
  expect(error).toBeInstanceOf(InvalidCheckpoint);
  expect(error.details).toMatchObject({ fault: 'config', path: 'config.json' });
});

test.each<[string, string, JsonObject, string]>([
  ['1e9 experts', QWEN, { num_experts: 1e9 }, 'num_experts = 1000000000 is not supported (at most 512)'],
  ['33 chosen', QWEN, { num_experts_per_tok: 33 }, 'num_experts_per_tok = 33'],
  ['relu', QWEN, { hidden_act: 'relu' }, 'hidden_act = "relu"'],
  ['gelu in gpt-oss', 'gpt-oss-20b', { hidden_act: 'gelu' }, 'hidden_act = "gelu"'],
  ['a new key', QWEN, { router_softcap: 30, x: 1 }, 'router_softcap, x'],
  ['another router', V3, { scoring_func: 'softmax' }, 'scoring_func = "softmax"'],
  ['another top-k', 'deepseek-v2-lite', { topk_method: 'noaux_tc' }, 'topk_method = "noaux_tc"'],
  ['renormalised V2', 'deepseek-v2-lite', { norm_topk_prob: true }, 'norm_topk_prob = true'],
  ['biased latent attention', V3, { attention_bias: true }, 'attention_bias = true'],
  ['every other layer', V3, { moe_layer_freq: 2 }, 'moe_layer_freq = 2'],
  ['linear attention', 'gpt-oss-20b', { layer_types: Array<string>(24).fill('linear_attention') }, 'linear_attention'],
  ['text_config', QWEN, { text_config: {} }, 'text_config'],
  ['a classifier', QWEN, { architectures: ['Qwen3MoeForSequenceClassification'] }, 'Qwen3MoeForSequenceClassification'],
])('%s is refused by name', (_, name, changes, text) => {
  const error = caught(() => load(name, changes));
  expect(error).toBeInstanceOf(UnsupportedModel);
  expect(error.message).toContain(text);
});

const JUNK: readonly Json[] = [
  null,
  0,
  -1,
  1,
  3,
  1.5,
  1e-300,
  1e9,
  2 ** 53,
  'x',
  '',
  true,
  false,
  [],
  [0],
  ['x'],
  {},
  { a: 1 },
];

test.each(PUBLISHED)('%s with any one value replaced by junk loads, or throws an error with a name', (name) => {
  for (const config of [published(name), toV5(published(name))]) {
    const rope = config.rope_parameters ?? config.rope_scaling ?? {};
    for (const junk of JUNK) {
      for (const key of Object.keys(config)) attempt({ ...config, [key]: junk });
      for (const key of Object.keys(rope)) {
        attempt({ ...config, rope_parameters: { ...(rope as JsonObject), [key]: junk }, rope_scaling: null });
      }
    }
  }
});

test('an unknown family is named, with what is supported and what is nearest', () => {
  const error = caught(() => load(QWEN, { model_type: 'qwen3_novel', architectures: ['Qwen3NovelForCausalLM'] }));
  expect(error).toBeInstanceOf(UnsupportedModel);
  expect(error.message).toContain('qwen3_novel');
  expect(error.message).toContain('Qwen3NovelForCausalLM');
  expect(error.details).toMatchObject({ modelType: 'qwen3_novel', nearest: 'qwen3_moe' });
  expect(error.details.supported).toContain('gpt_oss');
});

test('architectures stand in for a missing model_type', () => {
  expect(load(QWEN, { model_type: null }).family.id).toBe('qwen3-moe');
  expect(load(QWEN, { architectures: null }).family.id).toBe('qwen3-moe');
  expect(caught(() => load(QWEN, { model_type: null, architectures: [] }))).toBeInstanceOf(UnsupportedModel);
});

test.each(['', '{', '[]', 'null', '"x"', '{"a": NaN}', '{"model_type": "qwen3_moe",}'])('not a config: %s', (text) => {
  expect(caught(() => readModelConfig(text))).toBeInstanceOf(InvalidCheckpoint);
});

test('size and depth are bounded before parsing', () => {
  const long = `{"x": "${'a'.repeat(MAX_JSON_LENGTH)}"}`;
  expect(caught(() => readModelConfig(long)).message).toContain('at most');
  const deep = '['.repeat(100_000) + ']'.repeat(100_000);
  expect(caught(() => readModelConfig(deep)).message).toContain('nested 100000 deep');
  expect(parseJson('{"a": "[[[\\"{{{"}', 'x')).toEqual({ a: '[[["{{{' });
  expect(parseJson('['.repeat(64) + ']'.repeat(64), 'x')).toBeInstanceOf(Array);
});

test('a hostile key is only a key', () => {
  const text = JSON.stringify(published(QWEN)).replace('{', '{"__proto__": {"vocab_size": 1}, ');
  expect(caught(() => readModelConfig(text)).message).toContain('__proto__');
});

test('Qwen layers: dense by list and by step, windows by rule and by list', () => {
  const kinds = (changes: JsonObject): string[] =>
    load('qwen2-57b-a14b', { num_hidden_layers: 6, ...changes }).config.layers.map((l) => l.ffn.kind[0]!);
  expect(kinds({}).join('')).toBe('mmmmmm');
  expect(kinds({ decoder_sparse_step: 3 }).join('')).toBe('ddmddm');
  expect(kinds({ decoder_sparse_step: 2, mlp_only_layers: [1, 4] }).join('')).toBe('dddmdm');
  const windows = (changes: JsonObject): (number | null)[] =>
    load('qwen2-57b-a14b', { num_hidden_layers: 4, sliding_window: 8, ...changes }).config.layers.map(
      (l) => (l.mixer as GroupedAttention).window,
    );
  expect(windows({})).toEqual([null, null, null, null]);
  expect(windows({ use_sliding_window: true, max_window_layers: 2 })).toEqual([8, null, null, null]);
  const layer_types = ['full_attention', 'full_attention', 'full_attention', 'sliding_attention'];
  expect(windows({ use_sliding_window: true, layer_types })).toEqual([null, null, null, 8]);
  const qwen3 = load(QWEN, { use_sliding_window: true, sliding_window: 16, max_window_layers: 1 }).config;
  expect(qwen3.layers.every((l) => (l.mixer as GroupedAttention).window === 16)).toBe(true);
});

test('DeepSeek-V2 with groups, and layers by list', () => {
  const { config } = load('deepseek-v2-lite', { topk_method: 'group_limited_greedy', n_group: 8, topk_group: 3 });
  const { groups } = (config.layers[1]!.ffn as MoeFfn).router;
  expect(groups).toEqual({ count: 8, keep: 3, rank: 'max', dropped: 'zero' });
  const types = ['sparse', ...Array<string>(26).fill('dense')];
  const listed = load('deepseek-v2-lite', { mlp_layer_types: types }).config;
  expect(listed.layers.map((l) => l.ffn.kind === 'moe').lastIndexOf(true)).toBe(0);
});

test('generation_config.json: what it says, nothing it does not, and what was passed over', () => {
  const read = readGenerationConfig(
    JSON.stringify({
      bos_token_id: 1,
      eos_token_id: [2, 7],
      pad_token_id: 2,
      do_sample: true,
      temperature: 0.2,
      top_p: 0.9,
      top_k: 20,
      repetition_penalty: 1.1,
      suppress_tokens: [5],
      transformers_version: '5.18.0',
    }),
  );
  expect(read).toEqual({
    endTokens: [2, 7],
    beginToken: 1,
    doSample: true,
    temperature: 0.2,
    topK: 20,
    topP: 0.9,
    minP: null,
    repetitionPenalty: 1.1,
    maxNewTokens: null,
    firstToken: null,
    ignored: ['suppress_tokens'],
  });
  expect(readGenerationConfig('{}')).toMatchObject({ endTokens: null, doSample: null, ignored: [] });
  expect(readGenerationConfig('{"eos_token_id": 5}').endTokens).toEqual([5]);
});

test.each([
  '[]',
  '{"temperature": -1}',
  '{"top_p": 1.5}',
  '{"top_k": 2.5}',
  '{"eos_token_id": "x"}',
  '{"repetition_penalty": 0}',
])('generation_config.json %s is damage', (text) => {
  const error = caught(() => readGenerationConfig(text));
  expect(error).toBeInstanceOf(InvalidCheckpoint);
  expect(error.message).toContain('generation_config.json');
});
