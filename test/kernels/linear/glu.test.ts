import { describe, expect, it } from 'vitest';
import { upRows } from '../../../src/config/activation.ts';
import type { Activation } from '../../../src/config/model-config.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { glu, type GluOptions } from '../../../src/kernels/linear/glu.ts';
import { activate } from '../../../src/reference/activation.ts';
import { glu as twin } from '../../../src/reference/linear/glu.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import type { Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu, pretend } from '../../support/gpu.ts';
import { everyday, firstOfEach, thinned } from '../../support/everyday.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

const SILU: Activation = { kind: 'silu' };
const GELU: Activation = { kind: 'gelu-tanh' };
const CLAMPED: Activation = { kind: 'clamped-swiglu', alpha: 1.702, limit: 7 };
const SQUARED: Activation = { kind: 'relu-squared' };

interface Case {
  readonly name: string;
  readonly tokens: number;
  readonly width: number;
  readonly cols: number;
  readonly activation: Activation;
  readonly layout?: Layout;
  readonly scale?: number;
  readonly normed?: boolean;
}

const cases: Case[] = [
  { name: 'no_tokens', tokens: 0, width: 3, cols: 32, activation: SILU },
  { name: 'one_of_everything', tokens: 1, width: 1, cols: 1, activation: SILU },
  { name: 'silu', tokens: 3, width: 37, cols: 96, activation: SILU },
  { name: 'gelu_tanh', tokens: 3, width: 37, cols: 96, activation: GELU },
  { name: 'clamped', tokens: 3, width: 37, cols: 96, activation: CLAMPED },
  { name: 'without_gates', tokens: 35, width: 82, cols: 50, activation: SQUARED },
  { name: 'more_than_a_tile', tokens: 35, width: 41, cols: 50, activation: SILU },
  { name: 'silu_of_huge_values', tokens: 2, width: 9, cols: 32, activation: SILU, scale: 1e7 },
  { name: 'gelu_of_huge_values', tokens: 2, width: 9, cols: 32, activation: GELU, scale: 1e15 },
  { name: 'clamped_huge_values', tokens: 2, width: 9, cols: 32, activation: CLAMPED, scale: 1e15 },
  {
    name: 'int4',
    tokens: 2,
    width: 20,
    cols: 64,
    activation: SILU,
    layout: { kind: 'int', bits: 4, group: 32, scale: 'bf16', zeros: false },
  },
  { name: 'mxfp4', tokens: 2, width: 20, cols: 96, activation: CLAMPED, layout: { kind: 'mxfp4' } },
];
const normed: Case = { name: 'normed', tokens: 3, width: 37, cols: 100, activation: SILU, normed: true };

/** Kernels as for a software adapter. */
const software = pretend(gpu, true);

async function check(phase: GluOptions['phase'], c: Case, on = gpu): Promise<void> {
  const { name, tokens, width, cols, activation, layout = { kind: 'bf16' }, scale = 1 } = c;
  const shape = { rows: upRows(width, activation), cols };
  const words = encodeMatrix(normals(1, shape.rows * cols, 0.4), layout, shape);
  const x = normals(2, Math.max(1, tokens) * cols, scale);
  const gamma = normals(3, cols, 0.2, 1);
  const eps = c.normed ? { eps: 1e-5 } : {};
  const got = await runKernel(on, {
    inputs: { x, words, ...(c.normed ? { gamma } : {}) },
    outputs: { out: tokens * width },
    step: { tokens, position: 0 },
    record: (r, v) => {
      const io = { x: v.x!, weights: { view: v.words!, layout, ...shape }, out: v.out! };
      glu(r, name, c.normed ? { ...io, gamma: v.gamma! } : io, { phase, activation, ...eps });
    },
  });
  const weights = decodeMatrix(words, layout, shape);
  const expected = twin({ x, weights, gamma: c.normed ? gamma : undefined }, activation, {
    tokens,
    width,
    cols,
    ...eps,
  });
  // Sums of up to 100 products as in linear, squared by the product of gate and up, and an exp of a few ulp.
  expectClose(asF32(got.out!), expected, 2e-5, name);
}

const some = everyday(cases, 'one_of_everything', 'without_gates', 'more_than_a_tile', 'mxfp4');

describe.each(['decode', 'prefill'] as const)('linear/glu, %s', (phase) => {
  it.each(some)('$name', (c) => check(phase, c));
});

describe('linear/glu_matvec', () => {
  it('normed', () => check('decode', normed));
});

