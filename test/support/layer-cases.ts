/** Options of standalone layers that go together in pairs: every two values of two knobs meet in at least one case, where any layer allows it. */
import type { LayerShape, LayerStep } from '../../src/config/moe-layer.ts';
import { InvalidRequest } from '../../src/errors.ts';
import { capacityOf } from '../../src/layer/capacity.ts';
import { planLayer, type LayerPlan, type MoELayerOptions } from '../../src/layer/options.ts';
import { weightLengths, type MoELayerWeights } from '../../src/layer/weights.ts';
import type { LayerInput, LossSettings } from '../../src/reference/layer/layer.ts';
import { prng } from '../../src/util/prng.ts';
import { integers, normals } from './random.ts';

export interface LayerCase {
  readonly name: string;
  readonly options: MoELayerOptions;
  readonly training: boolean;
}

type Part = Partial<MoELayerOptions> & { readonly training?: boolean };

const LOSSES = {
  load_balancing: 0.7,
  importance: 0.4,
  load: 0.3,
  z: 0.05,
  mutual_information: 0.6,
  device_balance: 0.5,
  communication_balance: 0.2,
  sequence_balance: 0.8,
};

/** Each knob with its values by name. */
export const KNOBS: Readonly<Record<string, Readonly<Record<string, Part>>>> = {
  router: { scores: {}, experts: { router: 'expert_choice' }, hash: { router: 'hash' }, random: { router: 'random' } },
  k: { one: {}, two: { k: 2 }, three: { k: 3 } },
  score: { softmax: {}, sigmoid: { scoring_func: 'sigmoid' }, softplus: { scoring_func: 'sqrtsoftplus' } },
  weights: { default: {}, scores: { gate_weights: 'scores' }, uniform: { gate_weights: 'uniform' } },
  norm: { no: {}, yes: { norm_topk_prob: true }, kept: { norm_topk_prob: 'after_drop' } },
  noise: {
    none: {},
    jitter: { router_jitter_noise: 0.2 },
    rsample: { noisy_gate_policy: 'RSample' },
    noisy: { noisy_gate_policy: 'NoisyTopK' },
  },
  capacity: {
    none: {},
    tight: { capacity_factor: 0.5, eval_capacity_factor: 0.7 },
    wide: { capacity_factor: 1.25 },
    least: { capacity_factor: 0.1, min_capacity: 2 },
    undropped: { capacity_factor: 0.5, drop_tokens: false },
  },
  drop: {
    default: {},
    tokens: { drop_policy: 'token_position' },
    probs: { drop_policy: 'probs' },
    rts: { use_rts: true },
  },
  groups: { none: {}, max: { n_group: 4, topk_group: 2 }, top2: { n_group: 2, topk_group: 1, group_rank: 'top2-sum' } },
  second: { all: {}, gumbel: { top2_2nd_expert_sampling: true }, gshard: { second_expert_policy: 'random' } },
  shared: { none: {}, two: { n_shared_experts: 2 } },
  residual: { no: {}, yes: { use_residual: true } },
  zero: { none: {}, nothing: { zero_expert_num: 4 }, identity: { zero_expert_num: 4, zero_expert_type: 'identity' } },
  act: { silu: {}, gelu: { hidden_act: 'gelu_pytorch_tanh' } },
  scale: { one: {}, more: { routed_scaling_factor: 2.5 } },
  losses: { all: { loss_coef: LOSSES, num_devices: 2 }, none: {} },
  training: { yes: { training: true }, no: {} },
};

const SIZE = { hidden_size: 5, intermediate_size: 3, num_experts: 8, max_tokens: 16 } as const;
export const TOKENS = 13;
export const SEQUENCE = 5;

const NAMES = Object.keys(KNOBS);
type Choice = Readonly<Record<string, string>>;

function caseOf(choice: Choice): LayerCase {
  const parts = NAMES.map((knob) => KNOBS[knob]![choice[knob]!]!);
  const { training = false, ...options } = Object.assign({}, ...parts) as Part;
  const named = NAMES.filter((knob) => choice[knob] !== Object.keys(KNOBS[knob]!)[0]);
  const name = named.map((knob) => `${knob}=${choice[knob]}`).join(' ');
  return { name: name || 'defaults', options: { ...SIZE, seed: 7, ...options }, training };
}

function isPossible(choice: Choice): boolean {
  try {
    planLayer(caseOf(choice).options);
    return true;
  } catch (error) {
    if (error instanceof InvalidRequest) return false;
    throw error;
  }
}

const pairsIn = (choice: Choice): string[] =>
  NAMES.flatMap((a, i) => NAMES.slice(i + 1).map((b) => `${a}=${choice[a]} ${b}=${choice[b]}`));

