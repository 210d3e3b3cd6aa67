import { describe, expect, it } from 'vitest';
import { InvalidRequest } from '../../../src/errors.ts';
import { capacityOf } from '../../../src/layer/capacity.ts';
import { planLayer, type MoELayerOptions } from '../../../src/layer/options.ts';

const SIZE = { hidden_size: 8, intermediate_size: 4, num_experts: 8 } as const;

describe('options of a standalone layer', () => {
  it.each<[Partial<Record<keyof MoELayerOptions, unknown>> & Record<string, unknown>, RegExp]>([
    [{ hidden_size: 0 }, /hidden_size must be a whole number of at least 1/],
    [{ num_experts: undefined }, /num_experts must be/],
    [{ k: 1.5 }, /k must be a whole number/],
    [{ k: 9 }, /k 9 of 8 choices/],
    [{ num_experts: 511 }, /511 experts; at most 510/],
    [{ max_tokens: 70000 }, /at most 65535 tokens/],
    [{ seed: -1 }, /seed must be/],
    [{ capacity_factor: 0 }, /capacity_factor must be a number above 0/],
    [{ router_jitter_noise: NaN }, /router_jitter_noise must be/],
    [{ topk: 2 }, /no option topk/],
    [{ scoring_func: 'tanh' }, /scoring_func must be one of softmax, sigmoid, sqrtsoftplus/],
    [{ use_rts: 1 }, /use_rts must be one of true, false/],
    [{ loss_coef: { aux: 1 } }, /no loss aux; there are load_balancing/],
    [{ loss_coef: { z: Infinity } }, /loss_coef.z must be finite/],
    [{ n_group: 3 }, /8 choices do not fall into 3 even groups/],
    [{ n_group: 2, topk_group: 3 }, /keeps 3 of 2 groups/],
    [{ topk_group: 1 }, /topk_group needs n_group/],
    [{ n_group: 4, topk_group: 1, k: 3 }, /k 3 is more than 1 of 4 groups hold/],
    [{ n_group: 8, group_rank: 'top2-sum' }, /groups of two experts/],
    [{ num_devices: 3 }, /evenly on 3 devices/],
    [{ router: 'expert_choice', k: 2 }, /capacity_factor in place of k/],
    [{ router: 'expert_choice', zero_expert_num: 2 }, /choose no tokens/],
    [{ router: 'expert_choice', drop_tokens: false }, /every expert for every token/],
    [{ router: 'expert_choice', use_rts: true }, /no drop_policy and no use_rts/],
    [{ router: 'hash', n_group: 2 }, /hash has no groups/],
    [{ router: 'random', k: 2, second_expert_policy: 'random' }, /no second expert to sample/],
    [{ router: 'random', noisy_gate_policy: 'RSample' }, /RSample noise is for choices by score/],
    [{ top2_2nd_expert_sampling: true }, /needs k = 2/],
    [{ k: 2, n_group: 2, top2_2nd_expert_sampling: true }, /keeps to no group/],
    [{ noisy_gate_policy: 'RSample', router_jitter_noise: 0.1 }, /of the policy Jitter/],
    [{ noisy_gate_policy: 'NoisyTopK', k: 8 }, /an expert that is not chosen/],
    [{ noisy_gate_policy: 'NoisyTopK', n_group: 2 }, /plain top-k/],
    [{ gate_weights: 'uniform', norm_topk_prob: 'after_drop' }, /uniform weights are not normalised/],
    [{ drop_tokens: true }, /drop_tokens needs a capacity_factor/],
    [{ min_capacity: 4 }, /need a capacity_factor/],
    [{ eval_capacity_factor: 1 }, /need a capacity_factor/],
    [{ use_rts: true, drop_policy: 'probs', capacity_factor: 1 }, /a drop policy of its own/],
  ])('refuses %j', (options, message) => {
    const ask = (): unknown => planLayer({ ...SIZE, ...options } as MoELayerOptions);
    expect(ask).toThrow(message);
    expect(ask).toThrow(InvalidRequest);
  });

  it('are quiet by default: top-1, no noise, nobody dropped', () => {
    const { shape, capacity } = planLayer(SIZE);
    expect(shape).toMatchObject({ topK: 1, noise: 'none', normalize: 'none', fill: 'choice-order', groups: null });
    expect(capacity).toBeNull();
    expect(planLayer({ ...SIZE, capacity_factor: 1.5 }).capacity).toEqual({
      train: 1.5,
      eval: 1.5,
      least: 0,
      perToken: 1,
    });
  });
});

describe('capacity', () => {
  // Tokens, experts, capacity_factor, k, min_capacity: by the formulas of Switch, GShard and DeepSpeed.
  it.each([
    [100, 10, 1, 1, 0, 10],
    [100, 10, 1.25, 1, 0, 13],
    [101, 10, 1, 1, 0, 11],
    [100, 10, 1.1, 1, 0, 11], // doubles would say 12
    [10, 3, 1.2, 1, 0, 4],
    [64, 8, 1, 2, 0, 16], // GShard: 2 T / E
    [8, 64, 1, 1, 0, 1],
    [8, 64, 1, 1, 4, 4],
    [8, 64, 0.01, 2, 0, 1],
    [0, 8, 1, 1, 0, 0],
  ])('of %d tokens and %d experts at %d, k %d, at least %d: %d', (tokens, experts, factor, perToken, least, want) => {
    expect(capacityOf(tokens, experts, { factor, perToken, least })).toBe(want);
  });
});
