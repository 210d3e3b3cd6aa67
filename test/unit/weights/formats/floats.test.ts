/** FP8 and 4-bit floats with scales, in the layouts of their makers. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../../../src/config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../../src/errors.ts';
import { findMatrix } from '../../../../src/weights/formats/index.ts';
import type { Layout } from '../../../../src/weights/layout.ts';
import { drop, encoded, numbersOf, poke, readBack } from '../../../support/encoded.ts';
import { fp8Encoding, mxfp4RowsEncoding, nvfp4Encoding, tensor, type Fp8Options } from '../../../support/encodings.ts';
import { floatsOf } from '../../../support/weights.ts';

type Change = Parameters<typeof readBack>[4];

const fp8 = (block: readonly number[] | null, more: Record<string, Json> = {}): Json => ({
  quant_method: 'fp8',
  fmt: 'e4m3',
  activation_scheme: 'dynamic',
  ...(block ? { weight_block_size: [...block] } : {}),
  ...more,
});
const compressed = (format: string, weights: Record<string, Json>, more: Record<string, Json> = {}): Json => ({
  quant_method: 'compressed-tensors',
  format,
  config_groups: {
    group_0: {
      targets: ['Linear'],
      weights: { num_bits: 8, type: 'float', symmetric: true, dynamic: false, ...weights },
      input_activations: { num_bits: 8, type: 'float', dynamic: true, strategy: 'token' },
    },
  },
  ignore: [],
  kv_cache_scheme: { num_bits: 8, type: 'float' },
  ...more,
});

/** Numbers in doubles, rounded as one product in f32 is. */
const rounded = (numbers: Float64Array): number[] => [...numbers].map(Math.fround);

