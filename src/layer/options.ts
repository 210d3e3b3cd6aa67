/** What a layer is asked to be, under the names that the field gave its knobs, and what that comes to. */
import type { ExpertGroups, LayerShape } from '../config/moe-layer.ts';
import { checkOptions } from './check-options.ts';
import { LOSS_NAMES, type LossName } from './losses.ts';

/** Names are those of the libraries and papers that docs/layer.md lists. */
export interface MoELayerOptions {
  /** D */
  readonly hidden_size: number;
  /** F, of one expert. */
  readonly intermediate_size: number;
  /** E, without shared, residual and zero experts. */
  readonly num_experts: number;
  /** Choices of a token; not with expert choice. Default 1. */
  readonly k?: number;
  /** Most tokens of a run; sizes the buffers. Default 1024. */
  readonly max_tokens?: number;
  /** Experts are down(act(gate x) * up x). Default `silu`. */
  readonly hidden_act?: 'silu' | 'gelu_pytorch_tanh';

  /** Who chooses: tokens their experts by score, experts their tokens by score, or neither. Default `top_k`. */
  readonly router?: 'top_k' | 'expert_choice' | 'hash' | 'random';
  /** `uniform`: each choice weighs 1 / k. Default `scores`; for hash and random `uniform`. */
  readonly gate_weights?: 'scores' | 'uniform';
  readonly scoring_func?: 'softmax' | 'sigmoid' | 'sqrtsoftplus';
  /** Divide weights by their sum: over all choices (`true`), or over those that were not dropped. Default false; true for noisy top-k. */
  readonly norm_topk_prob?: boolean | 'after_drop';
  readonly routed_scaling_factor?: number;
  /** Choices come from the `topk_group` best of `n_group` groups of neighbouring experts. */
  readonly n_group?: number;
  readonly topk_group?: number;
  readonly group_rank?: ExpertGroups['rank'];

  /** In training: Jitter and RSample as in DeepSpeed, NoisyTopK with trained noise as in Shazeer et al. */
  readonly noisy_gate_policy?: 'Jitter' | 'RSample' | 'NoisyTopK' | null;
  /** Of Jitter: inputs of the router are multiplied by 1 ± this. Alone, it means Jitter. Default 0.01. */
  readonly router_jitter_noise?: number;

  /** Given, experts have a capacity. Default: none; for expert choice 2. */
  readonly capacity_factor?: number;
  /** Outside training. Default: `capacity_factor`. */
  readonly eval_capacity_factor?: number;
  /** Default 0; DeepSpeed's is 4. */
  readonly min_capacity?: number;
  /** false: nobody is dropped, whatever the capacity. Default: true where there is a `capacity_factor`. */
  readonly drop_tokens?: boolean;
  /** Who comes first to a full expert: by place, all first choices before all second ones or token by token; or by score. Default `position`. */
  readonly drop_policy?: 'position' | 'token_position' | 'probs';
  /** Random token selection, in training: by lot. */
  readonly use_rts?: boolean;
  /** k = 2, in training: the second expert is drawn by Gumbel noise (DeepSpeed). */
  readonly top2_2nd_expert_sampling?: boolean;
  /** k = 2, in training: the second expert is used with the probability of twice its weight (GShard). Default `all`. */
  readonly second_expert_policy?: 'all' | 'random';

  /** Experts that every token takes, added. */
  readonly n_shared_experts?: number;
  /** PR-MoE: one more expert, mixed with the routed ones by learned coefficients. */
  readonly use_residual?: boolean;
  /** Choices without an expert behind them; AdaMoE's null experts give `zero`, LongCat's `identity`. */
  readonly zero_expert_num?: number;
  readonly zero_expert_type?: 'zero' | 'identity';

  /** For device and communication balance: experts lie on so many devices, neighbours together. Default 1. */
  readonly num_devices?: number;
  /** Of each loss in the loss that `backward` adds. Default 0. */
  readonly loss_coef?: Partial<Record<LossName, number>>;
  /** Of the first weights, and of all draws. Default 0. */
  readonly seed?: number;
}

