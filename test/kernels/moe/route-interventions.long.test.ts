/** What a request may change in the router's choice, and the logits that it may ask for. */
import { describe, expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { expectMutantToFail } from '../../support/conformance.ts';
import { CHOSEN, GROUPED, MANY, named as namedCases, SIGMOID, SOFTMAX } from './route-cases.ts';
import { firstOfEach, thinned } from '../../support/everyday.ts';
import { check, gpu, inputsOf, interventions, mutatedModule, run, type Case } from './route-runs.ts';

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

const named = (...names: string[]): Case[] => [
  ...namedCases(...names),
  ...intervened.filter(({ name }) => names.includes(name)),
];

describe('moe/route, intervened', () => {
  it.each(thinned(intervened, 8))('$name', check);

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

  it.each(
    firstOfEach<[string, string[], (s: string) => string]>(
      [
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
        [
          'ranks groups by masked experts',
          ['mask_in_groups'],
          (s) => s.replace('{ return LOWEST; }', '{ return key; }'),
        ],
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
        ['weighs by what is not used', ['use_some'], (s) => s.replace('k < used; k++) {\n', 'k < TOP_K; k++) {\n')],
        [
          'brings in what is not used',
          ['use_one'],
          (s) => s.replace('chosen[select(0u, lane, is_used)]', 'chosen[lane]'),
        ],
        [
          'gives the unused a weight',
          ['use_one'],
          (s) => s.replace('select(0.0, weight_of(lane), is_used)', 'weight_of(lane)'),
        ],
        ['forgets a bias', ['bias_some'], (s) => s.replace('return key + bitcast<f32>(rule)', 'return key')],
        [
          'weighs by biased keys',
          ['bias_some'],
          (s) => s.replace('weight = scores[chosen[pair]]', 'weight = parts[chosen[pair]]'),
        ],
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
      ],
      () => 'one',
    ),
  )('notices a kernel that %s', async (_what, names, mutate) => {
    await expectMutantToFail(gpu, shaderText, mutatedModule(mutate), mutate, async () => {
      for (const c of named(...names)) await check(c);
    });
  });
});
