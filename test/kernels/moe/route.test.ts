import { describe, expect, it } from 'vitest';
import type { RouterConfig } from '../../../src/config/model-config.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { EXACT, type ApproximateParams } from '../../../src/gpu/step.ts';
import { interventionWords, type LayerIntervention } from '../../../src/kernels/moe/intervention.ts';
import { logitsAt, predictedAt, predictedIds, route, routedBytes } from '../../../src/kernels/moe/route.ts';
import { routerBlock } from '../../../src/kernels/moe/router_block.ts';
import { MISSING_SLOT } from '../../../src/kernels/moe/slot.ts';
import {
  route as twin,
  type Approximation,
  type Intervention,
  type Routing,
} from '../../../src/reference/moe/route.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import type { Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';
import { routerWords } from './router.ts';

const gpu = await openTestGpu({ defaultLimits: true });

const SOFTMAX: RouterConfig = {
  score: 'softmax',
  logitBias: false,
  selectionBias: false,
  groups: null,
  renormalize: null,
  scale: 1,
};
const SIGMOID: RouterConfig = {
  ...SOFTMAX,
  score: 'sigmoid',
  selectionBias: true,
  renormalize: { epsilon: 1e-20 },
  scale: 2.5,
};
const CHOSEN: RouterConfig = { ...SOFTMAX, score: 'softmax-chosen', logitBias: true };

interface Case {
  readonly name: string;
  readonly tokens: number;
  readonly hidden: number;
  readonly experts: number;
  readonly topK: number;
  readonly router: RouterConfig;
  readonly layout?: Layout;
  readonly sharedGate?: boolean;
  /** Of the router's weights. */
  readonly spread?: number;
  /** Mean of the logit biases. */
  readonly logitOffset?: number;
  /** Rows e and e + `ties` of the router are equal. */
  readonly ties?: number;
  readonly zeroTokens?: boolean;
  /** The next layer's block lies behind this one's, and its choice is predicted. */
  readonly predict?: boolean;
  readonly approximate?: Partial<ApproximateParams> | undefined;
  /** Which experts are not on the GPU: none, all, or a good half. Default half. */
  readonly missing?: 'none' | 'half' | 'all';
  /** Of this layer; of the next one, whose experts are numbered backwards, where it is predicted. */
  readonly intervene?: Changes | undefined;
  readonly logits?: boolean;
}

/** What is changed in the choice. */
interface Changes {
  readonly uses?: number;
  readonly mask?: readonly number[];
  readonly force?: readonly number[];
  readonly bias?: Readonly<Record<number, number>>;
}

