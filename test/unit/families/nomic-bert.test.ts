/** What configs of nomic_bert come to, and what of them is refused. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';
import type { JsonObject } from '../config/published.ts';

const FOLDER = 'test/fixtures/families/nomic-bert';
const CONFIG = JSON.parse(readFileSync(`${FOLDER}/config.json`, 'utf8')) as JsonObject;
const read = (changes: JsonObject) => readModelConfig(JSON.stringify({ ...CONFIG, ...changes }));

test('an encoder alone: every token sees all, norms lie behind the adds, every other layer has experts', () => {
  const { config } = read({});
  expect(config.encoder).toEqual({ layers: 4 });
  expect(config).toMatchObject({ normedStream: true, tokenType: true, norm: 'layer-biased', normEps: 1e-5 });
  expect(config.layers.map(({ ffn }) => ffn.kind)).toEqual(['dense', 'moe', 'dense', 'moe']);
  const { mixer, ffn } = config.layers[1]!;
  expect(mixer).toMatchObject({ sees: 'step', bias: { qkv: true, o: true }, rope: { interleaved: false } });
  expect(ffn).toMatchObject({
    topK: 2,
    sumBias: true,
    activation: { kind: 'gelu-ungated' },
    router: { renormalize: null },
  });
  expect(read({ moe_every_n_layers: 3, n_layer: 6 }).config.layers.map(({ ffn }) => ffn.kind)).toEqual([
    'dense',
    'moe',
    'dense',
    'dense',
    'moe',
    'dense',
  ]);
});

test.each([
  [{ prenorm: true }],
  [{ causal: true }],
  [{ activation_function: 'swiglu' }],
  [{ moe_normalize_expert_weights: true }],
  [{ num_shared_experts: 1 }],
  [{ expert_choice_router: true }],
  [{ qkv_proj_bias: false }],
  [{ rotary_emb_interleaved: true }],
  [{ rotary_scaling_factor: 2 }],
  [{ type_vocab_size: 2 }],
  [{ add_pooling_layer: true }],
  [{ architectures: ['NomicBertForMaskedLM'] }],
])('refuses by name: %j', (changes) => {
  expect(() => read(changes)).toThrow(UnsupportedModel);
  expect(() => read(changes)).toThrow(String(Object.values(changes)[0]));
});

test('refuses what makes no sense, and a model without experts', () => {
  for (const changes of [{ n_head: 5 }, { n_inner: 63 }, { num_experts: undefined }, { moe_every_n_layers: 0 }])
    expect(() => read(changes as JsonObject)).toThrow(InvalidCheckpoint);
});
