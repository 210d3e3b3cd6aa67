import { describe, expect, it } from 'vitest';
import type { RouterConfig } from '../../../src/config/model-config.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { route } from '../../../src/kernels/moe/route.ts';
import { route as twin, type Routing } from '../../../src/reference/moe/route.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import type { Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

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
];

interface Inputs {
  readonly x: Float32Array<ArrayBuffer>;
  readonly gamma: Float32Array<ArrayBuffer>;
  readonly words: Uint32Array<ArrayBuffer>;
  readonly logitBias?: Float32Array<ArrayBuffer>;
  readonly selectionBias?: Float32Array<ArrayBuffer>;
  readonly sharedGate?: Float32Array<ArrayBuffer>;
}

function inputsOf(c: Case): Inputs {
  const { tokens, hidden, experts, router } = c;
  const rows = normals(2, experts * hidden, c.spread ?? 0.3);
  const { ties } = c;
  if (ties) rows.forEach((_, i) => i >= ties * hidden && (rows[i] = rows[i - ties * hidden]!));
  return {
    x: normals(1, tokens * hidden, c.zeroTokens ? 0 : 2),
    gamma: normals(3, hidden, 0.2, 1),
    words: encodeMatrix(rows, c.layout ?? { kind: 'bf16' }, { rows: experts, cols: hidden }),
    ...(router.logitBias ? { logitBias: normals(4, experts, 1, c.logitOffset) } : {}),
    ...(router.selectionBias ? { selectionBias: normals(5, experts, 0.4, -0.6) } : {}),
    ...(c.sharedGate ? { sharedGate: normals(6, hidden, 0.3) } : {}),
  };
}

interface Found extends Routing {
  readonly words: Uint32Array<ArrayBuffer>; // [T, 2K]
}

async function run(c: Case, inputs: Inputs): Promise<Found> {
  const { name, tokens, hidden, experts, topK, layout = { kind: 'bf16' } } = c;
  const { words, ...vectors } = inputs;
  const got = await runKernel(gpu, {
    inputs: { words, ...vectors },
    outputs: { normed: tokens * hidden, routed: tokens * 2 * topK, ...(c.sharedGate ? { sharedWeight: tokens } : {}) },
    step: { tokens, position: 0 },
    record: (r, v) =>
      route(
        r,
        name,
        {
          x: v.x!,
          gamma: v.gamma!,
          router: { view: v.words!, layout, rows: experts, cols: hidden },
          normed: v.normed!,
          routed: v.routed!,
          ...(v.logitBias ? { logitBias: v.logitBias } : {}),
          ...(v.selectionBias ? { selectionBias: v.selectionBias } : {}),
          ...(v.sharedGate ? { sharedGate: v.sharedGate, sharedWeight: v.sharedWeight! } : {}),
        },
        { hidden, experts, topK, router: c.router, eps: 1e-5 },
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
    words: got.routed!,
  };
}

function expected(c: Case, { words, ...vectors }: Inputs): Routing {
  const shape = { rows: c.experts, cols: c.hidden };
  const router = decodeMatrix(words, c.layout ?? { kind: 'bf16' }, shape);
  return twin({ ...vectors, router }, { ...c, eps: 1e-5 });
}

async function check(c: Case): Promise<void> {
  const inputs = inputsOf(c);
  const [got, want] = [await run(c, inputs), expected(c, inputs)];
  expectClose(got.normed, want.normed, 5e-6, `${c.name} normed`);
  expect([...got.ids]).toEqual([...want.ids]);
  // Logits of up to 30 with errors of some 1e-7 each go through an exponential.
  expectClose(got.weights, want.weights, 1e-4, `${c.name} weights`);
  expectClose(got.sharedWeight, want.sharedWeight, 5e-6, `${c.name} shared weight`);
}

const named = (...names: string[]): Case[] => cases.filter(({ name }) => names.includes(name));

describe('moe/route', () => {
  it.each(cases)('$name', check);

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
      words: permute(inputs.words),
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

  it.each<[string, string[], (s: string) => string]>([
    ['lets ties go to the higher id', ['ties'], (s) => s.replace('j < e)) { rank++; }', 'j > e)) { rank++; }')],
    [
      'weighs with the bias',
      ['sigmoid_with_bias'],
      (s) => s.replace('= scores[chosen[lane]]', '= parts[chosen[lane]]'),
    ],
    ['forgets a block', ['several_blocks'], (s) => s.replace('sum = parts[at]', 'sum = 0.0')],
    ['ranks groups by one key', ['best_groups_by_two'], (s) => s.replace('best += second', 'best += 0.0')],
    ['keeps dropped groups', ['best_groups_by_one'], (s) => s.replace('keys[e] = ordered(0.0)', 'keys[e] = keys[e]')],
    ['stops at a workgroup of experts', ['more_experts_than_lanes'], (s) => s.replace('(E + WG - 1u) / WG', '1u')],
    ['forgets the scale', ['sigmoid_with_bias'], (s) => s.replace('weight * SCALE', 'weight')],
    ['forgets gamma', ['softmax'], (s) => s.replace('* scale * gamma[d]', '* scale')],
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