const cases: Case[] = [
  { name: 'no_tokens', tokens: 0, hidden: 32, experts: 4, topK: 2, router: SOFTMAX },
  { name: 'one_of_everything', tokens: 1, hidden: 1, experts: 1, topK: 1, router: SOFTMAX },
  { name: 'softmax', tokens: 5, hidden: 96, experts: 16, topK: 4, router: SOFTMAX },
  {
    name: 'renormalised',
    tokens: 3,
    hidden: 61,
    experts: 13,
    topK: 3,
    router: { ...SOFTMAX, renormalize: { epsilon: 0 } },
  },
  {
    name: 'large_epsilon',
    tokens: 2,
    hidden: 32,
    experts: 8,
    topK: 2,
    router: { ...SOFTMAX, renormalize: { epsilon: 0.5 } },
  },
  { name: 'many_tokens', tokens: 67, hidden: 33, experts: 6, topK: 2, router: SOFTMAX },
  { name: 'all_experts', tokens: 3, hidden: 64, experts: 8, topK: 8, router: SOFTMAX },
  { name: 'more_experts_than_lanes', tokens: 2, hidden: 40, experts: 67, topK: 7, router: SOFTMAX },
  {
    name: 'many_experts',
    tokens: 2,
    hidden: 64,
    experts: 512,
    topK: 32,
    router: { ...SOFTMAX, renormalize: { epsilon: 0 } },
  },
  { name: 'wide_workgroup', tokens: 2, hidden: 577, experts: 64, topK: 8, router: SOFTMAX },
  { name: 'several_blocks', tokens: 2, hidden: 1057, experts: 4, topK: 2, router: SOFTMAX },
  { name: 'softmax_of_large_logits', tokens: 2, hidden: 64, experts: 8, topK: 3, router: SOFTMAX, spread: 12 },
  { name: 'sigmoid_with_bias', tokens: 3, hidden: 64, experts: 16, topK: 4, router: SIGMOID },
  {
    name: 'best_groups_by_two',
    tokens: 5,
    hidden: 64,
    experts: 16,
    topK: 4,
    router: { ...SIGMOID, groups: { count: 4, keep: 2, rank: 'top2-sum', dropped: 'minus-infinity' } },
  },
  {
    name: 'best_groups_by_one',
    tokens: 5,
    hidden: 64,
    experts: 12,
    topK: 3,
    router: { ...SOFTMAX, scale: 16, groups: { count: 6, keep: 2, rank: 'max', dropped: 'zero' } },
  },
  {
    name: 'dropped_groups_rank_as_zero', // biases make most keys negative, so that dropped experts are chosen
    tokens: 3,
    hidden: 64,
    experts: 8,
    topK: 5,
    router: { ...SIGMOID, groups: { count: 4, keep: 2, rank: 'max', dropped: 'zero' } },
  },
  {
    name: 'dropped_groups_are_last',
    tokens: 3,
    hidden: 64,
    experts: 8,
    topK: 6,
    router: { ...SIGMOID, groups: { count: 4, keep: 2, rank: 'max', dropped: 'minus-infinity' } },
  },
  { name: 'softmax_of_the_chosen', tokens: 3, hidden: 64, experts: 8, topK: 4, router: CHOSEN },
  {
    name: 'softmax_of_the_chosen_scaled',
    tokens: 3,
    hidden: 64,
    experts: 8,
    topK: 4,
    router: { ...CHOSEN, renormalize: { epsilon: 0.25 }, scale: 3 },
  },
  {
    name: 'sqrt_softplus',
    tokens: 4,
    hidden: 64,
    experts: 16,
    topK: 6,
    router: { ...SIGMOID, score: 'sqrt-softplus', scale: 1.5 },
  },
  {
    name: 'sqrt_softplus_of_small_scores',
    tokens: 2,
    hidden: 32,
    experts: 8,
    topK: 8,
    router: { ...CHOSEN, score: 'sqrt-softplus' },
    logitOffset: -18,
  },
  {
    name: 'sqrt_softplus_of_large_logits',
    tokens: 2,
    hidden: 64,
    experts: 8,
    topK: 8,
    router: { ...SOFTMAX, score: 'sqrt-softplus' },
    spread: 3,
  },
  { name: 'shared_gate', tokens: 3, hidden: 37, experts: 8, topK: 2, router: SOFTMAX, sharedGate: true },
  { name: 'ties', tokens: 3, hidden: 64, experts: 12, topK: 5, router: SOFTMAX, ties: 4 },
  { name: 'all_tied', tokens: 2, hidden: 32, experts: 70, topK: 6, router: SOFTMAX, zeroTokens: true },
  {
    name: 'tied_groups',
    tokens: 2,
    hidden: 32,
    experts: 8,
    topK: 3,
    router: { ...SOFTMAX, groups: { count: 4, keep: 2, rank: 'top2-sum', dropped: 'zero' } },
    zeroTokens: true,
  },
  { name: 'f32_router', tokens: 2, hidden: 48, experts: 8, topK: 2, router: SOFTMAX, layout: { kind: 'f32' } },
  {
    name: 'int8_router',
    tokens: 2,
    hidden: 64,
    experts: 8,
    topK: 2,
    router: SOFTMAX,
    layout: { kind: 'int', bits: 8, group: 32, scale: 'f16', zeros: false },
  },
  {
    name: 'int4_router_with_everything', // all the bindings that there can be
    tokens: 2,
    hidden: 61,
    experts: 8,
    topK: 2,
    router: { ...SIGMOID, logitBias: true },
    layout: { kind: 'int', bits: 4, group: 32, scale: 'f32', zeros: true },
    sharedGate: true,
    predict: true,
  },
  { name: 'predict_no_tokens', tokens: 0, hidden: 32, experts: 4, topK: 2, router: SOFTMAX, predict: true },
  { name: 'predict_one_of_everything', tokens: 1, hidden: 1, experts: 1, topK: 1, router: SOFTMAX, predict: true },
  { name: 'predict_softmax', tokens: 1, hidden: 96, experts: 16, topK: 4, router: SOFTMAX, predict: true },
  { name: 'predict_all_experts', tokens: 1, hidden: 64, experts: 5, topK: 4, router: SOFTMAX, predict: true },
  { name: 'predict_some_tokens', tokens: 3, hidden: 33, experts: 67, topK: 7, router: SOFTMAX, predict: true },
  { name: 'predict_many_experts', tokens: 1, hidden: 64, experts: 512, topK: 32, router: SOFTMAX, predict: true },
  { name: 'predict_several_blocks', tokens: 1, hidden: 1057, experts: 64, topK: 8, router: SOFTMAX, predict: true },
  { name: 'predict_the_chosen', tokens: 1, hidden: 64, experts: 8, topK: 4, router: CHOSEN, predict: true },
  {
    name: 'predict_best_groups',
    tokens: 2,
    hidden: 64,
    experts: 16,
    topK: 6,
    router: { ...SIGMOID, groups: { count: 4, keep: 2, rank: 'top2-sum', dropped: 'minus-infinity' } },
    sharedGate: true,
    predict: true,
  },
  {
    name: 'predict_f32_ties',
    tokens: 2,
    hidden: 64,
    experts: 12,
    topK: 5,
    router: SOFTMAX,
    layout: { kind: 'f32' },
    ties: 4,
    predict: true,
  },
];

const MANY = { tokens: 6, hidden: 64, experts: 24, topK: 8 };
const GROUPED: RouterConfig = {
  ...SIGMOID,
  groups: { count: 6, keep: 3, rank: 'top2-sum', dropped: 'minus-infinity' },
};

