import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import { toV5, type JsonObject } from '../config/published.ts';
import { expectedTensors } from './expected.ts';
import { FAMILY_FIXTURES, FORMAT_FIXTURES, loadConfig, readModel, SHIPPED, type Tensors } from './checkpoint.ts';

/** The plain shape of a tensor, and the stored tensors it is made of. */
function find(tensors: Tensors, name: string): { shape: readonly number[]; parts: string[] } | undefined {
  const plain = tensors.get(name);
  if (plain) return { shape: plain.shape, parts: [name] };
  const shape = tensors.get(`${name}_shape`);
  if (shape) {
    const parts = [`${name}_shape`, `${name}_packed`, `${name}_scale`];
    return { shape: Array.from(new BigInt64Array(shape.bytes.buffer), Number), parts };
  }
  const blocks = tensors.get(`${name}_blocks`);
  if (!blocks) return undefined;
  const [experts, out, groups] = blocks.shape as [number, number, number];
  return { shape: [experts, groups * 32, out], parts: [`${name}_blocks`, `${name}_scales`] };
}

test.each([...FAMILY_FIXTURES, ...FORMAT_FIXTURES, SHIPPED])('%s: names and shapes are the file, exactly', (folder) => {
  const { config, names } = loadConfig(folder);
  const tensors = readModel(folder);
  const left = new Set(tensors.keys());
  for (const [name, shape] of expectedTensors(config, names)) {
    const found = find(tensors, name);
    // Vectors may be published as [1, n].
    const bare = (dims: readonly number[] | undefined): readonly number[] | undefined => dims?.filter((d) => d !== 1);
    if (shape.length === 1) expect(bare(found?.shape), name).toEqual(bare(shape));
    else expect(found?.shape, name).toEqual(shape);
    for (const part of found!.parts) left.delete(part);
  }
  expect([...left].filter((name) => !names.ignored(name))).toEqual([]);
});

test.each(FAMILY_FIXTURES)('%s: the form of transformers 5 says the same', (folder) => {
  const file = readFileSync(new URL(`../../../${folder}/config.json`, import.meta.url), 'utf8');
  const json = JSON.parse(file) as JsonObject;
  if (json.rope_parameters) delete json.rope_parameters;
  const v4 = readModelConfig(JSON.stringify(json)).config;
  expect(readModelConfig(JSON.stringify(toV5(json))).config).toEqual(v4);
});

const glm = (changes: object): ReturnType<typeof readModelConfig> => {
  const url = new URL('../../fixtures/families/glm4-moe/config.json', import.meta.url);
  return readModelConfig(JSON.stringify({ ...JSON.parse(readFileSync(url, 'utf8')), ...changes }));
};

test('layers behind the last one are ignored where a family has such, and only there', () => {
  const { names } = glm({ num_nextn_predict_layers: 1 });
  expect(names.ignored('model.layers.3.eh_proj.weight')).toBe(true);
  expect(names.ignored('model.layers.3.mlp.experts.0.up_proj.weight')).toBe(true);
  expect(names.ignored('model.layers.2.mlp.extra.weight')).toBe(false);
  expect(loadConfig('test/fixtures/families/qwen3-moe').names.ignored('model.layers.3.mlp.up_proj.weight')).toBe(false);
});

test('a tied head has no name, and a stored copy is ignored', () => {
  const tied = glm({ tie_word_embeddings: true }).names;
  expect(tied.head).toBeNull();
  expect(tied.ignored('lm_head.weight')).toBe(true);
  expect(glm({}).names.ignored('lm_head.weight')).toBe(false);
  expect(tied.ignored('model.layers.0.self_attn.rotary_emb.inv_freq')).toBe(true);
});
