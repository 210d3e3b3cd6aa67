import { describe, expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { linear, type LinearOptions } from '../../../src/kernels/linear/linear.ts';
import { matvecShape } from '../../../src/kernels/linear/matvec_shape.ts';
import { linear as twin } from '../../../src/reference/linear/linear.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import { layoutName, type Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, POISON, runKernel } from '../../support/conformance.ts';
import { openTestGpu, pretend } from '../../support/gpu.ts';
import { everyday, firstOfEach, thinned } from '../../support/everyday.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

type Phase = LinearOptions['phase'];
type Extra = 'bias' | 'residual' | 'rowScale' | 'gamma';

interface Case {
  readonly name: string;
  readonly tokens: number;
  readonly rows: number;
  readonly cols: number;
  readonly layout?: Layout;
  readonly with?: readonly Extra[];
  readonly xRow?: number;
  readonly xAt?: number;
  readonly outRow?: number;
  readonly outAt?: number;
  readonly last?: boolean;
  readonly scale?: number;
  readonly softcap?: number;
}

const BF16: Layout = { kind: 'bf16' };
const INT4: Layout = { kind: 'int', bits: 4, group: 32, scale: 'f16', zeros: false };

/** For both phases. */
const cases: Case[] = [
  { name: 'no_tokens', tokens: 0, rows: 5, cols: 32 },
  { name: 'one_of_everything', tokens: 1, rows: 1, cols: 1 },
  { name: 'one_token', tokens: 1, rows: 70, cols: 96 },
  { name: 'prime_sizes', tokens: 7, rows: 67, cols: 101 },
  { name: 'more_than_a_tile', tokens: 37, rows: 131, cols: 64 },
  { name: 'quads_but_not_chunks', tokens: 3, rows: 17, cols: 148 },
  { name: 'quads_of_a_part', tokens: 3, rows: 9, cols: 76, xRow: 100, xAt: 12 },
  { name: 'part_of_a_row_of_x', tokens: 3, rows: 9, cols: 64, xRow: 100, xAt: 36 },
  { name: 'chunks_of_a_part', tokens: 3, rows: 9, cols: 64, xRow: 128, xAt: 32 },
  { name: 'unaligned_part_of_x', tokens: 3, rows: 9, cols: 64, xRow: 99, xAt: 33 },
  { name: 'part_of_a_row_of_out', tokens: 3, rows: 9, cols: 40, outRow: 23, outAt: 11, with: ['residual', 'bias'] },
  { name: 'bias', tokens: 5, rows: 66, cols: 64, with: ['bias'] },
  { name: 'residual', tokens: 5, rows: 66, cols: 64, with: ['residual'] },
  { name: 'capped', tokens: 5, rows: 66, cols: 64, with: ['residual'], scale: 0.5, softcap: 1.5 },
  { name: 'everything', tokens: 5, rows: 66, cols: 64, with: ['bias', 'residual', 'rowScale'], scale: 0.22 },
  { name: 'q4_k', tokens: 3, rows: 33, cols: 768, layout: { kind: 'q4_k' } },
  { name: 'q6_k', tokens: 3, rows: 33, cols: 768, layout: { kind: 'q6_k' } },
];

const decodeOnly: Case[] = [
  { name: 'norm', tokens: 3, rows: 33, cols: 576, with: ['gamma'] },
  { name: 'norm_of_a_part', tokens: 2, rows: 5, cols: 40, xRow: 77, xAt: 13, with: ['gamma', 'bias'] },
  { name: 'norm_and_the_rest', tokens: 2, rows: 66, cols: 100, with: ['gamma', 'bias', 'residual', 'rowScale'] },
  { name: 'last_token', tokens: 6, rows: 33, cols: 64, last: true, with: ['gamma'] },
  { name: 'last_of_one', tokens: 1, rows: 33, cols: 64, last: true },
  { name: 'last_of_none', tokens: 0, rows: 33, cols: 64, last: true },
  { name: 'two_rows_a_lane', tokens: 1, rows: 2051, cols: 512, layout: INT4 },
  { name: 'four_rows_a_lane', tokens: 1, rows: 16387, cols: 40, layout: INT4 },
  { name: 'eight_rows_a_lane', tokens: 1, rows: 32771, cols: 40, layout: INT4 },
];

/** In prefill, on a GPU. */
const normedTiles: Case[] = [
  ...decodeOnly.filter(({ name }) => ['norm_of_a_part', 'norm_and_the_rest'].includes(name)),
  { name: 'norm_of_two_tiles', tokens: 37, rows: 67, cols: 68, with: ['gamma'] },
];

const layouts = thinned<Layout>(
  [
    { kind: 'f32' },
    { kind: 'f16' },
    BF16,
    { kind: 'mxfp4' },
    INT4,
    { kind: 'int', bits: 4, group: 64, scale: 'bf16', zeros: true },
    { kind: 'int', bits: 8, group: 32, scale: 'bf16', zeros: false },
    { kind: 'int', bits: 8, group: 1000, scale: 'f32', zeros: false },
  ],
  3,
);

/** Kernels as for a software adapter. */
const software = pretend(gpu, true);

async function check(phase: Phase, c: Case, on = gpu): Promise<void> {
  const { name, tokens, rows, cols, layout = BF16, xRow = cols, xAt = 0, outRow = rows, outAt = 0, last = false } = c;
  const { scale = 1, softcap } = c;
  const shape = { rows, cols };
  const words = encodeMatrix(normals(1, rows * cols, 0.5), layout, shape);
  // What no kernel may read is NaN.
  const x = normals(2, Math.max(1, tokens) * xRow).map((v, i) => (i % xRow < xAt || i % xRow >= xAt + cols ? NaN : v));
  const outTokens = last ? Math.min(1, tokens) : tokens;
  const extras: Record<Extra, Float32Array<ArrayBuffer>> = {
    bias: normals(3, rows),
    residual: normals(4, Math.max(1, outTokens) * outRow),
    rowScale: normals(5, Math.max(1, tokens), 0.5, 1),
    gamma: normals(6, cols, 0.2, 1),
  };
  const given = Object.fromEntries((c.with ?? []).map((e) => [e, extras[e]]));
  const eps = given.gamma ? { eps: 1e-5 } : {};
  const got = await runKernel(on, {
    inputs: { x, words, ...given },
    outputs: { out: outTokens * outRow },
    step: { tokens, position: 0 },
    record: (r, v) => {
      const weights = { view: v.words!, layout, ...shape };
      const views = Object.fromEntries(Object.keys(given).map((e) => [e, v[e]!]));
      const options = {
        phase,
        xRow,
        xAt,
        outRow,
        outAt,
        scale,
        softcap,
        ...eps,
        ...(last ? { row: 'last' as const } : {}),
      };
      linear(r, name, { x: v.x!, weights, out: v.out!, ...views }, options);
    },
  });
  const residual = given.residual && columns(given.residual, outTokens, outRow, outAt, rows);
  const all = twin(
    { x, weights: decodeMatrix(words, layout, shape), ...given, residual },
    { tokens, ...shape, xRow, xAt, scale, softcap, ...eps },
  );
  const expected = last ? all.slice(Math.max(0, tokens - 1) * rows) : all;
  // Up to 576 f32 products and sums, each within 6e-8 of the running sum.
  expectClose(
    columns(asF32(got.out!), outTokens, outRow, outAt, rows),
    expected,
    1e-5,
    `${name} ${layoutName(layout)}`,
  );
  const outside = [...got.out!].filter((_, i) => i % outRow < outAt || i % outRow >= outAt + rows);
  expect(outside.every((w) => w === POISON)).toBe(true);
}

const columns = (from: ArrayLike<number>, tokens: number, row: number, at: number, count: number): Float64Array =>
  Float64Array.from({ length: tokens * count }, (_, i) => from[Math.floor(i / count) * row + at + (i % count)]!);

const named = (name: string): Case => [...cases, ...decodeOnly, ...normedTiles].find((c) => c.name === name)!;

const both = everyday(cases, 'no_tokens', 'prime_sizes', 'everything');
const decode = [...both, ...everyday(decodeOnly, 'norm_and_the_rest', 'last_token')];

describe('linear/matvec', () => {
  it.each(decode)('$name', (c) => check('decode', c));
  it.each(layouts)('%o', (layout) => check('decode', { name: 'layout', tokens: 2, rows: 11, cols: 144, layout }));

  it.each(
    firstOfEach<[string, string, string, (s: string) => string]>(
      [
        ['drops the last chunk', 'prime_sizes', 'linear/row_lanes', (s) => s.replace('+ LANES - 1u', '')],
        [
          'reads quads beyond K',
          'quads_of_a_part',
          'linear/x_quads',
          (s) => s.replace('quad >= K / 4u', 'quad > K / 4u'),
        ],
        ['forgets a lane', 'two_rows_a_lane', 'linear/row_lanes', (s) => s.replace('i < LANES', 'i < LANES - 1u')],
        ['reads x beyond K', 'norm_of_a_part', 'linear/x_quads', (s) => s.replace('if (k >= K)', 'if (k > K)')],
        ['starts x at 0', 'unaligned_part_of_x', 'linear/x_quads', (s) => s.replace(' + X_AT + k', ' + k')],
        [
          'starts x quads at 0',
          'part_of_a_row_of_x',
          'linear/x_quads',
          (s) => s.replace('X_ROW + X_AT) / 4u', 'X_ROW) / 4u'),
        ],
        [
          'starts x chunks at 0',
          'chunks_of_a_part',
          'linear/x_quads',
          (s) => s.replace('X_ROW + X_AT) / 32u + chunk', 'X_ROW) / 32u + chunk'),
        ],
        ['forgets epsilon', 'tiny', 'linear/row_lanes', (s) => s.replace(' + EPS', '')],
        ['forgets gamma', 'norm', 'linear/matvec_rows', (s) => s.replace('part[i] *=', 'part[i] +=  0.0 *')],
        [
          'scales before the bias',
          'everything',
          'linear/finish',
          (s) => s.replace('y += bias[n]', 'y += bias[n] / row_scale[t]'),
        ],
        [
          'places the residual',
          'part_of_a_row_of_out',
          'linear/finish',
          (s) => s.replace('residual[at]', 'residual[row * OUT_ROW + n]'),
        ],
        ['does not cap', 'capped', 'linear/finish', (s) => s.replace('y = soft_capped(y)', 'y = y')],
        ['forgets the scale', 'everything', 'linear/finish', (s) => s.replace('y *= OUT_SCALE', 'y *= 1.0')],
        ['takes the first token', 'last_token', 'linear/matvec', (s) => s.replace('u_step.tokens - 1u', '0u')],
        [
          'mixes up rows',
          'two_rows_a_lane',
          'linear/matvec_rows',
          (s) => s.replace('team * ROWS_PER_LANE + r, N', 'team + r, N'),
        ],
      ],
      ([, , path]) => path,
    ),
  )('notices a kernel that %s', async (_what, name, path, mutate) => {
    const tiny = { ...named('norm'), name: 'tiny', cols: 32, rows: 3 };
    await expectMutantToFail(gpu, shaderText, path, mutate, () =>
      name === 'tiny' ? checkTinyNorm(tiny) : check('decode', named(name)),
    );
  });

  it('norms tiny values with epsilon', () => checkTinyNorm({ name: 'tiny', tokens: 1, rows: 3, cols: 32 }));

  it.each([136, 139])('passes values of rows of %i on', checkPasses);

  it('notices one that passes on others', () =>
    expectMutantToFail(
      gpu,
      shaderText,
      'linear/matvec',
      (s) => s.replace('X_ROW + PASS_AT', 'X_ROW'),
      () => checkPasses(139),
    ));
});

/** Rows of out are the product, then what is passed on. */
async function checkPasses(xRow: number): Promise<void> {
  const [tokens, rows, cols, count] = [2, 37, 64, 70];
  const [x, weights] = [normals(1, tokens * xRow), normals(2, rows * cols, 0.5)];
  const [at, outRow] = [xRow - count, rows + count];
  const got = await runKernel(gpu, {
    inputs: { x, weights },
    outputs: { out: tokens * outRow },
    step: { tokens, position: 0 },
    record: (r, v) => {
      const matrix = { view: v.weights!, layout: { kind: 'f32' } as const, rows, cols };
      const passes = { at, to: rows, count };
      linear(r, 'passes', { x: v.x!, weights: matrix, out: v.out! }, { phase: 'decode', xRow, outRow, passes });
    },
  });
  const out = asF32(got.out!);
  expect([...columns(out, tokens, outRow, rows, count)]).toEqual([...columns(x, tokens, xRow, at, count)]);
  const expected = twin({ x, weights }, { tokens, rows, cols, xRow, xAt: 0, eps: undefined });
  expectClose(columns(out, tokens, outRow, 0, rows), expected, 1e-5, 'beside what is passed on');
}

/** Values whose squares are far below epsilon. */
async function checkTinyNorm({ tokens, rows, cols }: Case, phase: Phase = 'decode'): Promise<void> {
  const x = normals(1, tokens * cols, 1e-4);
  const gamma = normals(2, cols, 0.2, 1);
  const weights = normals(3, rows * cols);
  const layout: Layout = { kind: 'f32' };
  const got = await runKernel(gpu, {
    inputs: { x, gamma, weights },
    outputs: { out: tokens * rows },
    step: { tokens, position: 0 },
    record: (r, v) => {
      const matrix = { view: v.weights!, layout, rows, cols };
      linear(r, 'tiny', { x: v.x!, weights: matrix, out: v.out!, gamma: v.gamma! }, { phase, eps: 1e-5 });
    },
  });
  const expected = twin({ x, weights, gamma }, { tokens, rows, cols, eps: 1e-5 });
  expectClose(asF32(got.out!), expected, 1e-5, 'tiny');
}

describe('linear/matmul', () => {
  it.each(both)('$name', (c) => check('prefill', c));
  it.each(everyday(normedTiles, 'norm_of_two_tiles'))('$name', (c) => check('prefill', c));
  it('norms tiny values with epsilon', () => checkTinyNorm({ name: 'tiny', tokens: 2, rows: 3, cols: 32 }, 'prefill'));
  it.each(layouts)('%o', (layout) => check('prefill', { name: 'layout', tokens: 33, rows: 11, cols: 144, layout }));

  it.each(
    firstOfEach<[string, string, string, (s: string) => string]>(
      [
        [
          'forgets a chunk',
          'prime_sizes',
          'linear/matmul_tile',
          (s) => s.replace('chunk < W_CHUNKS', 'chunk < W_CHUNKS - 1u'),
        ],
        ['swaps even and odd rows', 'one_token', 'linear/matmul', (s) => s.replace('products.even', 'products.odd')],
        [
          'repeats the first tile',
          'more_than_a_tile',
          'linear/matmul',
          (s) => s.replace('workgroup.z * TILE_TOKENS', '0u'),
        ],
        ['stores beyond N', 'prime_sizes', 'linear/matmul', (s) => s.replace('n + 1u < N', 'n < N')],
        [
          'reads one half of a chunk',
          'chunks_of_a_part',
          'linear/x_quads',
          (s) => s.replace('[quad % 8u]', '[quad % 4u]'),
        ],
        [
          'has conflicting places',
          'more_than_a_tile',
          'linear/matmul_tile',
          (s) => s.replace('STRIDE: u32 = 5u', 'STRIDE: u32 = 3u'),
        ],
        [
          'takes a norm for another',
          'norm_of_two_tiles',
          'linear/matmul_tile',
          (s) => s.replace('squares[WG + lane] = square.y', 'squares[WG + lane] = square.x'),
        ],
        [
          'forgets gamma',
          'norm_of_two_tiles',
          'linear/matmul_tile',
          (s) => s.replace('v *= gamma_quad(first_quad + quad);', ''),
        ],
      ],
      ([, , path]) => path,
    ),
  )('notices a kernel that %s', async (_what, name, path, mutate) => {
    await expectMutantToFail(gpu, shaderText, path, mutate, () => check('prefill', named(name)));
  });
});

describe('linear/matvec_lane', () => {
  it.each(
    thinned(
      decode.filter((c) => c.rows < 140),
      3,
    ),
  )('$name', (c) => check('decode', c, software));
  it.each(thinned([...both, ...decodeOnly.filter((c) => c.last && !c.with)], 5))('$name, in blocks', (c) =>
    check('prefill', c, software),
  );
  it.each(thinned(layouts, layouts.length))('%o', async (layout) => {
    await check('decode', { name: 'layout', tokens: 2, rows: 11, cols: 144, layout }, software);
    await check('prefill', { name: 'layout', tokens: 6, rows: 11, cols: 144, layout }, software);
  });

  it.each(
    firstOfEach<[string, Phase, string, string, (s: string) => string]>(
      [
        [
          'drops a chunk',
          'decode',
          'prime_sizes',
          'linear/lane_products',
          (s) => s.replace('chunk < W_CHUNKS', 'chunk < 1u'),
        ],
        [
          'mixes up rows',
          'decode',
          'prime_sizes',
          'linear/lane_products',
          (s) => s.replace('dots, r == 2u', 'dots, r == 1u'),
        ],
        [
          'forgets gamma',
          'decode',
          'norm',
          'linear/lane_products',
          (s) => s.replace('x[5] * gamma_quad(q + 5u)', 'x[5]'),
        ],
        ['forgets the norm', 'decode', 'norm', 'linear/lane_products', (s) => s.replace('p.d *= scale;', '')],
        [
          'takes the first token',
          'decode',
          'last_token',
          'linear/matvec_lane',
          (s) => s.replace('u_step.tokens - 1u', '0u'),
        ],
        [
          'mixes up tokens',
          'prefill',
          'prime_sizes',
          'linear/lane_products',
          (s) => s.replace('x_chunk(rows.z', 'x_chunk(rows.y'),
        ],
        [
          'skips tokens',
          'prefill',
          'prime_sizes',
          'linear/matvec_lane',
          (s) => s.replace('workgroup.z * TOKENS', 'workgroup.z'),
        ],
        [
          'writes beyond T',
          'prefill',
          'prime_sizes',
          'linear/matvec_lane',
          (s) => s.replace('t < u_step.tokens &&', ''),
        ],
        ['writes beyond N', 'decode', 'prime_sizes', 'linear/matvec_lane', (s) => s.replace('&& n < N)', ')')],
      ],
      () => 'one',
    ),
  )('notices a kernel that %s (%s)', async (_what, phase, name, path, mutate) => {
    await expectMutantToFail(software, shaderText, path, mutate, () => check(phase, named(name), software));
  });
});

describe('matvecShape', () => {
  it.each([
    [1, 1],
    [576, 576],
    [2048, 2048],
    [201088, 2880],
    [64, 14336],
    [49152, 576],
  ])('%i x %i fills workgroups of 64 with whole teams', (rows, cols) => {
    const shape = matvecShape({ rows, cols });
    expect(shape.rows).toBe((64 / shape.lanes) * shape.rowsPerLane);
    expect(shape.rows).toBeLessThanOrEqual(128);
    expect(shape.rows % 2).toBe(0);
  });
});