const approximate: Case[] = [
  { name: 'keep_one', ...MANY, router: SOFTMAX, approximate: { keepExperts: 1 } },
  { name: 'keep_some', ...MANY, router: SIGMOID, approximate: { keepExperts: 5 }, missing: 'none' },
  { name: 'keep_of_one', tokens: 1, hidden: 1, experts: 1, topK: 1, router: SOFTMAX, approximate: { keepExperts: 1 } },
  { name: 'drop_light', ...MANY, router: SOFTMAX, approximate: { dropBelow: 1 } },
  { name: 'drop_light_renormalised', ...MANY, router: SIGMOID, approximate: { dropBelow: 0.9 } },
  { name: 'drop_light_of_the_chosen', ...MANY, router: CHOSEN, approximate: { dropBelow: 0.75 }, missing: 'all' },
  { name: 'drop_everything', ...MANY, router: SIGMOID, approximate: { dropBelow: 99 }, missing: 'all' },
  { name: 'drop_all_but_the_present', ...MANY, router: SIGMOID, approximate: { dropBelow: 99 } },
  { name: 'drop_nothing_present', ...MANY, router: SOFTMAX, approximate: { dropBelow: 99 }, missing: 'none' },
  { name: 'prior', ...MANY, router: SOFTMAX, approximate: { cachePrior: 0.3 } },
  { name: 'prior_keeps_the_best', ...MANY, router: SIGMOID, approximate: { cachePrior: 0.6, priorKeep: 3 } },
  { name: 'prior_above_all', ...MANY, router: CHOSEN, approximate: { cachePrior: 5, priorKeep: 1 } },
  { name: 'prior_of_all', ...MANY, router: SIGMOID, approximate: { cachePrior: 0.5, priorKeep: 24 }, missing: 'none' },
  { name: 'prior_of_none', ...MANY, router: SIGMOID, approximate: { cachePrior: 0.5 }, missing: 'all' },
  { name: 'prior_in_groups', ...MANY, router: GROUPED, approximate: { cachePrior: 1, priorKeep: 2 } },
  {
    name: 'prior_in_groups_that_rank_as_zero', // biases make most keys negative, so that dropped experts are chosen
    ...MANY,
    topK: 12,
    router: { ...SIGMOID, groups: { count: 6, keep: 2, rank: 'max', dropped: 'zero' } },
    approximate: { cachePrior: 0.5, priorKeep: 1 },
  },
  { name: 'prior_of_ties', ...MANY, router: SOFTMAX, ties: 8, approximate: { cachePrior: 0.4 }, missing: 'none' },
  { name: 'prior_all_tied', ...MANY, router: SOFTMAX, zeroTokens: true, approximate: { cachePrior: 1 } },
  {
    name: 'prior_with_more_experts_than_lanes',
    tokens: 2,
    hidden: 40,
    experts: 139,
    topK: 7,
    router: SOFTMAX,
    approximate: { cachePrior: 0.3, priorKeep: 2 },
  },
  {
    name: 'approximate_at_the_limits', // nearly all the workgroup memory that there is
    tokens: 1,
    hidden: 512,
    experts: 512,
    topK: 32,
    router: { ...SIGMOID, groups: { count: 8, keep: 4, rank: 'top2-sum', dropped: 'minus-infinity' } },
    spread: 0.02,
    predict: true,
    approximate: { keepExperts: 20, dropBelow: 0.95, cachePrior: 0.1, priorKeep: 8 },
  },
  {
    name: 'approximate_with_everything', // all the bindings that there can be
    ...MANY,
    router: { ...GROUPED, logitBias: true },
    layout: { kind: 'int', bits: 4, group: 32, scale: 'f32', zeros: true },
    sharedGate: true,
    predict: true,
    approximate: { keepExperts: 6, dropBelow: 0.8, cachePrior: 0.5, priorKeep: 2 },
  },
];

const ALL_BUT = (experts: number, ...left: number[]): number[] =>
  Array.from({ length: experts }, (_, e) => e).filter((e) => !left.includes(e));

