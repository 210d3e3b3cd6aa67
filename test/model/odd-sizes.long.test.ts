/** Sizes that nothing divides evenly: every family end to end against the forward pass in doubles, with both shapes of kernels. */
import { describe, expect, it } from 'vitest';
import { readModelConfig } from '../../src/config/load.ts';
import { asVersion5, configOf, ODD_FAMILIES } from '../support/configs.ts';
import { openTestGpu, pretend } from '../support/gpu.ts';
import { expectReference, promptOf } from '../support/reference.ts';
import { plain, synthetic } from '../support/synthetic.ts';

const gpu = await openTestGpu({ defaultLimits: true });
const KERNELS = { gpu, software: pretend(gpu, true) };

describe.each(ODD_FAMILIES)('%s', (family) => {
  it.each(['gpu', 'software'] as const)('is the reference, with the kernels for %s', async (k) => {
    const model = synthetic(configOf(family));
    // Two chunks and one token, which decode computes; for software, decode all the way.
    await expectReference(KERNELS[k], model, promptOf(model), { prefillChunk: k === 'gpu' ? 14 : 1 });
  });

  it('reads the same from the config that transformers 5 writes', () => {
    const { config } = readModelConfig(JSON.stringify(configOf(family)));
    expect(readModelConfig(JSON.stringify(asVersion5(configOf(family)))).config).toEqual(config);
  });
});

it.each([
  ['one expert', configOf('mixtral', { num_local_experts: 1, num_experts_per_tok: 1 })],
  ['all layers dense', configOf('deepseek-v3', { first_k_dense_replace: 2 })],
  [
    'one layer, one head',
    configOf('mixtral', { num_hidden_layers: 1, num_attention_heads: 1, num_key_value_heads: 1 }),
  ],
  [
    '512 experts, 10 chosen',
    configOf('qwen3-moe', {
      num_experts: 512,
      num_experts_per_tok: 10,
      num_hidden_layers: 1,
      hidden_size: 48,
      moe_intermediate_size: 8,
    }),
  ],
  ['no shared expert', configOf('glm4-moe', { n_shared_experts: 0, use_qk_norm: false })],
])('%s', async (_, json) => {
  const model = synthetic(json, { encode: plain('BF16') });
  for (const kernels of Object.values(KERNELS)) await expectReference(kernels, model, promptOf(model));
});

it('cuts matrices where a binding would overflow, and gives each layer an arena', async () => {
  // 19 KiB hold the keys of 64 positions; the embedding of 251 rows, which is the head too, takes 47.
  const small = { num_experts: 2, num_experts_per_tok: 2, moe_intermediate_size: 8, mlp_only_layers: [] };
  const model = synthetic(configOf('qwen3-moe', small), { encode: plain('BF16') });
  for (const kernels of Object.values(KERNELS)) {
    const { facts } = kernels;
    const limits = { ...facts.limits, maxStorageBufferBindingSize: 19 * 1024 };
    await expectReference(kernels.share({ ...facts, limits }), model, promptOf(model), { prefillChunk: 8 });
  }
});
