/** A config that no family claims: what the error says of it, and the family file that is drafted for it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import { ConfigReader } from '../../../src/config/read.ts';
import { UnsupportedModel } from '../../../src/errors.ts';
import { draftFamily } from '../../../src/families/draft.ts';
import type { Family } from '../../../src/families/family.ts';
import { FAMILIES } from '../../../src/families/index.ts';
import { nearestFamily } from '../../../src/families/nearest.ts';
import { published, type JsonObject } from '../config/published.ts';

const NEW: JsonObject = {
  ...published('qwen3-30b-a3b'),
  model_type: 'grove-moe 2',
  architectures: ["Grove'MoE"],
  router_cap: 30,
  'odd "key"': { a: [1, "it's"] },
};

const refused = (json: JsonObject): UnsupportedModel => {
  try {
    readModelConfig(JSON.stringify(json));
  } catch (error) {
    if (error instanceof UnsupportedModel) return error;
    throw error;
  }
  throw new Error('was read');
};

test('the error names the nearest family by what it reads, and the keys that family does not know', () => {
  const error = refused(NEW);
  expect(error.message).toContain('grove-moe 2');
  expect(error.message).toContain('does not know router_cap, odd "key"');
  expect(error.details).toMatchObject({ nearest: 'qwen3_moe', unknownKeys: ['router_cap', 'odd "key"'] });
});

test.each([
  ['mixtral-8x7b-instruct-v0.1', 'mixtral'],
  ['qwen1.5-moe-a2.7b', 'qwen2-moe'],
  ['deepseek-v2-lite', 'deepseek-v2'],
  ['gpt-oss-20b', 'gpt-oss'],
])('%s under another name is nearest to its own family', (name, id) => {
  const near = nearestFamily(FAMILIES, { ...published(name), model_type: 'other' }, 'other');
  expect(near.family.id).toBe(id);
  expect(near.unknownKeys).toEqual([]);
});

test('what no family can read is nearest to the family that is spelt alike', () => {
  const error = refused({ model_type: 'mixtrall' });
  expect(error.message).toContain('Nearest by name: mixtral');
  expect(error.details).toMatchObject({ nearest: 'mixtral', unknownKeys: null });
});

/** The drafted file, imported as if it lay beside the others. */
async function imported(json: JsonObject): Promise<Family> {
  const families = fileURLToPath(new URL('../../../src/families/', import.meta.url));
  const folder = mkdtempSync(`${tmpdir()}/webmoe-draft-`);
  try {
    const file = `${folder}/draft.ts`;
    writeFileSync(file, draftFamily(json).replaceAll(`'./`, `'${families}`));
    return Object.values((await import(/* @vite-ignore */ file)) as Record<string, Family>)[0]!;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the draft is a family: it reads its config, names its tensors, and refuses other values of the new keys', async () => {
  const draft = await imported(NEW);
  expect(draft).toMatchObject({ id: 'grove-moe-2', modelTypes: ['grove-moe 2'], architectures: ["Grove'MoE"] });
  const reader = new ConfigReader(NEW);
  const config = draft.readConfig(reader);
  reader.finish();
  expect(config.family).toBe('grove-moe-2');
  expect(draft.names(config).layer(0).mixerNorm).toBe('model.layers.0.input_layernorm.weight');
  expect(() => draft.readConfig(new ConfigReader({ ...NEW, router_cap: 31 }))).toThrow(/router_cap = 31/);
});

test('a config that nothing reads is drafted from the family with the nearest name, and says so', () => {
  expect(draftFamily({ model_type: '3d', num_experts: 'many' })).toContain('does not read this config either');
});