const intervened: Case[] = [
  { name: 'mask_some', ...MANY, router: SOFTMAX, intervene: { mask: [0, 3, 7, 8, 20] } },
  { name: 'mask_all_but_k', ...MANY, router: SIGMOID, intervene: { mask: ALL_BUT(24, 1, 2, 5, 9, 11, 17, 20, 23) } },
  { name: 'mask_all_but_one', ...MANY, router: SOFTMAX, intervene: { uses: 1, mask: ALL_BUT(24, 13) } },
  { name: 'mask_renormalised', ...MANY, router: SIGMOID, intervene: { mask: [2, 4, 6, 8, 10, 12] } },
  { name: 'mask_of_the_chosen', ...MANY, router: CHOSEN, intervene: { mask: [1, 4, 9, 16] } },
  { name: 'mask_of_ties', ...MANY, router: SOFTMAX, ties: 8, intervene: { mask: [0, 1, 2, 9] } },
  { name: 'mask_in_groups', ...MANY, router: GROUPED, intervene: { mask: [0, 1, 2, 4, 5, 6, 12, 13, 17] } },
  {
    name: 'mask_whole_groups',
    ...MANY,
    router: GROUPED,
    intervene: { mask: ALL_BUT(24, 0, 5, 9, 10, 15, 17, 20, 21) },
  },
  {
    name: 'mask_more_than_the_kept_groups_have', // what is missing comes from dropped groups, not from the masked
    ...MANY,
    router: { ...GROUPED, groups: { count: 6, keep: 2, rank: 'top2-sum', dropped: 'minus-infinity' } },
    intervene: { mask: [0, 4, 8, 12, 16, 20] },
  },
  {
    name: 'mask_in_groups_that_rank_as_zero',
    ...MANY,
    topK: 12,
    router: { ...SIGMOID, groups: { count: 6, keep: 2, rank: 'max', dropped: 'zero' } },
    intervene: { mask: [0, 1, 6, 7, 12, 13, 18, 19] },
  },
  { name: 'force_some', ...MANY, router: SOFTMAX, intervene: { force: [0, 11, 23] } },
  { name: 'force_all', ...MANY, router: SIGMOID, intervene: { force: [0, 1, 2, 3, 4, 5, 6, 7] } },
  { name: 'force_of_the_chosen', ...MANY, router: CHOSEN, intervene: { force: [6, 19] } },
  { name: 'force_of_ties', ...MANY, router: SOFTMAX, ties: 8, intervene: { force: [20, 4, 21] } },
  { name: 'force_one_of_one', ...MANY, router: SOFTMAX, intervene: { uses: 1, force: [14] } },
  { name: 'force_in_groups', ...MANY, router: GROUPED, intervene: { force: [0, 5, 10, 15, 20] } },
  {
    name: 'force_in_groups_that_rank_as_zero',
    ...MANY,
    router: { ...SIGMOID, groups: { count: 6, keep: 2, rank: 'max', dropped: 'zero' } },
    intervene: { force: [3, 9, 21] },
  },
  { name: 'use_one', ...MANY, router: SOFTMAX, intervene: { uses: 1 } },
  { name: 'use_some', ...MANY, router: { ...SOFTMAX, renormalize: { epsilon: 0.25 } }, intervene: { uses: 3 } },
  { name: 'use_some_of_the_chosen', ...MANY, router: CHOSEN, intervene: { uses: 5 } },
  { name: 'use_all', ...MANY, router: SIGMOID, intervene: { uses: 8 } },
  { name: 'bias_some', ...MANY, router: SOFTMAX, intervene: { bias: { 2: 0.2, 5: -0.3, 22: 1 } } },
  { name: 'bias_scores_beyond_one', ...MANY, router: SIGMOID, intervene: { bias: { 1: 4, 6: -7.5 } } },
  { name: 'bias_logits', ...MANY, router: CHOSEN, intervene: { bias: { 3: 5, 4: -5 } } },
  { name: 'bias_groups', ...MANY, router: GROUPED, intervene: { bias: { 8: 0.9, 9: 0.9, 16: -2, 18: -2 } } },
  { name: 'one_of_one', tokens: 1, hidden: 1, experts: 1, topK: 1, router: SOFTMAX, intervene: { force: [0] } },
  {
    name: 'no_tokens_intervened',
    tokens: 0,
    hidden: 32,
    experts: 4,
    topK: 2,
    router: SOFTMAX,
    intervene: { mask: [0] },
  },
  {
    name: 'more_experts_than_lanes_intervened',
    tokens: 2,
    hidden: 40,
    experts: 139,
    topK: 7,
    router: SOFTMAX,
    intervene: { mask: [0, 64, 100], force: [5, 70, 138], bias: { 66: 0.2 } },
  },
  {
    name: 'predict_intervened', // the next layer's own, not this one's
    ...MANY,
    router: SOFTMAX,
    predict: true,
    intervene: { uses: 4, mask: [0, 1, 2, 9, 10], force: [12, 14], bias: { 5: 0.3 } },
  },
  {
    name: 'predict_no_masked_expert',
    ...MANY,
    router: SIGMOID,
    predict: true,
    intervene: { uses: 2, mask: ALL_BUT(24, 3, 8) },
  },
  { name: 'logits', ...MANY, router: SOFTMAX, logits: true },
  { name: 'logits_with_biases', ...MANY, router: CHOSEN, logits: true, predict: true },
  {
    name: 'logits_of_more_experts_than_lanes',
    tokens: 2,
    hidden: 33,
    experts: 139,
    topK: 3,
    router: SIGMOID,
    logits: true,
  },
  {
    name: 'intervened_and_approximate', // all the bindings that there can be, and nearly all the workgroup memory
    tokens: 3,
    hidden: 64,
    experts: 512,
    topK: 32,
    router: { ...SIGMOID, logitBias: true, groups: { count: 8, keep: 4, rank: 'top2-sum', dropped: 'minus-infinity' } },
    layout: { kind: 'int', bits: 4, group: 32, scale: 'f32', zeros: true },
    sharedGate: true,
    predict: true,
    logits: true,
    approximate: { keepExperts: 20, dropBelow: 0.95, cachePrior: 0.1, priorKeep: 8 },
    intervene: { uses: 24, mask: [3, 4, 5, 300, 301], force: [0, 511], bias: { 7: 0.5, 64: -0.5 } },
  },
  {
    name: 'prior_intervened',
    ...MANY,
    router: SIGMOID,
    approximate: { cachePrior: 0.5, priorKeep: 2 },
    intervene: { uses: 6, mask: [0, 2, 5, 7], force: [1, 4] },
  },
];

/** What one router block holds. */
interface Router {
  readonly gamma: Float32Array<ArrayBuffer>;
  readonly matrix: Uint32Array<ArrayBuffer>;
  readonly logitBias?: Float32Array<ArrayBuffer>;
  readonly selectionBias?: Float32Array<ArrayBuffer>;
  readonly sharedGate?: Float32Array<ArrayBuffer>;
}

interface Inputs extends Router {
  readonly x: Float32Array<ArrayBuffer>;
  readonly next?: Router;
}

const layoutOf = (c: Case): Layout => c.layout ?? { kind: 'bf16' };

function routerOf(c: Case, seed: number): Router {
  const { hidden, experts, router } = c;
  const rows = normals(seed + 2, experts * hidden, c.spread ?? 0.3);
  const { ties } = c;
  if (ties) rows.forEach((_, i) => i >= ties * hidden && (rows[i] = rows[i - ties * hidden]!));
  return {
    gamma: normals(seed + 3, hidden, 0.2, 1),
    matrix: encodeMatrix(rows, layoutOf(c), { rows: experts, cols: hidden }),
    ...(router.logitBias ? { logitBias: normals(seed + 4, experts, 1, c.logitOffset) } : {}),
    ...(router.selectionBias ? { selectionBias: normals(seed + 5, experts, 0.4, -0.6) } : {}),
    ...(c.sharedGate ? { sharedGate: normals(seed + 6, hidden, 0.3) } : {}),
  };
}

