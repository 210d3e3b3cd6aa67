/** A language model inside one for several media: its config and its tensors are those of the model alone. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import { UnsupportedModel } from '../../../src/errors.ts';
import type { Checkpoint } from '../../../src/weights/checkpoint.ts';
import { textModel } from '../../../src/weights/text-model.ts';
import { published, type JsonObject } from './published.ts';

const file = new URL('../../fixtures/families/gemma4/config.json', import.meta.url);
const gemma = JSON.parse(readFileSync(file, 'utf8')) as JsonObject;
const { architectures, dtype, eos_token_id, ...text } = gemma;
const OUTER = { model_type: 'gemma4', dtype, eos_token_id, text_config: text, vision_config: {}, image_token_id: 7 };
const read = (json: object): ReturnType<typeof readModelConfig> => readModelConfig(JSON.stringify(json));

test('says the same as the model alone', () => {
  expect(architectures).toEqual(['Gemma4ForCausalLM']);
  const nested = read(OUTER);
  expect(nested.isNested).toBe(true);
  expect(nested.config).toEqual(read(gemma).config);
  expect(nested.config.endTokens).toEqual([eos_token_id]);
});

test('names in quantization_config are those of the model alone', () => {
  const ignore = ['model.language_model.layers.0.mlp.gate_proj', 'model.vision_tower.x', 'lm_head'];
  const { quantization } = read({ ...OUTER, quantization_config: { quant_method: 'compressed-tensors', ignore } });
  expect(quantization).toMatchObject({ ignore: ['model.layers.0.mlp.gate_proj', 'model.vision_tower.x', 'lm_head'] });
});

test('a key of the whole that nobody knows is refused, and so is a text_config that no family reads', () => {
  expect(() => read({ ...OUTER, warp: 2 })).toThrow(/warp/);
  expect(() => read({ ...published('mixtral-8x7b-instruct-v0.1'), text_config: {} })).toThrow(UnsupportedModel);
});

test('tensors are found by the names of the model alone; those of other media are not there', () => {
  const stored = ['model.language_model.norm.weight', 'lm_head.weight', 'model.visual.patch.weight'];
  const whole: Checkpoint = {
    source: { label: 'none', size: () => Promise.resolve(null), stream: () => (async function* () {})() },
    files: [],
    warnings: [],
    has: (name) => stored.includes(name),
    tensor: (name) => ({ name, dtype: 'F32', shape: [1], file: 'f', begin: 0, end: 4 }),
    leftOver: () => null,
    names: () => stored.values(),
    unasked: () => stored,
  };
  const inner = textModel(whole);
  expect([...inner.names()]).toEqual(['model.norm.weight', 'lm_head.weight']);
  expect(inner.unasked()).toEqual(['model.norm.weight', 'lm_head.weight']);
  expect(inner.has('model.norm.weight')).toBe(true);
  expect(inner.has('model.visual.patch.weight')).toBe(false);
  expect(inner.tensor('model.norm.weight').name).toBe('model.language_model.norm.weight');
  expect(() => inner.tensor('model.visual.patch.weight')).toThrow(/no tensor/);
});