/** Options that are settled. */
export interface LayerPlan {
  readonly shape: LayerShape;
  readonly maxTokens: number;
  readonly devices: number;
  /** Devices that a token may be sent to. */
  readonly mostDevices: number;
  /** Null: no limit. */
  readonly capacity: {
    readonly train: number;
    readonly eval: number;
    readonly least: number;
    readonly perToken: number;
  } | null;
  readonly coef: Readonly<Record<LossName, number>>;
  readonly seed: number;
}

/** @throws InvalidRequest that names the options which do not go together */
export function planLayer(options: MoELayerOptions): LayerPlan {
  checkOptions(options);
  const shape = shapeOf(options);
  const devices = options.num_devices ?? 1;
  return {
    shape,
    maxTokens: options.max_tokens ?? 1024,
    devices,
    mostDevices: shape.groups && shape.groups.count === devices ? shape.groups.keep : Math.min(shape.topK, devices),
    capacity: capacityRule(options, shape),
    coef: Object.fromEntries(LOSS_NAMES.map((name) => [name, options.loss_coef?.[name] ?? 0])) as LayerPlan['coef'],
    seed: options.seed ?? 0,
  };
}

const SCORES = { softmax: 'softmax', sigmoid: 'sigmoid', sqrtsoftplus: 'sqrt-softplus' } as const;
const NOISES = { Jitter: 'jitter', RSample: 'gumbel', NoisyTopK: 'noisy-top-k' } as const;
const CHOOSERS = { top_k: 'scores', expert_choice: 'experts', hash: 'hash', random: 'random' } as const;

function shapeOf(options: MoELayerOptions): LayerShape {
  const { router = 'top_k', n_group, router_jitter_noise } = options;
  const policy = options.noisy_gate_policy ?? (router_jitter_noise === undefined ? null : 'Jitter');
  const isFixed = router === 'hash' || router === 'random';
  return {
    hidden: options.hidden_size,
    width: options.intermediate_size,
    experts: options.num_experts,
    zeroExperts: options.zero_expert_num ?? 0,
    zeroGives: options.zero_expert_type ?? 'zero',
    topK: router === 'expert_choice' ? options.num_experts : (options.k ?? 1),
    sharedExperts: options.n_shared_experts ?? 0,
    residual: options.use_residual ?? false,
    activation: options.hidden_act === 'gelu_pytorch_tanh' ? 'gelu-tanh' : 'silu',
    chooses: CHOOSERS[router],
    score: SCORES[options.scoring_func ?? 'softmax'],
    uniformWeights: (options.gate_weights ?? (isFixed ? 'uniform' : 'scores')) === 'uniform',
    noise: policy === null ? 'none' : NOISES[policy],
    jitter: router_jitter_noise ?? 0.01,
    groups: n_group === undefined ? null : groupsOf(options, n_group),
    normalize: normalization(options.norm_topk_prob ?? policy === 'NoisyTopK'),
    scale: options.routed_scaling_factor ?? 1,
    fill: fillOf(options),
    secondSampled: options.top2_2nd_expert_sampling ?? false,
    secondRandom: options.second_expert_policy === 'random',
  };
}

const groupsOf = ({ topk_group, group_rank }: MoELayerOptions, count: number): ExpertGroups => ({
  count,
  keep: topk_group ?? count,
  rank: group_rank ?? 'max',
});

const normalization = (asked: boolean | 'after_drop'): LayerShape['normalize'] =>
  asked === 'after_drop' ? 'after-drop' : asked ? 'before-drop' : 'none';

function fillOf({ router, use_rts, drop_policy }: MoELayerOptions): LayerShape['fill'] {
  if (use_rts) return 'lot';
  if (router === 'expert_choice' || drop_policy === 'probs') return 'scores';
  return drop_policy === 'token_position' ? 'token-order' : 'choice-order';
}

function capacityRule(options: MoELayerOptions, { chooses, topK }: LayerShape): LayerPlan['capacity'] {
  const isChosen = chooses === 'experts';
  const train = options.capacity_factor ?? (isChosen ? 2 : undefined);
  if (train === undefined || options.drop_tokens === false) return null;
  return {
    train,
    eval: options.eval_capacity_factor ?? train,
    least: options.min_capacity ?? 0,
    perToken: isChosen ? 1 : topK,
  };
}