const inputsOf = (c: Case): Inputs => ({
  x: normals(1, c.tokens * c.hidden, c.zeroTokens ? 0 : 2),
  ...routerOf(c, 0),
  ...(c.predict ? { next: routerOf(c, 10) } : {}),
});

interface Found extends Routing {
  /** [T, predictedIds]; empty without `predict`. */
  readonly predicted: Uint32Array;
}

/** Of this layer, or of the one that is predicted. */
function interventionOf(c: Case, isNext = false): LayerIntervention | undefined {
  if (!c.intervene) return undefined;
  const { uses = c.topK, mask = [], force = [], bias = {} } = c.intervene;
  const rules = new Float64Array(c.experts);
  for (const [e, value] of Object.entries(bias)) rules[Number(e)] = value;
  for (const e of mask) rules[e] = -Infinity;
  for (const e of force) rules[e] = Infinity;
  return { uses, rules: isNext ? rules.reverse() : rules };
}

const interventions = (c: Case, changes = interventionOf): Uint32Array<ArrayBuffer> =>
  Uint32Array.from(
    [false, ...(c.predict ? [true] : [])].flatMap((isNext) => [
      ...interventionWords(c.experts, changes(c, isNext) ?? null),
    ]),
  );

const isMissing = ({ missing = 'half' }: Case, e: number): boolean =>
  missing === 'all' || (missing === 'half' && (e * 5) % 7 < 4);

const slotTable = (c: Case): Uint32Array<ArrayBuffer> =>
  Uint32Array.from({ length: c.experts }, (_, e) => (isMissing(c, e) ? MISSING_SLOT : (e * 3) % 5));

const predictedOf = (c: Case): number => (c.predict ? predictedIds(c.topK, c.experts) : 0);

/** @param changes the words of `interventions`, when the shader that reads them is to run */
async function run(c: Case, inputs: Inputs, changes = c.intervene ? interventions(c) : undefined): Promise<Found> {
  const { name, tokens, hidden, experts, topK, predict = false, logits = false } = c;
  const block = routerBlock({ ...c.router, hidden, experts, layout: layoutOf(c), sharedGate: c.sharedGate ?? false });
  const blocks = [inputs, ...(inputs.next ? [inputs.next] : [])].map((r) => routerWords(block, r.matrix, r));
  const got = await runKernel(gpu, {
    inputs: {
      x: inputs.x,
      router: Uint32Array.from(blocks.flatMap((words) => [...words])),
      ...(c.approximate ? { slotTable: slotTable(c) } : {}),
      ...(changes ? { interventions: changes } : {}),
    },
    outputs: {
      normed: tokens * hidden,
      routed: routedBytes(tokens, topK, predictedOf(c), logits ? experts : 0) / 4,
      ...(c.sharedGate ? { sharedWeight: tokens } : {}),
    },
    step: { tokens, position: 0, approximate: { ...EXACT, ...c.approximate } },
    record: (r, v) =>
      route(
        r,
        name,
        {
          x: v.x!,
          router: v.router!,
          normed: v.normed!,
          routed: v.routed!,
          ...(c.sharedGate ? { sharedWeight: v.sharedWeight! } : {}),
          ...(c.approximate ? { slotTable: v.slotTable! } : {}),
          ...(changes ? { interventions: v.interventions! } : {}),
        },
        { block, topK, router: c.router, eps: 1e-5, predict, logits },
      ),
  });
  const part = (offset: number): Uint32Array<ArrayBuffer> =>
    Uint32Array.from({ length: tokens * topK }, (_, i) => {
      const t = Math.floor(i / topK);
      return got.routed![t * 2 * topK + offset + (i % topK)]!;
    });
  return {
    normed: Float64Array.from(asF32(got.normed!)),
    ids: part(0),
    weights: Float64Array.from(asF32(part(topK))),
    sharedWeight: Float64Array.from(got.sharedWeight ? asF32(got.sharedWeight) : []),
    predicted: got.routed!.subarray(predictedAt(tokens, topK) / 4, logitsAt(tokens, topK, predictedOf(c)) / 4),
    logits: Float64Array.from(asF32(got.routed!.slice(logitsAt(tokens, topK, predictedOf(c)) / 4))),
  };
}

function expected(c: Case, inputs: Inputs): Found {
  const shape = { rows: c.experts, cols: c.hidden };
  const by = (
    { matrix, ...vectors }: Router,
    topK: number,
    changed: { approximate?: Approximation | undefined; intervention?: Intervention | undefined },
  ): Routing =>
    twin(
      { ...vectors, x: inputs.x, router: decodeMatrix(matrix, layoutOf(c), shape) },
      { ...c, topK, eps: 1e-5, approximate: undefined, ...changed },
    );
  const { next, ...own } = inputs;
  const options = c.approximate && { ...EXACT, ...c.approximate, slotTable: slotTable(c) };
  const found = by(own, c.topK, { approximate: options, intervention: interventionOf(c) });
  const ahead = interventionOf(c, true);
  const beyond = predictedOf(c) - c.topK;
  const likely = { intervention: ahead && { ...ahead, uses: ahead.uses + beyond } };
  return {
    ...found,
    logits: c.logits ? found.logits : new Float64Array(),
    predicted: next ? by(next, predictedOf(c), likely).ids : new Uint32Array(),
  };
}

