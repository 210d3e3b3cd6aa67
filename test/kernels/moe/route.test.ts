import { describe, expect, it } from 'vitest';
import type { RouterConfig } from '../../../src/config/model-config.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { EXACT, type ApproximateParams } from '../../../src/gpu/step.ts';
import { predictedAt, predictedIds, route, routedBytes } from '../../../src/kernels/moe/route.ts';
import { routerBlock } from '../../../src/kernels/moe/router_block.ts';
import { MISSING_SLOT } from '../../../src/kernels/moe/slot.ts';
import { route as twin, type Approximation, type Routing } from '../../../src/reference/moe/route.ts';
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

const isMissing = ({ missing = 'half' }: Case, e: number): boolean =>
  missing === 'all' || (missing === 'half' && (e * 5) % 7 < 4);

const slotTable = (c: Case): Uint32Array<ArrayBuffer> =>
  Uint32Array.from({ length: c.experts }, (_, e) => (isMissing(c, e) ? MISSING_SLOT : (e * 3) % 5));

const predictedOf = (c: Case): number => (c.predict ? predictedIds(c.topK, c.experts) : 0);

async function run(c: Case, inputs: Inputs): Promise<Found> {
  const { name, tokens, hidden, experts, topK, predict = false } = c;
  const block = routerBlock({ ...c.router, hidden, experts, layout: layoutOf(c), sharedGate: c.sharedGate ?? false });
  const blocks = [inputs, ...(inputs.next ? [inputs.next] : [])].map((r) => routerWords(block, r.matrix, r));
  const got = await runKernel(gpu, {
    inputs: {
      x: inputs.x,
      router: Uint32Array.from(blocks.flatMap((words) => [...words])),
      ...(c.approximate ? { slotTable: slotTable(c) } : {}),
    },
    outputs: {
      normed: tokens * hidden,
      routed: routedBytes(tokens, topK, predictedOf(c)) / 4,
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
        },
        { block, topK, router: c.router, eps: 1e-5, predict },
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
    predicted: got.routed!.subarray(predictedAt(tokens, topK) / 4),
  };
}

function expected(c: Case, inputs: Inputs): Found {
  const shape = { rows: c.experts, cols: c.hidden };
  const by = ({ matrix, ...vectors }: Router, topK: number, approximate?: Approximation): Routing =>
    twin(
      { ...vectors, x: inputs.x, router: decodeMatrix(matrix, layoutOf(c), shape) },
      { ...c, topK, eps: 1e-5, approximate },
    );
  const { next, ...own } = inputs;
  const options = c.approximate && { ...EXACT, ...c.approximate, slotTable: slotTable(c) };
  return { ...by(own, c.topK, options), predicted: next ? by(next, predictedOf(c)).ids : new Uint32Array() };
}

async function check(c: Case): Promise<void> {
  const inputs = inputsOf(c);
  const [got, want] = [await run(c, inputs), expected(c, inputs)];
  expectClose(got.normed, want.normed, 5e-6, `${c.name} normed`);
  expect([...got.ids]).toEqual([...want.ids]);
  expect([...got.predicted]).toEqual([...want.predicted]);
  // Logits of up to 30 with errors of some 1e-7 each go through an exponential.
  expectClose(got.weights, want.weights, 1e-4, `${c.name} weights`);
  expectClose(got.sharedWeight, want.sharedWeight, 5e-6, `${c.name} shared weight`);
}

const named = (...names: string[]): Case[] => [...cases, ...approximate].filter(({ name }) => names.includes(name));

describe('moe/route', () => {
  it.each(cases)('$name', check);
  it.each(approximate)('approximately: $name', check);

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
    ['predicts no more than it chooses', ['predict_softmax'], (s) => s.replace('lane < PREDICTED', 'lane < TOP_K')],
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
    ['drops heavy experts', ['drop_light'], (s) => s.replace('f32(TOP_K) < u_step', 'f32(TOP_K) > u_step')],
    ['does not compare with the mean', ['drop_light'], (s) => s.replace('weights[pair] * f32(TOP_K)', 'weights[pair]')],
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