describe('fp8', () => {
  const inverse = { suffix: 'weight_scale_inv' } as const;
  const scale = { suffix: 'weight_scale' } as const;
  test.each<[string, Json, Fp8Options, Layout, number, number]>([
    ['blocks', fp8([128, 128]), { block: [128, 128], ...inverse }, { kind: 'fp8', group: 128, scale: 'f32' }, 130, 200],
    [
      'bf16 scales',
      fp8([64, 32]),
      { block: [64, 32], scale: 'BF16', ...inverse },
      { kind: 'fp8', group: 32, scale: 'bf16' },
      70,
      77,
    ],
    ['one block', fp8([128, 128]), { block: [128, 128], ...inverse }, { kind: 'fp8', group: 40, scale: 'f32' }, 7, 40],
    [
      'a scale for all',
      fp8(null),
      { block: [null, null], shape: [], ...scale },
      { kind: 'fp8', group: 45, scale: 'f32' },
      5,
      45,
    ],
    [
      'a row each',
      compressed('float-quantized', { strategy: 'channel' }),
      { block: [1, null], scale: 'BF16', ...scale },
      { kind: 'fp8', group: 64, scale: 'bf16' },
      9,
      64,
    ],
    [
      'a row each, flat',
      compressed('naive-quantized', { strategy: 'channel' }),
      { block: [1, null], shape: [9], ...scale },
      { kind: 'fp8', group: 64, scale: 'f32' },
      9,
      64,
    ],
    [
      'one, named tensor',
      compressed('float-quantized', { strategy: 'tensor' }),
      { block: [null, null], shape: [1], ...scale },
      { kind: 'fp8', group: 64, scale: 'f32' },
      9,
      64,
    ],
    [
      'blocks of theirs',
      compressed('float-quantized', { strategy: 'block', block_structure: [128, 128] }),
      { block: [128, 128], ...scale },
      { kind: 'fp8', group: 128, scale: 'f32' },
      129,
      160,
    ],
    [
      'modelopt',
      { quant_method: 'modelopt', quant_algo: 'FP8' },
      { block: [null, null], shape: [], ...scale },
      { kind: 'fp8', group: 64, scale: 'f32' },
      4,
      64,
    ],
  ])('%s', async (_, config, options, layout, rows, cols) => {
    const { checkpoint, numbers } = await encoded(fp8Encoding(options), rows, cols);
    const matrix = findMatrix(checkpoint, config, 'm', { rows, cols })!;
    expect(matrix.layout).toEqual(layout);
    const found = await numbersOf(matrix);
    expect(found.all).toEqual([...numbers]);
    expect(found.rows).toEqual([...numbers]);
    // What q4 quantises.
    expect(matrix.floats!.layout).toEqual({ kind: 'f32' });
    expect(await floatsOf(matrix.floats!)).toEqual(rounded(numbers));
    expect(await floatsOf(matrix.floats!, 1, 3)).toEqual(rounded(numbers).slice(cols, 3 * cols));
  });

  test('scales of activations and of the cache are passed over, by their first names too', async () => {
    const one = tensor('F32', [1], new Float32Array([2]));
    const add: Change = (t) => Object.assign(t, { 'a.m.act_scale': one, 'a.kv_scale': one });
    const { checkpoint } = await encoded(fp8Encoding({ block: [null, null], shape: [], ...scale }), 4, 32, add, 'a.m');
    findMatrix(checkpoint, fp8(null), 'a.m', { rows: 4, cols: 32 });
    expect(checkpoint.unasked()).toEqual([]);
  });

  test('blocks that no native layout has come as floats', async () => {
    const { checkpoint, numbers } = await encoded(fp8Encoding({ block: [48, 40], ...inverse }), 50, 90);
    const matrix = findMatrix(checkpoint, fp8([48, 40]), 'm', { rows: 50, cols: 90 })!;
    expect(matrix.layout).toEqual({ kind: 'f32' });
    expect((await numbersOf(matrix)).rows).toEqual(rounded(numbers));
  });

  test('scales that are powers of two, and the other kinds of F8', async () => {
    const exponents: Change = (t) => (t['m.weight_scale_inv'] = tensor('F8_E8M0', [1, 1], Uint8Array.of(124)));
    const options = { block: [128, 128], ...inverse } as const;
    const { checkpoint } = await encoded(fp8Encoding(options), 4, 32, (t) => {
      exponents(t);
      poke('weight', 0, 0x38, 0xb8)(t);
    });
    const matrix = findMatrix(checkpoint, fp8([128, 128]), 'm', { rows: 4, cols: 32 })!;
    expect(matrix.layout).toEqual({ kind: 'fp8', group: 32, scale: 'f32' });
    expect((await floatsOf(matrix)).slice(0, 2)).toEqual([0.125, -0.125]);
    const other = await encoded(fp8Encoding(options), 4, 32, (t) => {
      exponents(t);
      poke('weight', 0, 0x3c, 0xbc)(t);
      t['m.weight'] = { ...t['m.weight']!, dtype: 'F8_E5M2' };
    });
    const e5m2 = findMatrix(other.checkpoint, fp8([128, 128]), 'm', { rows: 4, cols: 32 })!;
    expect(e5m2.layout).toEqual({ kind: 'f32' });
    expect((await floatsOf(e5m2)).slice(0, 2)).toEqual([0.125, -0.125]);
  });

  const options: Fp8Options = { block: [128, 128], ...inverse };
  test.each<[string, Json, Change, RegExp]>([
    [
      'no scale',
      fp8([128, 128]),
      (t) => (drop('weight_scale_inv')(t), drop('input_scale')(t)),
      /without a weight_scale_inv/,
    ],
    ['other blocks', fp8([64, 64]), undefined, /weight_scale_inv has the shape/],
    ['one size', fp8([128]), undefined, /weight_block_size/],
    ['a size of 0', fp8([128, 0]), undefined, /weight_block_size/],
    ['a listed module', fp8([128, 128], { modules_to_not_convert: ['m'] }), undefined, /modules_to_not_convert/],
    ['an unknown key', fp8([128, 128], { hadamard: true }), undefined, /hadamard/],
    ['NaN', fp8([128, 128]), poke('weight', 5, 0x7f), /NaN/],
    ['negative NaN', fp8([128, 128]), poke('weight', 6, 0xff), /NaN/],
    ['integers', fp8([128, 128]), (t) => (t['m.weight'] = { ...t['m.weight']!, dtype: 'I8' }), /has type I8/],
    [
      'a scale of integers',
      fp8([128, 128]),
      (t) => (t['m.weight_scale_inv'] = tensor('I32', [2, 1], new Int32Array(2))),
      /has type I32/,
    ],
    [
      'groups of columns',
      compressed('float-quantized', { strategy: 'group', group_size: 32 }),
      undefined,
      /without|strategy|weight_scale/,
    ],
  ])('refused: %s', async (_, config, change, message) => {
    const read = (): Promise<unknown> => readBack(fp8Encoding(options), config, 130, 64, change);
    await expect(read()).rejects.toThrow(message);
    const error: unknown = await read().catch((e: unknown) => e);
    expect(error instanceof InvalidCheckpoint || error instanceof UnsupportedModel).toBe(true);
  });
});