async function check(c: Case): Promise<void> {
  const inputs = inputsOf(c);
  const [got, want] = [await run(c, inputs), expected(c, inputs)];
  expectClose(got.normed, want.normed, 5e-6, `${c.name} normed`);
  expect([...got.ids]).toEqual([...want.ids]);
  expect([...got.predicted]).toEqual([...want.predicted]);
  // Logits of up to 30 with errors of some 1e-7 each go through an exponential.
  expectClose(got.weights, want.weights, 1e-4, `${c.name} weights`);
  expectClose(got.logits, want.logits, 1e-5, `${c.name} logits`);
  expectClose(got.sharedWeight, want.sharedWeight, 5e-6, `${c.name} shared weight`);
}

const named = (...names: string[]): Case[] =>
  [...cases, ...approximate, ...intervened].filter(({ name }) => names.includes(name));

describe('moe/route', () => {
  it.each(cases)('$name', check);
  it.each(approximate)('approximately: $name', check);
  it.each(intervened)('intervened: $name', check);

  it('renormalised weights sum to the scale', async () => {
    for (const c of named('renormalised', 'sigmoid_with_bias', 'many_experts', 'softmax_of_the_chosen')) {
      const { weights } = await run(c, inputsOf(c));
      for (let t = 0; t < c.tokens; t++) {
        const total = weights.subarray(t * c.topK, (t + 1) * c.topK).reduce((a, b) => a + b, 0);
        expect(Math.abs(total / c.router.scale - 1)).toBeLessThan(1e-5);
      }
    }
  });

  it('permuting the experts permutes the ids and nothing else', async () => {
    const c = named('sigmoid_with_bias')[0]!;
    const inputs = inputsOf(c);
    const before = await run(c, inputs);
    const moved = (e: number): number => (e * 5 + 3) % c.experts;
    const permute = <A extends Uint32Array | Float32Array>(from: A): A => {
      const to = from.slice() as A;
      const size = from.length / c.experts;
      for (let e = 0; e < c.experts; e++) to.set(from.subarray(e * size, (e + 1) * size), moved(e) * size);
      return to;
    };
    const after = await run(c, {
      ...inputs,
      matrix: permute(inputs.matrix),
      selectionBias: permute(inputs.selectionBias!),
    });
    expect([...after.ids]).toEqual([...before.ids].map(moved));
    expect([...after.weights]).toEqual([...before.weights]);
  });

  it('names distinct experts even for tokens that are not numbers', async () => {
    const c = named('more_experts_than_lanes')[0]!;
    const inputs = inputsOf(c);
    inputs.x.fill(NaN);
    const { ids } = await run(c, inputs);
    expect(new Set(ids.subarray(0, c.topK)).size).toBe(c.topK);
    expect(Math.max(...ids)).toBeLessThan(c.experts);
  });

  it('approximate parameters at their defaults, or without effect, change no bit', async () => {
    const idle: Pick<Case, 'approximate' | 'missing'>[] = [
      { approximate: {} },
      { approximate: { priorKeep: 4 } },
      { approximate: { dropBelow: 0 }, missing: 'all' },
      { approximate: { dropBelow: 2 }, missing: 'none' },
    ];
    const some = named('softmax', 'best_groups_by_one', 'softmax_of_the_chosen_scaled', 'int4_router_with_everything');
    for (const c of [...some, ...named('prior_all_tied')]) {
      const exact = { ...c, approximate: undefined };
      const want = await run(exact, inputsOf(exact));
      for (const options of [...idle, { approximate: { keepExperts: c.topK } }, { approximate: { keepExperts: 99 } }])
        expect(await run({ ...exact, ...options }, inputsOf(exact))).toEqual(want);
    }
  });

  it('an intervention that changes nothing, or what is chosen anyway, changes no bit', async () => {
    const some = ['softmax', 'best_groups_by_two', 'best_groups_by_one', 'softmax_of_the_chosen_scaled', 'ties'];
    const others = ['int4_router_with_everything', 'prior_in_groups', 'predict_best_groups', 'drop_light'];
    for (const c of named(...some, ...others)) {
      const inputs = inputsOf(c);
      const want = await run(c, inputs);
      const none = new Float64Array(c.experts);
      const idle = [null, { uses: c.topK, rules: none }];
      for (const rules of idle)
        expect(
          await run(
            c,
            inputs,
            interventions(c, () => rules ?? undefined),
          ),
        ).toEqual(want);
      if (c.approximate) continue;
      const one = { ...c, tokens: 1 };
      const first = await run(one, inputs);
      const forced = none.map((_, e) => (first.ids.includes(e) ? Infinity : 0));
      const masked = none.map((_, e) => (first.ids.includes(e) || c.router.groups ? 0 : -Infinity));
      for (const rules of [forced, masked]) {
        const changed = interventions(one, (_, isNext) => (isNext ? undefined : { uses: c.topK, rules }));
        expect(await run(one, inputs, changed)).toEqual(first);
      }
    }
  });

  it('with fewer experts a token the others weigh as in a model made so', async () => {
    for (const c of named('softmax', 'renormalised', 'softmax_of_the_chosen', 'sigmoid_with_bias')) {
      const inputs = inputsOf(c);
      const few = { ...c, topK: 2 };
      const [got, want] = [await run({ ...c, intervene: { uses: 2 } }, inputs), await run(few, inputs)];
      for (let t = 0; t < c.tokens; t++) {
        const at = t * c.topK;
        expect(got.ids.subarray(at, at + 2)).toEqual(want.ids.subarray(2 * t, 2 * t + 2));
        expect(got.weights.subarray(at, at + 2)).toEqual(want.weights.subarray(2 * t, 2 * t + 2));
        expect(new Set(got.ids.subarray(at + 2, at + c.topK))).toEqual(new Set([got.ids[at]]));
        expect([...got.weights.subarray(at + 2, at + c.topK)]).toEqual(Array(c.topK - 2).fill(0));
      }
    }
  });

  it('writing the logits changes no bit of the rest', async () => {
    for (const c of named('logits', 'logits_with_biases', 'logits_of_more_experts_than_lanes')) {
      const { logits, ...rest } = await run(c, inputsOf(c));
      const { logits: none, ...alone } = await run({ ...c, logits: false }, inputsOf(c));
      expect(rest).toEqual(alone);
      expect([logits.length, none.length]).toEqual([c.tokens * c.experts, 0]);
    }
  });

  it('what is left of a token keeps its total weight, and what is dropped brings no expert in', async () => {
    for (const c of approximate.filter((a) => !a.approximate?.cachePrior)) {
      const exact = { ...c, approximate: undefined };
      const [got, all] = [await run(c, inputsOf(c)), await run(exact, inputsOf(c))];
      for (let t = 0; t < c.tokens; t++) {
        const of = <A extends Uint32Array | Float64Array>(values: A): A =>
          values.subarray(t * c.topK, (t + 1) * c.topK) as A;
        const sum = (weights: Float64Array): number => weights.reduce((a, b) => a + b, 0);
        expect(sum(of(got.weights)) / sum(of(all.weights))).toBeCloseTo(1, 5);
        const used = new Set([...of(got.ids)].filter((_, k) => of(got.weights)[k]! > 0));
        expect(new Set(of(got.ids))).toEqual(used);
      }
    }
  });

  it('predicting changes no bit of the routing', async () => {
    for (const c of named('int4_router_with_everything', 'predict_softmax', 'predict_some_tokens')) {
      const { predicted, ...found } = await run(c, inputsOf(c));
      const alone = { ...c, predict: false };
      expect({ ...found, predicted: new Uint32Array() }).toEqual(await run(alone, inputsOf(alone)));
      expect(predicted.length).toBe(c.tokens * predictedIds(c.topK, c.experts));
    }
  });

  it('a layer predicts for a successor like itself what it chooses itself', async () => {
    const c = named('predict_best_groups')[0]!;
    const inputs = inputsOf(c);
    const { ids, predicted } = await run(c, { ...inputs, next: inputs });
    const each = predictedIds(c.topK, c.experts);
    const first = Array.from({ length: c.tokens }, (_, t) => [...predicted.subarray(t * each, t * each + c.topK)]);
    expect(first.flat()).toEqual([...ids]);
  });

  it.each<[string, string[], (s: string) => string]>([
    ['lets ties go to the higher id', ['ties'], (s) => s.replace('j < e)) { rank++; }', 'j > e)) { rank++; }')],
    [
      'weighs with the bias',
      ['sigmoid_with_bias'],
      (s) => s.replace('= scores[chosen[pair]]', '= parts[chosen[pair]]'),
    ],
    ['forgets a block', ['several_blocks'], (s) => s.replace('sum = parts[at]', 'sum = 0.0')],
    ['ranks groups by one key', ['best_groups_by_two'], (s) => s.replace('best += second', 'best += 0.0')],
    ['keeps dropped groups', ['best_groups_by_one'], (s) => s.replace('keys[e] = ordered(0.0)', 'keys[e] = keys[e]')],
    ['stops at a workgroup of experts', ['more_experts_than_lanes'], (s) => s.replace('(E + WG - 1u) / WG', '1u')],
    ['forgets the scale', ['sigmoid_with_bias'], (s) => s.replace('weight * SCALE', 'weight')],
    ['forgets gamma', ['softmax'], (s) => s.replace('* scale * vector(GAMMA_AT + d)', '* scale')],
    [
      'predicts with this layer’s router',
      ['predict_softmax'],
      (s) => s.replace('let router = ahead * ROUTER_VEC4', 'let router = 0u'),
    ],
    ['predicts with this layer’s norm', ['predict_softmax'], (s) => s.replace('[ahead * ROUTER_VEC4 * 4u +', '[')],
    [
      'lets the next layer’s norm through',
      ['predict_softmax'],
      (s) => s.replace('if (ahead == 0u) { normed', 'if (ahead == 1u) { normed'),
    ],
    [
      'lets the next layer’s shared gate through',
      ['int4_router_with_everything'],
      (s) => s.replace('lane == 0u && ahead == 0u', 'lane == 0u && ahead == 1u'),
    ],
    [
      'predicts over the routing',
      ['predict_some_tokens'],
      (s) => s.replace('u_step.tokens * 2u * TOP_K + t * PREDICTED', '2u * TOP_K + t * PREDICTED'),
    ],
    ['predicts no more than it chooses', ['predict_softmax'], (s) => s.replace('used + PREDICTED - TOP_K', 'used')],
    [
      'keeps one too many',
      ['keep_some'],
      (s) => s.replace('pair >= u_step.keep_experts', 'pair > u_step.keep_experts'),
    ],
    [
      'drops light experts that are there',
      ['drop_light'],
      (s) => s.replace('slot_table[chosen[pair]] == MISSING', 'true'),
    ],
    ['drops heavy experts', ['drop_light'], (s) => s.replace('f32(used) < u_step', 'f32(used) > u_step')],
    ['does not compare with the mean', ['drop_light'], (s) => s.replace('weights[pair] * f32(used)', 'weights[pair]')],
    ['drops all', ['drop_everything'], (s) => s.replace('lane == best || is_kept', 'is_kept')],
    ['loses the weight of all', ['drop_everything'], (s) => s.replace('kept_total = weights[0]', 'kept_total = 0.0')],
    ['loses the weight of the dropped', ['drop_light'], (s) => s.replace('weight / kept_total * total', 'weight')],
    ['names the dropped', ['drop_light'], (s) => s.replace('chosen[select(best, lane, keeps_me)]', 'chosen[lane]')],
    ['names the last for the dropped', ['drop_light'], (s) => s.replace('select(best, k, kept == 0u)', 'k')],
    ['raises missing experts', ['prior'], (s) => s.replace('slot_table[e] != MISSING ||', 'true ||')],
    [
      'raises nothing but what is there',
      ['prior_keeps_the_best'],
      (s) => s.replace('|| place_of(e) < u_step.prior_keep', ''),
    ],
    ['raises by the highest key', ['prior_keeps_the_best'], (s) => s.replace('(highest - lowest)', 'highest')],
    [
      'raises by a span with dropped groups',
      ['prior_in_groups_that_rank_as_zero'],
      (s) => s.replace('if (takes_part(e)) {', 'if (true) {'),
    ],
    [
      'raises experts of dropped groups',
      ['prior_in_groups'],
      (s) => s.replace('ahead == 0u && takes_part(e)', 'ahead == 0u'),
    ],
    [
      'raises what it predicts',
      ['approximate_with_everything'],
      (s) => s.replace('ahead == 0u && takes_part(e)', 'takes_part(e)'),
    ],
    ['weighs by raised keys', ['prior'], (s) => s.replace('= scores[chosen[pair]]', '= parts[chosen[pair]]')],
    [
      'lets a masked expert in',
      ['mask_some'],
      (s) => s.replace('select(ordered(key), 0u, is_masked(e))', 'ordered(scores[e])'),
    ],
    [
      'puts masked experts before dropped groups',
      ['mask_more_than_the_kept_groups_have'],
      (s) => s.replace('const DROPPED: u32 = 1u', 'const DROPPED: u32 = 0u'),
    ],
    [
      'takes masked experts back with their group',
      ['mask_in_groups_that_rank_as_zero'],
      (s) => s.replace('!group_kept(e / GROUP_SIZE) && !is_masked(e)', '!group_kept(e / GROUP_SIZE)'),
    ],
    ['ranks groups by masked experts', ['mask_in_groups'], (s) => s.replace('{ return LOWEST; }', '{ return key; }')],
    ['forces nobody', ['force_some'], (s) => s.replace('other_forced != is_forced', 'false')],
    [
      'moves forced experts to the front',
      ['force_some'],
      (s) =>
        s.replace('if (parts[e] == 0.0) { keys[e] = 0u; }', 'if (rule_of(e) == FORCED) { keys[e] = 0xffffffffu; }'),
    ],
    [
      'admits more than are used',
      ['force_one_of_one'],
      (s) => s.replace('let places = used +', 'let places = TOP_K +'),
    ],
    ['weighs by what is not used', ['use_some'], (s) => s.replaceAll('k < used', 'k < TOP_K')],
    ['brings in what is not used', ['use_one'], (s) => s.replace('chosen[select(0u, lane, is_used)]', 'chosen[lane]')],
    [
      'gives the unused a weight',
      ['use_one'],
      (s) => s.replace('select(0.0, weight_of(lane), is_used)', 'weight_of(lane)'),
    ],
    ['forgets a bias', ['bias_some'], (s) => s.replace('return key + bitcast<f32>(rule)', 'return key')],
    ['weighs by biased keys', ['bias_some'], (s) => s.replace('= scores[chosen[pair]]', '= parts[chosen[pair]]')],
    [
      'predicts with this layer’s intervention',
      ['predict_intervened'],
      (s) => s.replace('interventions[ahead * INTERVENTION_VEC4 + 1u', 'interventions[1u'),
    ],
    [
      'predicts masked experts',
      ['predict_no_masked_expert'],
      (s) => s.replace('TOP_K && !is_masked(chosen[lane])', 'TOP_K'),
    ],
    [
      'raises by the span of masked experts',
      ['prior_intervened'],
      (s) => s.replace('return !is_masked(e)', 'return true'),
    ],
    ['keeps unused pairs', ['prior_intervened'], (s) => s.replace('pair >= used || ', '')],
    [
      'writes the logits of a score',
      ['logits_with_biases'],
      (s) => s.replace('bitcast<u32>(logit)', 'bitcast<u32>(logit * 0.5)'),
    ],
    [
      'writes logits over the prediction',
      ['logits_with_biases'],
      (s) => s.replace('2u * TOP_K + PREDICTED;', '2u * TOP_K;'),
    ],
    [
      'rounds small softplus away',
      ['sqrt_softplus_of_small_scores'],
      (s) => s.replace('2.0 * s * series', 'log(1.0 + e)'),
    ],
    [
      'lets the exponential overflow',
      ['softmax_of_large_logits'],
      (s) => s.replace('exp(scores[e] - top)', 'exp(scores[e])'),
    ],
  ])('notices a kernel that %s', async (_what, names, mutate) => {
    await expectMutantToFail(gpu, shaderText, 'moe/route', mutate, async () => {
      for (const c of named(...names)) await check(c);
    });
  });
});
