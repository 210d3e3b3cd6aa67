/** OpenMoE: told from Llama by its architecture, its size, what is refused. */
import { expect, it } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import type { ModelConfig } from '../../../src/config/model-config.ts';
import { parameterCounts } from '../../../src/config/parameters.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';
import openmoe from '../../fixtures/families/openmoe/config.json' with { type: 'json' };

const config = (json: object): ModelConfig => readModelConfig(JSON.stringify(json)).config;
const OPENMOE_8B = {
  ...openmoe,
  ...{ vocab_size: 256_384, hidden_size: 2048, intermediate_size: 8192, num_hidden_layers: 24, moe_layer_interval: 6 },
  ...{
    num_attention_heads: 24,
    num_key_value_heads: 24,
    head_dim: 128,
    num_experts: 32,
    max_position_embeddings: 2048,
  },
};

it('is told from Llama by its architecture alone', () => {
  expect(readModelConfig(JSON.stringify(openmoe)).family.id).toBe('openmoe');
  expect(() => config({ ...openmoe, architectures: ['LlamaForCausalLM'] })).toThrow(/hidden_act/);
});

it('OpenMoE-8B has experts in four layers of 24, and 11.9 B parameters: 23 GB in bf16, as its page says', () => {
  const found = config(OPENMOE_8B);
  expect(found.layers.flatMap(({ ffn }, i) => (ffn.kind === 'moe' ? [i] : []))).toEqual([5, 11, 17, 23]);
  const { total, active } = parameterCounts(found);
  expect(total / 1e9).toBeCloseTo(11.855, 2);
  expect(active / 1e9).toBeCloseTo(3.8, 1);
});

it.each([
  ['another activation', { hidden_act: 'silu' }, UnsupportedModel, 'hidden_act'],
  ['no activation', { hidden_act: null }, InvalidCheckpoint, 'hidden_act'],
  ['no gates', { mlp_gated: false }, UnsupportedModel, 'mlp_gated'],
  ['an odd width', { intermediate_size: 41 }, InvalidCheckpoint, 'intermediate_size'],
  ['more choices than experts', { router_topk: 5 }, InvalidCheckpoint, 'router_topk'],
  ['another rotation', { rope_theta: 500_000 }, UnsupportedModel, 'rope_theta'],
])('%s is refused by name', (_, changes, type, key) => {
  const refused = (): unknown => config({ ...openmoe, ...changes });
  expect(refused).toThrow(type);
  expect(refused).toThrow(key);
});