describe('linear/glu_matmul', () => {
  it('normed', () => check('prefill', normed));
});

describe('linear/glu_lane', () => {
  it.each(thinned([...some, normed], 4))('$name', (c) => check('decode', c, software));
  it.each(thinned(some, 3))('$name, in blocks', (c) => check('prefill', c, software));
  it.each(
    firstOfEach<[string, GluOptions['phase'], (s: string) => string, string?]>(
      [
        ['exchanges gate and up', 'decode', (s) => s.replace('products.c, products.d', 'products.d, products.c')],
        ['skips tokens', 'prefill', (s) => s.replace('workgroup.z * TOKENS', 'workgroup.z')],
        [
          'exchanges the halves of up',
          'decode',
          (s) => s.replace('PAIR_VALUES + v) *', 'PAIR_VALUES + 1u - v) *'),
          'without_gates',
        ],
        ['stores beyond F', 'decode', (s) => s.replace('&& f < N / 2u', '')],
        ['mixes up tokens', 'prefill', (s) => s.replace('gate.z, up.z', 'gate.z, up.y')],
      ],
      () => 'one',
    ),
  )('notices a kernel that %s (%s)', async (_what, phase, mutate, name = 'more_than_a_tile') => {
    await expectMutantToFail(software, shaderText, 'linear/glu_lane', mutate, () =>
      check(phase, named(name), software),
    );
  });
});

const named = (name: string): Case => cases.find((c) => c.name === name)!;

describe('notices', () => {
  it.each(
    firstOfEach<[string, GluOptions['phase'], string, string, (s: string) => string]>(
      [
        [
          'gate and up exchanged',
          'decode',
          'silu',
          'linear/glu_matvec',
          (s) => s.replace('row_product(0u, 2u * pair),', 'row_product(0u, 2u * pair + 1u),'),
        ],
        [
          'gate and up exchanged',
          'prefill',
          'silu',
          'linear/glu_matmul',
          (s) => s.replace('products.even', 'products.odd'),
        ],
        [
          'half the rows of a workgroup',
          'decode',
          'silu',
          'linear/glu_matvec',
          (s) => s.replace('pair < ROWS / 2u', 'pair < ROWS / 4u'),
        ],
        [
          'the halves of up exchanged',
          'decode',
          'without_gates',
          'linear/glu_matvec',
          (s) => s.replace('PAIR_VALUES + v) *', 'PAIR_VALUES + 1u - v) *'),
        ],
        [
          'the halves of up exchanged',
          'prefill',
          'without_gates',
          'linear/glu_matmul',
          (s) => s.replace('PAIR_VALUES + v) *', 'PAIR_VALUES + 1u - v) *'),
        ],
        [
          'tokens beyond T',
          'prefill',
          'more_than_a_tile',
          'linear/glu_matmul',
          (s) => s.replace('if (t < u_step.tokens)', 'if (t <= u_step.tokens)'),
        ],
        [
          'a sigmoid that overflows',
          'decode',
          'silu_of_huge_values',
          'shared/sigmoid',
          (s) => s.replace('select(e, 1.0, x >= 0.0) / (1.0 + e)', 'exp(x) / (1.0 + exp(x))'),
        ],
        [
          'no limit on up',
          'decode',
          'clamped_huge_values',
          'shared/activation',
          (s) => s.replace('clamp(up, -ACT_LIMIT, ACT_LIMIT)', 'up'),
        ],
        ['no alpha', 'decode', 'clamped', 'shared/activation', (s) => s.replace('ACT_ALPHA * g', 'g')],
        ['gelu without its cube', 'decode', 'gelu_tanh', 'shared/activation', (s) => s.replace('0.044715 *', '0.0 *')],
      ],
      ([, , , path]) => path,
    ),
  )('%s (%s, %s)', async (_what, phase, name, path, mutate) => {
    await expectMutantToFail(gpu, shaderText, path, mutate, () => check(phase, named(name)));
  });
});

describe('activate', () => {
  it('keeps its limits', () => {
    expect(activate(CLAMPED, 100, 100)).toBeCloseTo(8 * 7, 3);
    expect(activate(CLAMPED, -100, -100)).toBeCloseTo(0, 6);
    expect(activate(SILU, 2, 3)).toBeCloseTo(6 / (1 + Math.exp(-2)), 12);
    expect(activate(GELU, 1, 1)).toBeCloseTo(0.841192, 6);
  });
});
