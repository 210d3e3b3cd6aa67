import { describe, expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { predictedIds } from '../../../src/kernels/moe/route.ts';
import { expectMutantToFail } from '../../support/conformance.ts';
import { approximate, cases, named } from './route-cases.ts';
import { firstOfEach, thinned } from '../../support/everyday.ts';
import { check, gpu, inputsOf, mutatedModule, run, type Case } from './route-runs.ts';

describe('moe/route', () => {
  it.each(thinned(cases, 8))('$name', check);
  it.each(thinned(approximate, 8))('approximately: $name', check);

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

  it.each(
    firstOfEach<[string, string[], (s: string) => string]>(
      [
        ['lets ties go to the higher id', ['ties'], (s) => s.replace('j < e)) { rank++; }', 'j > e)) { rank++; }')],
        [
          'weighs with the bias',
          ['sigmoid_with_bias'],
          (s) => s.replace('weight = scores[chosen[pair]]', 'weight = parts[chosen[pair]]'),
        ],
        ['forgets a block', ['several_blocks'], (s) => s.replace('sum = parts[at]', 'sum = 0.0')],
        ['ranks groups by one key', ['best_groups_by_two'], (s) => s.replace('best += second', 'best += 0.0')],
        [
          'keeps dropped groups',
          ['best_groups_by_one'],
          (s) => s.replace('keys[e] = ordered(0.0)', 'keys[e] = keys[e]'),
        ],
        ['stops at a workgroup of experts', ['more_experts_than_lanes'], (s) => s.replace('(E + WG - 1u) / WG', '1u')],
        [
          'reads the gains of experts',
          ['gains_of_its_own'],
          (s) => s.replace('unit * vector(ROUTER_GAINS_AT + d)', 'unit * vector(GAMMA_AT + d)'),
        ],
        [
          "forgets the experts' scales",
          ['gains_of_its_own'],
          (s) => s.replace('weight *= vector(EXPERT_SCALE_AT', 'weight += 0.0 * vector(EXPERT_SCALE_AT'),
        ],
        [
          'attends to itself',
          ['attends'],
          (s) => s.replace('mixed += p * products[2u * E + j]', 'mixed = products[2u * E + j]'),
        ],
        ['bends nothing between two maps', ['two_maps'], (s) => s.replace('soft_capped(sum)', 'sum')],
        [
          'predicts with the second map of this layer',
          ['two_maps'],
          (s) => s.replace('vector(SECOND_AT + e * ROWS + i)', 'vectors[SECOND_AT + e * ROWS + i]'),
        ],
        ['scales what the router reads', ['two_maps'], (s) => s.replace('v[j] = unit *', 'v[j] = 2.0 * unit *')],
        ['takes all experts for a population', ['deviating'], (s) => s.replace('f32(E - 1u)', 'f32(E)')],
        ['deviates from 0', ['deviating'], (s) => s.replace('logit_of(e) - middle', 'logit_of(e) - 0.0 * middle')],
        [
          'reads late',
          ['early'],
          (s) => s.replace('v[j] = early[from_x + d];', 'v[j] = v[j] + 0.0 * early[from_x + d];'),
        ],
        ['forgets the scale', ['sigmoid_with_bias'], (s) => s.replace('weight * SCALE', 'weight')],
        [
          'norms what it should not',
          ['no_norm'],
          (s) => s.replace('let scale = 1.0;', 'let scale = inverse_rms(from_x, lane);'),
        ],
        ['forgets gamma', ['softmax'], (s) => s.replace('unit * vector(GAMMA_AT + d)', 'unit')],
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
        ['drops light experts that are there', ['drop_light'], (s) => s.replace('!is_there(chosen[pair])', 'true')],
        ['drops heavy experts', ['drop_light'], (s) => s.replace('f32(used) < u_step', 'f32(used) > u_step')],
        [
          'does not compare with the mean',
          ['drop_light'],
          (s) => s.replace('weights[pair] * f32(used)', 'weights[pair]'),
        ],
        ['drops all', ['drop_everything'], (s) => s.replace('lane == best || is_kept', 'is_kept')],
        [
          'loses the weight of all',
          ['drop_everything'],
          (s) => s.replace('kept_total = weights[0]', 'kept_total = 0.0'),
        ],
        ['loses the weight of the dropped', ['drop_light'], (s) => s.replace('weight / kept_total * total', 'weight')],
        ['names the dropped', ['drop_light'], (s) => s.replace('chosen[select(best, lane, keeps_me)]', 'chosen[lane]')],
        ['names the last for the dropped', ['drop_light'], (s) => s.replace('select(best, k, kept == 0u)', 'k')],
        ['raises no experts without weights', ['prior_of_nulls'], (s) => s.replace('e >= WEIGHTED', 'false')],
        ['raises missing experts', ['prior'], (s) => s.replace('is_there(e) ||', 'true ||')],
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
        [
          'weighs by raised keys',
          ['prior'],
          (s) => s.replace('weight = scores[chosen[pair]]', 'weight = parts[chosen[pair]]'),
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
        ['forgets the mean', ['layer_norm'], (s) => s.replace('(x[from_x + d] - center)', 'x[from_x + d]')],
        [
          'forgets the bias of its norm',
          ['layer_norm_with_bias'],
          (s) => s.replace('v[j] += vector(GAMMA_AT + D + d)', ''),
        ],
        ['divides by any sum', ['sum_at_least'], (s) => s.replace('max(total, LEAST_SUM)', 'total')],
        ['mixes far experts in', ['sparse_mixer'], (s) => s.replace('!is_far && ', '')],
        ['mixes chosen experts in', ['sparse_mixer'], (s) => s.replace(' && !is_chosen_before(e, pair)', '')],
        [
          'measures distance by the largest alone',
          ['sparse_mixer_of_negative_logits'],
          (s) => s.replace('max(abs(logit), largest)', 'largest'),
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
