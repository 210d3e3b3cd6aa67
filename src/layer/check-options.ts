/** Options that cannot be, alone or together. */
import { InvalidRequest } from '../errors.ts';
import { LOSS_NAMES } from './losses.ts';
import type { MoELayerOptions } from './options.ts';

/** Grouping keeps a histogram of all experts, and two more places, in workgroup memory. */
const MOST_EXPERTS = 510;
/** Workgroups of one dimension, under WebGPU's default limits. */
const MOST_TOKENS = 65535;

interface Fault {
  readonly when: boolean;
  readonly says: string;
  /** The options to look at. */
  readonly of: readonly (keyof MoELayerOptions)[];
}

/** @throws InvalidRequest */
export function checkOptions(options: MoELayerOptions): void {
  checkNumbers(options);
  checkNames(options);
  for (const { when, says, of } of [...sizeFaults(options), ...choiceFaults(options), ...capacityFaults(options)]) {
    if (when)
      throw new InvalidRequest(`createMoELayer: ${says}`, Object.fromEntries(of.map((name) => [name, options[name]])));
  }
}

/** Smallest value of each option that is a whole number. */
const WHOLE: Partial<Record<keyof MoELayerOptions, number>> = {
  hidden_size: 1,
  intermediate_size: 1,
  num_experts: 1,
  k: 1,
  max_tokens: 1,
  n_group: 1,
  topk_group: 1,
  min_capacity: 0,
  n_shared_experts: 0,
  zero_expert_num: 0,
  num_devices: 1,
  seed: 0,
};
const REQUIRED = ['hidden_size', 'intermediate_size', 'num_experts'] as const;
/** Above 0 and finite. */
const POSITIVE = ['routed_scaling_factor', 'router_jitter_noise', 'capacity_factor', 'eval_capacity_factor'] as const;

function checkNumbers(options: MoELayerOptions): void {
  for (const [name, least] of Object.entries(WHOLE)) {
    const value = options[name as keyof MoELayerOptions];
    if (value === undefined && !REQUIRED.includes(name as (typeof REQUIRED)[number])) continue;
    if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > 0xffffffff)
      throw new InvalidRequest(`createMoELayer: ${name} must be a whole number of at least ${least}`, {
        [name]: value,
      });
  }
  for (const name of POSITIVE) {
    const value = options[name];
    if (value !== undefined && !(value > 0 && Number.isFinite(value)))
      throw new InvalidRequest(`createMoELayer: ${name} must be a number above 0`, { [name]: value });
  }
  for (const [name, value] of Object.entries(options.loss_coef ?? {})) {
    if (!LOSS_NAMES.some((known) => known === name))
      throw new InvalidRequest(`createMoELayer: no loss ${name}; there are ${LOSS_NAMES.join(', ')}`, { name });
    if (!Number.isFinite(value))
      throw new InvalidRequest(`createMoELayer: loss_coef.${name} must be finite`, { value });
  }
}

/** Options of few words, for callers without types. */
const NAMES: Partial<Record<keyof MoELayerOptions, readonly unknown[]>> = {
  hidden_act: ['silu', 'gelu_pytorch_tanh'],
  router: ['top_k', 'expert_choice', 'hash', 'random'],
  gate_weights: ['scores', 'uniform'],
  scoring_func: ['softmax', 'sigmoid', 'sqrtsoftplus'],
  norm_topk_prob: [true, false, 'after_drop'],
  group_rank: ['max', 'top2-sum'],
  noisy_gate_policy: ['Jitter', 'RSample', 'NoisyTopK', null],
  drop_policy: ['position', 'token_position', 'probs'],
  second_expert_policy: ['all', 'random'],
  zero_expert_type: ['zero', 'identity'],
};
const FLAGS = ['drop_tokens', 'use_rts', 'top2_2nd_expert_sampling', 'use_residual'];

function checkNames(options: MoELayerOptions): void {
  const known = [...Object.keys(WHOLE), ...POSITIVE, ...Object.keys(NAMES), ...FLAGS, 'loss_coef'];
  for (const [name, value] of Object.entries(options)) {
    if (!known.includes(name)) throw new InvalidRequest(`createMoELayer: no option ${name}`, { known });
    const words = NAMES[name as keyof MoELayerOptions] ?? (FLAGS.includes(name) ? [true, false] : null);
    if (words && value !== undefined && !words.includes(value))
      throw new InvalidRequest(`createMoELayer: ${name} must be one of ${words.map(String).join(', ')}`, {
        [name]: value,
      });
  }
}

