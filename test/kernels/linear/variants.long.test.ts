/** The decode kernels as an adapter with subgroups, shader-f16 or packed products runs them. Where it has no f16, that variant's cases run in f32. */
import { describe, expect, it } from 'vitest';
import type { DeviceFacts } from '../../../src/gpu/device.ts';
import type { Gpu } from '../../../src/gpu/gpu.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { linear } from '../../../src/kernels/linear/linear.ts';
import { expertDownDecode } from '../../../src/kernels/moe/expert_down.ts';
import { expertUpDecode } from '../../../src/kernels/moe/expert_up.ts';
import { rmsNorm } from '../../../src/kernels/norm/rms_norm.ts';
import { slotLayout } from '../../../src/moe/slots.ts';
import { linear as linearTwin } from '../../../src/reference/linear/linear.ts';
import { combine as combineTwin } from '../../../src/reference/moe/combine.ts';
import { expertDown as expertDownTwin } from '../../../src/reference/moe/expert_down.ts';
import { expertUp as expertUpTwin } from '../../../src/reference/moe/expert_up.ts';
import { rmsNorm as rmsNormTwin } from '../../../src/reference/norm/rms_norm.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import { prng } from '../../../src/util/prng.ts';
import { layoutName, type Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';
import { assign, chooseExperts, makeArena, routedWords } from '../moe/arena.ts';

const opened = await openTestGpu();
const has = (feature: string): boolean => opened.facts.features.has(feature);
const only = (...features: string[]): ReadonlySet<string> => new Set(features.filter(has));
if (!has('shader-f16')) console.log('the adapter has no shader-f16: its cases run in f32');

const onGpu = (facts: Partial<DeviceFacts>): Gpu => opened.share({ ...opened.facts, kernels: 'gpu', ...facts });
const variants = {
  subgroups: onGpu({ features: only('subgroups') }),
  f16: onGpu({ features: only('shader-f16'), arithmetic: has('shader-f16') ? 'f16' : 'f32' }),
  int8: onGpu({ features: only(), arithmetic: 'int8' }),
};
type Variant = keyof typeof variants;
const names = Object.keys(variants) as Variant[];

/** Steps of an input from 0 to its chunk's largest: those that a variant's rounding keeps. Between steps, int8 inputs are a fifth beyond one. */
const STEPS: Record<Variant, readonly [steps: number, beyond: number]> = {
  subgroups: [127, 0.2],
  f16: [16, 0],
  int8: [127, 0.2],
};

/** x [T, K], and what a variant makes of it: chunks of very different size, too large for f16, and one of zeros. */
function inputs(variant: Variant, tokens: number, cols: number): readonly [Float32Array<ArrayBuffer>, Float64Array] {
  const random = prng(2);
  const [steps, beyond] = STEPS[variant];
  const length = tokens * cols;
  const [x, rounded] = [new Float32Array(length), new Float64Array(length)];
  for (let i = 0; i < length; i++) {
    const chunk = Math.floor((i % cols) / 32);
    const largest = chunk === 1 ? 0 : 3.7 * 2 ** (chunk % 3 === 2 ? 18 : 17);
    const step = i % 32 === 5 ? steps : Math.floor(2 * (steps - 1) * random()) - (steps - 1);
    x[i] = (largest * (step + (i % 32 === 5 ? 0 : beyond))) / steps;
    rounded[i] = variant === 'int8' ? (largest * step) / steps : x[i]!;
  }
  return [x, rounded];
}

const int = (bits: 4 | 8, group: number, zeros: boolean): Layout => ({ kind: 'int', bits, group, scale: 'f16', zeros });
const LAYOUTS: readonly Layout[] = [int(4, 32, false), int(4, 64, true), int(8, 32, false), { kind: 'mxfp4' }];

/**
 * Sums of up to 512 products in f32. In f16, products of int4 and mxfp4 with these inputs and their sums are whole numbers below 2048, so exact; of
 * int8 they are not: 9 roundings by 2^-11.
 */
const bound = (variant: Variant, layout: Layout): number =>
  variant === 'f16' && layout.kind === 'int' && layout.bits === 8 ? 5e-3 : 1e-5;

async function checkMatvec(variant: Variant, layout: Layout, rows = 37, cols = 192): Promise<void> {
  const [tokens, shape] = [2, { rows, cols }];
  const [x, rounded] = inputs(variant, tokens, cols);
  const words = encodeMatrix(normals(1, rows * cols, 0.5), layout, shape);
  const got = await runKernel(variants[variant], {
    inputs: { x, words },
    outputs: { out: tokens * rows },
    step: { tokens, position: 0 },
    record: (r, v) =>
      linear(r, variant, { x: v.x!, weights: { view: v.words!, layout, ...shape }, out: v.out! }, { phase: 'decode' }),
  });
  const expected = linearTwin({ x: rounded, weights: decodeMatrix(words, layout, shape) }, { tokens, ...shape });
  expectClose(asF32(got.out!), expected, bound(variant, layout), `${variant} ${layoutName(layout)}`);
}

/** Of ordinary inputs: int8 is off by up to 1/254 of a chunk's largest, 1 % of the RMS and four times that at worst; f16 by 9 roundings of 2^-11. */
const ORDINARY: Record<Variant, number> = { subgroups: 1e-5, f16: 5e-3, int8: 4e-2 };

async function checkNormed(variant: Variant): Promise<void> {
  const [tokens, rows, cols] = [2, 67, 576];
  const layout = int(4, 32, false);
  const [x, gamma] = [normals(3, tokens * cols), normals(4, cols, 0.2, 1)];
  const words = encodeMatrix(normals(1, rows * cols, 0.5), layout, { rows, cols });
  const got = await runKernel(variants[variant], {
    inputs: { x, words, gamma },
    outputs: { out: tokens * rows },
    step: { tokens, position: 0 },
    record: (r, v) => {
      const io = { x: v.x!, weights: { view: v.words!, layout, rows, cols }, out: v.out!, gamma: v.gamma! };
      linear(r, variant, io, { phase: 'decode', eps: 1e-5 });
    },
  });
  const weights = decodeMatrix(words, layout, { rows, cols });
  const expected = linearTwin({ x, weights, gamma }, { tokens, rows, cols, eps: 1e-5 });
  expectClose(asF32(got.out!), expected, ORDINARY[variant], `${variant}, normed`);
}

const SHAPE = { tokens: 2, hidden: 160, width: 96, experts: 5, topK: 2 };

async function checkExperts(variant: Variant, part: 'up' | 'down', layout = int(4, 32, false)): Promise<void> {
  const { tokens, hidden, width, experts, topK } = SHAPE;
  const slot = slotLayout({ hidden, width, gateUp: layout, down: layout, bias: true });
  const arena = makeArena(slot, experts);
  const ids = chooseExperts(7, tokens, experts, topK);
  const weights = normals(8, ids.length, 0.5);
  const up = part === 'up';
  const rows = up ? tokens : ids.length;
  const input = normals(9, rows * (up ? hidden : width));
  const activation = { kind: 'silu' } as const;
  const got = await runKernel(variants[variant], {
    inputs: { input, routed: routedWords(ids, weights, topK), arena: arena.words, slotTable: arena.slotTable },
    outputs: { out: up ? ids.length * width : tokens * hidden },
    step: { tokens, position: 0 },
    record: (r, v) => {
      const home = { arena: v.arena!, slotTable: v.slotTable!, routed: v.routed! };
      if (up) expertUpDecode(r, part, { ...home, x: v.input!, act: v.out! }, { experts, topK, slot, activation });
      else expertDownDecode(r, part, { ...home, act: v.input!, out: v.out! }, { experts, topK, slot });
    },
  });
  const pairs = assign(arena, ids, (pair) => (up ? Math.floor(pair / topK) : pair));
  const rowOfPair = ids.map((_, pair) => pair);
  const expected = up
    ? expertUpTwin(input, pairs, activation, { hidden, width })
    : combineTwin({ y: expertDownTwin(input, pairs, SHAPE), rowOfPair, weights }, SHAPE);
  // Gate and up are both off, and their product with them: twice.
  expectClose(asF32(got.out!), expected, (up ? 2 : 1) * ORDINARY[variant], `${variant}, ${part}`);
}

async function checkNorm(): Promise<void> {
  const [tokens, size, eps] = [3, 577, 1e-5];
  const [x, gamma] = [normals(1, tokens * size), normals(2, size, 0.2, 1)];
  const got = await runKernel(variants.subgroups, {
    inputs: { x, gamma },
    outputs: { out: tokens * size },
    step: { tokens, position: 0 },
    record: (r, v) => rmsNorm(r, 'norm', { x: v.x!, gamma: v.gamma!, out: v.out! }, { size, eps }),
  });
  expectClose(asF32(got.out!), rmsNormTwin(x, gamma, { tokens, size, eps }), 5e-6, 'norm');
}

describe.each(names)('%s', (variant) => {
  it.each(LAYOUTS.map((layout) => [layoutName(layout), layout] as const))('linear/matvec of %s', (_, layout) =>
    checkMatvec(variant, layout),
  );
  it('linear/matvec with a norm', () => checkNormed(variant));
  it.each(['up', 'down'] as const)('moe/expert_%s_decode', (part) => checkExperts(variant, part));
});

describe('subgroups', () => {
  it('are there to be tested', () => expect(has('subgroups')).toBe(true));
  it('norm/rms_norm', checkNorm);
});

describe('the tests notice', () => {
  const broken: readonly [Variant, string, string, string][] = [
    ['subgroups', 'shared/team_sum', 'Xor(sum, 2u)', 'Xor(sum, 1u)'],
    ['int8', 'weights/products_int8', '127.0 / m', '126.0 / m'],
    ['int8', 'weights/products_int8', ' - BYTE_OFFSET', ''],
    ['int8', 'weights/int8', '0x80808080u', '0x80808000u'],
    ['int8', 'weights/int4', 'u >> vec4<u32>(4u)', 'u >> vec4<u32>(3u)'],
    ['subgroups', 'weights/products_bytes', 'inputs.sum', 'inputs.x[0].x'],
    ...(has('shader-f16')
      ? ([
          ['f16', 'weights/products_f16', 'x.xzyw', 'x.xyzw'],
          ['f16', 'weights/products_f16', 'halves(x[5], s)', 'halves(x[5], 1.0)'],
        ] as [Variant, string, string, string][])
      : []),
  ];
  it.each(broken)('%s: %s with "%s" as "%s"', async (variant, path, from, to) => {
    const check = async (): Promise<void> => {
      for (const layout of [LAYOUTS[0]!, LAYOUTS[2]!]) await checkMatvec(variant, layout);
      await checkExperts(variant, 'up'); // two rows a lane, so in f32 by bytes
    };
    await expectMutantToFail(variants[variant], shaderText, path, (s) => s.replace(from, to), check);
  });
});