/** Greedy: of many random cases around a pair that is missing, the one with most missing pairs. */
export function pairwiseCover(seed = 1): { readonly cases: LayerCase[]; readonly impossible: string[] } {
  const random = prng(seed);
  const any = (knob: string): string => {
    const values = Object.keys(KNOBS[knob]!);
    return random() < 0.2 ? values[0]! : values[Math.floor(random() * values.length)]!;
  };
  const missing = new Set(
    NAMES.flatMap((a, i) =>
      NAMES.slice(i + 1).flatMap((b) =>
        Object.keys(KNOBS[a]!).flatMap((u) => Object.keys(KNOBS[b]!).map((v) => `${a}=${u} ${b}=${v}`)),
      ),
    ),
  );
  const cases: LayerCase[] = [];
  const impossible: string[] = [];
  for (const pair of missing) {
    const fixed = Object.fromEntries(pair.split(' ').map((half) => half.split('='))) as Choice;
    let best: { choice: Choice; gain: number } | undefined;
    for (let tries = 0, found = 0; tries < 200 && found < 40; tries++) {
      const choice = { ...Object.fromEntries(NAMES.map((knob) => [knob, any(knob)])), ...fixed };
      if (!isPossible(choice)) continue;
      found++;
      const gain = pairsIn(choice).filter((p) => missing.has(p)).length;
      if (!best || gain > best.gain) best = { choice, gain };
    }
    missing.delete(pair);
    if (!best) {
      impossible.push(pair);
      continue;
    }
    for (const p of pairsIn(best.choice)) missing.delete(p);
    cases.push(caseOf(best.choice));
  }
  return { cases, impossible };
}

/** The same numbers for the layer on the GPU and for its twin. */
export interface CaseData {
  readonly plan: LayerPlan;
  readonly step: LayerStep;
  readonly weights: MoELayerWeights;
  readonly bias: Float32Array<ArrayBuffer>;
  readonly x: Float32Array<ArrayBuffer>;
  readonly tokenIds: Uint32Array<ArrayBuffer>;
  readonly dout: Float32Array<ArrayBuffer>;
  readonly input: LayerInput;
  readonly settings: LossSettings;
}

export function caseData({ options, training }: LayerCase, tokens = TOKENS, sequence = SEQUENCE): CaseData {
  const plan = planLayer(options);
  const { shape, capacity, seed } = plan;
  const lengths = weightLengths(shape);
  const weights = {
    router: normals(11, lengths.router, 0.8),
    noise: normals(12, lengths.noise, 0.5),
    coefficient: normals(13, lengths.coefficient, 0.5),
    gate_proj: normals(14, lengths.gate_proj, 0.6),
    up_proj: normals(15, lengths.up_proj, 0.6),
    down_proj: normals(16, lengths.down_proj, 0.6),
  };
  const factor = training ? capacity?.train : capacity?.eval;
  const x = normals(17, tokens * shape.hidden);
  const bias = normals(18, shape.experts + shape.zeroExperts, 0.1);
  const tokenIds = integers(19, tokens, 9);
  const router = Float32Array.from([...weights.router, ...weights.noise, ...weights.coefficient]);
  return {
    plan,
    step: {
      tokens,
      training,
      capacity: capacity && factor ? capacityOf(tokens, shape.experts, { ...capacity, factor }) : Infinity,
      seed,
      step: 3,
      sequence,
    },
    weights,
    bias,
    x,
    tokenIds,
    dout: normals(20, tokens * shape.hidden),
    input: { x, router, bias, tokenIds, ffns: ffnsFrom(weights, shape) },
    settings: settingsOf(plan),
  };
}

const settingsOf = ({ devices, mostDevices, coef }: LayerPlan): LossSettings => ({ devices, mostDevices, coef });

/** Experts as the twin takes them: gate and up rows interleaved. */
export function ffnsFrom(
  { gate_proj, up_proj, down_proj }: Pick<MoELayerWeights, 'gate_proj' | 'up_proj' | 'down_proj'>,
  { hidden, width }: LayerShape,
): { gateUp: Float32Array; down: Float32Array }[] {
  const size = hidden * width;
  return Array.from({ length: gate_proj.length / size }, (_, e) => ({
    gateUp: Float32Array.from({ length: 2 * size }, (_v, i) => {
      const row = Math.floor(i / hidden);
      return (row % 2 ? up_proj : gate_proj)[e * size + Math.floor(row / 2) * hidden + (i % hidden)]!;
    }),
    down: down_proj.slice(e * size, (e + 1) * size),
  }));
}