function sizeFaults(options: MoELayerOptions): Fault[] {
  const { num_experts, k = 1, zero_expert_num = 0, n_shared_experts = 0, use_residual } = options;
  const { n_group = 1, topk_group = n_group, num_devices = 1, group_rank } = options;
  const choices = num_experts + zero_expert_num;
  const all = num_experts + n_shared_experts + Number(use_residual ?? false);
  return [
    { when: k > choices, says: `k ${k} of ${choices} choices`, of: ['k', 'num_experts', 'zero_expert_num'] },
    {
      when: Math.max(all, choices) > MOST_EXPERTS,
      says: `${Math.max(all, choices)} experts; at most ${MOST_EXPERTS}`,
      of: ['num_experts', 'n_shared_experts', 'zero_expert_num'],
    },
    {
      when: (options.max_tokens ?? 1) > MOST_TOKENS,
      says: `at most ${MOST_TOKENS} tokens a run`,
      of: ['max_tokens'],
    },
    {
      when: choices % n_group !== 0,
      says: `${choices} choices do not fall into ${n_group} even groups`,
      of: ['n_group', 'num_experts', 'zero_expert_num'],
    },
    { when: topk_group > n_group, says: `keeps ${topk_group} of ${n_group} groups`, of: ['n_group', 'topk_group'] },
    {
      when: options.topk_group !== undefined && options.n_group === undefined,
      says: 'topk_group needs n_group',
      of: ['topk_group'],
    },
    {
      when: k > (topk_group * choices) / n_group,
      says: `k ${k} is more than ${topk_group} of ${n_group} groups hold`,
      of: ['k', 'n_group', 'topk_group'],
    },
    {
      when: group_rank === 'top2-sum' && choices / n_group < 2,
      says: 'top2-sum needs groups of two experts or more',
      of: ['group_rank', 'n_group'],
    },
    {
      when: choices % num_devices !== 0,
      says: `${choices} choices do not lie evenly on ${num_devices} devices`,
      of: ['num_devices', 'num_experts', 'zero_expert_num'],
    },
  ];
}

function choiceFaults(options: MoELayerOptions): Fault[] {
  const { router = 'top_k', k = 1, noisy_gate_policy: policy, num_experts, zero_expert_num = 0 } = options;
  const isSecond = options.top2_2nd_expert_sampling === true || options.second_expert_policy === 'random';
  const byTokens = router === 'top_k';
  return [
    {
      when: router === 'expert_choice' && options.k !== undefined,
      says: 'expert_choice has a capacity_factor in place of k',
      of: ['router', 'k'],
    },
    {
      when: router === 'expert_choice' && zero_expert_num > 0,
      says: 'zero experts choose no tokens',
      of: ['router', 'zero_expert_num'],
    },
    {
      when: router === 'expert_choice' && options.drop_tokens === false,
      says: 'expert_choice without a limit would be every expert for every token',
      of: ['router', 'drop_tokens'],
    },
    {
      when: router === 'expert_choice' && (options.use_rts === true || options.drop_policy !== undefined),
      says: 'experts choose by score: expert_choice goes with no drop_policy and no use_rts',
      of: ['router', 'use_rts', 'drop_policy'],
    },
    { when: !byTokens && options.n_group !== undefined, says: `${router} has no groups`, of: ['router', 'n_group'] },
    {
      when: !byTokens && isSecond,
      says: `${router} has no second expert to sample`,
      of: ['router', 'top2_2nd_expert_sampling', 'second_expert_policy'],
    },
    {
      when: !byTokens && (policy === 'RSample' || policy === 'NoisyTopK'),
      says: `${policy} noise is for choices by score of tokens`,
      of: ['router', 'noisy_gate_policy'],
    },
    {
      when: isSecond && k !== 2,
      says: 'sampling of the second expert needs k = 2',
      of: ['k', 'top2_2nd_expert_sampling', 'second_expert_policy'],
    },
    {
      when: options.top2_2nd_expert_sampling === true && options.n_group !== undefined,
      says: 'a sampled second expert keeps to no group',
      of: ['top2_2nd_expert_sampling', 'n_group'],
    },
    {
      when: policy !== 'Jitter' && policy !== undefined && options.router_jitter_noise !== undefined,
      says: 'router_jitter_noise is of the policy Jitter',
      of: ['noisy_gate_policy', 'router_jitter_noise'],
    },
    {
      when: policy === 'NoisyTopK' && k >= num_experts + zero_expert_num,
      says: 'NoisyTopK needs an expert that is not chosen: k below num_experts',
      of: ['noisy_gate_policy', 'k', 'num_experts'],
    },
    {
      when: policy === 'NoisyTopK' && (options.n_group !== undefined || isSecond),
      says: 'the load of NoisyTopK is that of a plain top-k: no groups, no sampling of the second expert',
      of: ['noisy_gate_policy', 'n_group'],
    },
    {
      when: options.gate_weights === 'uniform' && options.norm_topk_prob === 'after_drop',
      says: 'uniform weights are not normalised',
      of: ['gate_weights', 'norm_topk_prob'],
    },
  ];
}

function capacityFaults(options: MoELayerOptions): Fault[] {
  const { capacity_factor, drop_tokens, router } = options;
  const hasLimit = capacity_factor !== undefined || router === 'expert_choice';
  return [
    {
      when: drop_tokens === true && !hasLimit,
      says: 'drop_tokens needs a capacity_factor',
      of: ['drop_tokens', 'capacity_factor'],
    },
    {
      when: !hasLimit && (options.eval_capacity_factor !== undefined || options.min_capacity !== undefined),
      says: 'eval_capacity_factor and min_capacity need a capacity_factor',
      of: ['capacity_factor', 'eval_capacity_factor', 'min_capacity'],
    },
    {
      when: options.use_rts === true && options.drop_policy !== undefined,
      says: 'use_rts is a drop policy of its own',
      of: ['use_rts', 'drop_policy'],
    },
  ];
}