describe('4-bit floats', () => {
  const nv = compressed('nvfp4-pack-quantized', { num_bits: 4, strategy: 'tensor_group', group_size: 16 });
  const mx = compressed('mxfp4-pack-quantized', { num_bits: 4, strategy: 'group', group_size: 32 });
  const modelopt = (more: Record<string, Json> = {}): Json => ({
    quant_method: 'modelopt',
    quant_algo: 'NVFP4',
    group_size: 16,
    kv_cache_scheme: { num_bits: 8 },
    ...more,
  });

  test.each([
    ['compressed-tensors', nv, 5, 64],
    ['modelopt', modelopt(), 5, 48],
    ['modelopt', modelopt({ ignore: ['lm_head', 'mm*'] }), 3, 144],
  ] as const)('nvfp4 of %s, %#', async (maker, config, rows, cols) => {
    const { checkpoint, numbers } = await encoded(nvfp4Encoding(maker), rows, cols);
    const matrix = findMatrix(checkpoint, config, 'm', { rows, cols })!;
    expect(matrix.layout).toEqual({ kind: 'nvfp4' });
    const found = await numbersOf(matrix);
    expect(found.all).toEqual([...numbers]);
    expect(found.rows).toEqual([...numbers]);
  });

  test('mxfp4 of compressed-tensors', async () => {
    const { checkpoint, numbers } = await encoded(mxfp4RowsEncoding, 7, 96);
    const matrix = findMatrix(checkpoint, mx, 'm', { rows: 7, cols: 96 })!;
    expect(matrix.layout).toEqual({ kind: 'mxfp4' });
    expect((await numbersOf(matrix)).rows).toEqual([...numbers]);
  });

  test.each<[string, Json, Change, RegExp]>([
    ['a listed module', modelopt({ ignore: ['m'] }), undefined, /ignore says/],
    ['another algorithm', modelopt({ quant_algo: 'W4A8_AWQ' }), undefined, /W4A8_AWQ/],
    ['groups of 32', modelopt({ group_size: 32 }), undefined, /group_size/],
    ['no scale for all', modelopt(), drop('weight_scale_2'), /weight_scale_2/],
    ['NaN for all', modelopt(), poke('weight_scale_2', 0, 0, 0, 192, 127), /no numbers/],
    ['a scale of NaN', modelopt(), poke('weight_scale', 1, 0x7f), /no numbers/],
    [
      'scales of another type',
      modelopt(),
      (t) => (t['m.weight_scale'] = { ...t['m.weight_scale']!, dtype: 'U8' }),
      /has type U8/,
    ],
    ['weights of another type', modelopt(), (t) => (t['m.weight'] = { ...t['m.weight']!, dtype: 'I8' }), /has type I8/],
  ])('refused: %s', async (_, config, change, message) => {
    await expect(readBack(nvfp4Encoding('modelopt'), config, 4, 64, change)).rejects.toThrow(message);
  });

  test('refused: columns that are no whole groups, a divisor of 0', async () => {
    const { checkpoint } = await encoded(nvfp4Encoding('modelopt'), 4, 64);
    expect(() => findMatrix(checkpoint, modelopt(), 'm', { rows: 4, cols: 60 })).toThrow(/groups of 16/);
    await expect(
      readBack(nvfp4Encoding('compressed-tensors'), nv, 4, 64, poke('weight_global_scale', 0, 0, 0, 0, 0)),
    ).rejects.toThrow(/no numbers/);
  });
});
