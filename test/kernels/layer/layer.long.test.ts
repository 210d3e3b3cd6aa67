import { describe, it } from 'vitest';
import { layerShaderText } from '../../../src/gpu/layer-shaders.gen.ts';
import type { MoELayerOptions } from '../../../src/layer/options.ts';
import { expectMutantToFail } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { caseData, type LayerCase } from '../../support/layer-cases.ts';
import { checkLayer } from './twin.ts';

const gpu = await openTestGpu({ defaultLimits: true });

const SMALL = { hidden_size: 6, intermediate_size: 4, num_experts: 6, max_tokens: 16, seed: 5 } as const;
const layer = (name: string, options: Partial<MoELayerOptions>, training = true): LayerCase => ({
  name,
  options: { ...SMALL, ...options },
  training,
});
const ALL_LOSSES = {
  loss_coef: { load_balancing: 1, importance: 1, load: 1, z: 0.1, mutual_information: 1, sequence_balance: 1 },
} as const;

const BALANCED = layer('a bit of all', {
  k: 2,
  capacity_factor: 0.75,
  norm_topk_prob: true,
  router_jitter_noise: 0.3,
  use_residual: true,
  zero_expert_num: 2,
  zero_expert_type: 'identity',
  ...ALL_LOSSES,
});
const TIGHT = layer('tight', { k: 2, capacity_factor: 0.3 });
const NOISY = layer('noisy', { k: 2, noisy_gate_policy: 'NoisyTopK', ...ALL_LOSSES });

describe('a standalone layer', () => {
  it('of more than one workgroup everywhere, with rows of many tiles', async () => {
    const odd = { hidden_size: 70, intermediate_size: 33, num_experts: 5, max_tokens: 150 };
    const big = layer('big', { ...odd, k: 2, capacity_factor: 1, use_rts: true, n_shared_experts: 1, ...ALL_LOSSES });
    await checkLayer(gpu, big, caseData(big, 131, 50));
  });

  it.each([
    ['capacity 1', layer('', { k: 2, capacity_factor: 0.01, min_capacity: 1 })],
    ['capacity 1, by lot', layer('', { capacity_factor: 0.01, use_rts: true })],
    [
      'capacity 1, by score, weights after the drop',
      layer('', { k: 3, capacity_factor: 0.01, drop_policy: 'probs', norm_topk_prob: 'after_drop' }),
    ],
    ['one expert', layer('', { num_experts: 1 })],
    ['one token', layer('', { k: 2, capacity_factor: 1 })],
  ])('at an edge: %s', async (what, edge) => {
    await checkLayer(gpu, edge, caseData(edge, what === 'one token' ? 1 : 13));
  });

  it.each([
    ['first choices before second ones', {}],
    ['token by token', { drop_policy: 'token_position' }],
    ['by score', { drop_policy: 'probs' }],
    ['by lot', { use_rts: true }],
  ] as const)('where all scores tie, the lowest ids take all: %s', async (_what, policy) => {
    const tie = layer('ties', { k: 2, capacity_factor: 1, ...policy, ...ALL_LOSSES });
    const data = caseData(tie);
    await checkLayer(gpu, tie, flat(data));
  });

  it.each<[string, string, LayerCase, (s: string) => string]>([
    ['layer/jitter', 'draws one factor a token', BALANCED, (s) => s.replace('i / D, i % D', 'i / D, 0u')],
    [
      'layer/logits',
      'jitters the mixing coefficients too',
      BALANCED,
      (s) => s.replace('RESIDUAL_ROWS >= M', 'RESIDUAL_ROWS > 2u * M'),
    ],
    ['layer/scores', 'divides by nothing', BALANCED, (s) => s.replace('/ total', '')],
    [
      'layer/choose',
      'gives ties to the higher id',
      BALANCED,
      (s) => s.replace('key > keys[t * G + best]', 'key < keys[t * G + best]'),
    ],
    ['layer/choose', 'takes the wrong threshold', NOISY, (s) => s.replace('select(kth, behind, taken)', 'kth')],
    [
      'layer/place',
      'keeps one too many',
      BALANCED,
      (s) => s.replace('rank < u_gate.capacity', 'rank <= u_gate.capacity'),
    ],
    ['layer/place', 'counts by token', TIGHT, (s) => s.replace('(pair % K) * u_step.tokens + pair / K', 'pair')],
    ['layer/weigh', 'forgets the mixing coefficient', BALANCED, (s) => s.replace('weight * mix.x', 'weight')],
    ['layer/merge', 'leaves out identities', BALANCED, (s) => s.replace('if (id == X + 1u)', 'if (id == X + 2u)')],
    [
      'layer/column_sums',
      'runs into the next sequence',
      BALANCED,
      (s) => s.replace('first + u_gate.sequence', 'first + u_gate.sequence + 1u'),
    ],
    ['layer/combine_grad', 'reads the pair as its row', BALANCED, (s) => s.replace('row_of_pair[pair]', 'pair')],
    ['layer/act_grad', 'leaves out the weight', BALANCED, (s) => s.replace('weight * dact', 'dact')],
    [
      'layer/expert_grad',
      'begins one row late',
      BALANCED,
      (s) => s.replace('row += counts[e]', 'row += counts[e + 1u]'),
    ],
    [
      'layer/router_grad',
      'forgets that weights are divided by a sum',
      BALANCED,
      (s) => s.replace('grad -= inner', 'grad -= 0.0'),
    ],
    [
      'layer/router_grad',
      'takes thresholds for constants',
      NOISY,
      (s) => s.replace('dlogits[clean + threshold] -=', 'dlogits[clean + threshold] -= 0.0 *'),
    ],
    [
      'layer/x_grad',
      'forgets the jitter',
      BALANCED,
      (s) => s.replace('scored *= jitter_factor(t, d)', 'scored *= 1.0'),
    ],
    [
      'layer/router_weight_grad',
      'reads x for jittered rows',
      BALANCED,
      (s) => s.replace('router_x[t * D + d]', 'x[t * D + d]'),
    ],
  ])('notices a %s that %s', async (shader, _what, layerCase, mutate) => {
    await expectMutantToFail(gpu, layerShaderText, shader, mutate, () => checkLayer(gpu, layerCase));
  });
});

/** All tokens are 0, and so are all logits. */
const flat = (data: ReturnType<typeof caseData>): ReturnType<typeof caseData> => {
  const x = data.x.map(() => 0);
  const bias = data.bias.map(() => 0);
  return { ...data, x, bias, input: { ...data.input, x, bias } };
};
