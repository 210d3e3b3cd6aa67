/** A few tokens against the twins, and bit by bit against each token alone. */
import { describe, expect, it } from 'vitest';
import type { Activation } from '../../../src/config/model-config.ts';
import type { Gpu } from '../../../src/gpu/gpu.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { glu } from '../../../src/kernels/linear/glu.ts';
import { linear } from '../../../src/kernels/linear/linear.ts';
import type { Phase } from '../../../src/kernels/phase.ts';
import { glu as gluTwin } from '../../../src/reference/linear/glu.ts';
import { linear as twin } from '../../../src/reference/linear/linear.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import type { Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu, pretend } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });
const software = pretend(gpu, true);

const INT4: Layout = { kind: 'int', bits: 4, group: 32, scale: 'f16', zeros: false };
const EPS = 1e-5;

interface Case {
  readonly tokens: number;
  readonly rows: number;
  readonly cols: number;
  readonly layout: Layout;
  readonly normed: boolean;
}

const CASES: Case[] = [
  { tokens: 2, rows: 66, cols: 160, layout: INT4, normed: true },
  { tokens: 8, rows: 130, cols: 64, layout: INT4, normed: false },
  { tokens: 11, rows: 34, cols: 101, layout: { kind: 'bf16' }, normed: true },
];

/** `up`: without gates. */
type Operation = 'linear' | 'glu' | 'up';
const activationOf = (operation: Operation): Activation =>
  operation === 'up' ? { kind: 'relu-squared' } : { kind: 'silu' };

async function run(on: Gpu, operation: Operation, phase: Phase, c: Case): Promise<Uint32Array> {
  const { tokens, rows, cols, layout, normed } = c;
  const words = encodeMatrix(normals(1, rows * cols, 0.4), layout, { rows, cols });
  const outRow = operation === 'glu' ? rows / 2 : rows;
  const got = await runKernel(on, {
    inputs: { x: normals(2, tokens * cols), words, bias: normals(3, rows), gamma: normals(4, cols, 0.2, 1) },
    outputs: { out: tokens * outRow },
    step: { tokens, position: 0 },
    record: (r, v) => {
      const weights = { view: v.words!, layout, rows, cols };
      const io = { x: v.x!, weights, out: v.out!, ...(normed && { gamma: v.gamma! }) };
      const options = { phase, ...(normed && { eps: EPS }) };
      if (operation !== 'linear') glu(r, 'glu', io, { ...options, activation: activationOf(operation) });
      else linear(r, 'linear', { ...io, bias: v.bias! }, options);
    },
  });
  return got.out!;
}

function expected(operation: Operation, { tokens, rows, cols, layout, normed }: Case): ArrayLike<number> {
  const shape = { rows, cols };
  const weights = decodeMatrix(encodeMatrix(normals(1, rows * cols, 0.4), layout, shape), layout, shape);
  const norm = normed ? { gamma: normals(4, cols, 0.2, 1) } : {};
  const io = { x: normals(2, tokens * cols), weights, ...norm };
  const eps = normed ? { eps: EPS } : {};
  if (operation === 'linear') return twin({ ...io, bias: normals(3, rows) }, { tokens, ...shape, ...eps });
  const width = operation === 'glu' ? rows / 2 : rows;
  return gluTwin(io, activationOf(operation), { tokens, width, cols, ...eps });
}

async function check(on: Gpu, operation: Operation, c: Case): Promise<void> {
  const few = await run(on, operation, 'few', c);
  expectClose(asF32(Uint32Array.from(few)), expected(operation, c), 1e-5, operation);
  expect([...few]).toEqual([...(await run(on, operation, 'decode', c))]);
}

describe.each(['linear', 'glu', 'up'] as const)('%s of a few tokens', (operation) => {
  it.each(CASES)('kernels for GPUs: %o', (c) => check(gpu, operation, c));
  // Those for software have no kernel of their own for a few tokens: test/kernels/linear/glu runs theirs without gates.
  if (operation !== 'up') it.each(CASES)('kernels for software: %o', (c) => check(software, operation, c));
});

it.each([
  ['linear/matvec_few', 'repeats a row', 'let n = first_row + row', 'let n = first_row'],
  ['linear/glu_few', 'swaps gate and up', '2u * pair), row', '2u * pair + 1u), row'],
  ['linear/few_rows', 'forgets a token', 't < u_step.tokens)', 't + 1u < u_step.tokens)'],
  ['linear/glu_few', 'exchanges the halves of up', 'PAIR_VALUES + v) *', 'PAIR_VALUES + 1u - v) *'],
  [
    'linear/row_lanes',
    'takes the norm of another token',
    'squares[column * WG + i * subgroup]',
    'squares[i * subgroup]',
  ],
  ['linear/row_lanes', 'drops the last chunk', '+ LANES - 1u', ''],
  ['linear/lane_products', 'forgets a norm', 'p.h *= scale', 'p.h *= 1.0'],
])('%s: notices a kernel that %s', (path, _what, from, to) =>
  expectMutantToFail(
    gpu,
    shaderText,
    path,
    (s) => s.replace(from, to),
    async () => {
      const on = path === 'linear/lane_products' ? pretend(gpu, true) : gpu;
      const operations = ['linear', 'glu', ...(path === 'linear/glu_few' ? ['up'] : [])] as Operation[];
      for (const operation of operations) await check(on, operation, CASES[2]!);
    },
  ),
);
