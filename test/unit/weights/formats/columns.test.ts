/** GPTQ and AWQ, every form, against numbers computed with the integers that were packed. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../../../src/config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../../src/errors.ts';
import { findMatrix } from '../../../../src/weights/formats/index.ts';
import { drop, encoded, numbersOf, poke, readBack, type Tensors } from '../../../support/encoded.ts';
import { awqEncoding, gptqEncoding, tensor, type ColumnOptions } from '../../../support/encodings.ts';

const gptq = (o: ColumnOptions, more: Record<string, Json> = {}): Json => ({
  quant_method: 'gptq',
  bits: o.bits ?? 4,
  group_size: o.group ?? -1,
  desc_act: o.actOrder ?? false,
  sym: o.sym ?? false,
  ...(o.version === 2 ? { checkpoint_format: 'gptq_v2' } : {}),
  ...more,
});
const awq = (group: number | null, more: Record<string, Json> = {}): Json => ({
  quant_method: 'awq',
  bits: 4,
  group_size: group ?? -1,
  version: 'gemm',
  zero_point: true,
  ...more,
});

describe('gptq', () => {
  test('a bias of zeros that nobody announced is passed over; any other is refused', async () => {
    const o = { group: 32 };
    const withBias = (value: number) => (t: Tensors) =>
      void (t['m.bias'] = tensor('F16', [24], new Uint16Array(24).fill(value, 5, 6)));
    await expect(readBack(gptqEncoding(o), gptq(o), 24, 96, withBias(0))).resolves.toBeDefined();
    await expect(readBack(gptqEncoding(o), gptq(o), 24, 96, withBias(0x3c00))).rejects.toThrow(
      /m\.bias is not all zeros/,
    );
    // One that the model reads is none of this file's business.
    const { checkpoint } = await encoded(gptqEncoding(o), 24, 96, withBias(0x3c00));
    checkpoint.tensor('m.bias');
    await findMatrix(checkpoint, gptq(o), 'm', { rows: 24, cols: 96 })!.read(0, 1);
  });

  test.each<[ColumnOptions, number, number]>([
    [{ group: 32 }, 24, 96],
    [{ group: 64, sym: true }, 16, 128],
    [{ group: 128 }, 20, 160],
    [{ group: null }, 8, 40],
    [{ group: 32, version: 2 }, 24, 64],
    [{ bits: 8, group: 32 }, 12, 96],
    [{ bits: 8, group: null, version: 2 }, 12, 44],
    [{ bits: 8, group: 64, sym: true }, 9, 128],
  ])('%o, [%i, %i]: the integers as they are', async (o, rows, cols) => {
    const { checkpoint, numbers } = await encoded(gptqEncoding(o), rows, cols);
    const matrix = findMatrix(checkpoint, gptq(o), 'm', { rows, cols })!;
    expect(matrix.layout).toEqual({
      kind: 'int',
      bits: o.bits ?? 4,
      group: Math.min(o.group ?? cols, cols),
      scale: 'f16',
      zeros: true,
    });
    const found = await numbersOf(matrix);
    expect(found.all).toEqual([...numbers]);
    expect(found.rows).toEqual([...numbers]);
  });

  test.each<[ColumnOptions, number, number]>([
    [{ group: 32, actOrder: true }, 24, 96],
    [{ bits: 8, group: 64, actOrder: true, version: 2 }, 8, 160],
    [{ group: 16 }, 8, 64], // a size that no native layout has
  ])('%o, [%i, %i]: as floats, exactly', async (o, rows, cols) => {
    const { checkpoint, numbers } = await encoded(gptqEncoding(o), rows, cols);
    const matrix = findMatrix(checkpoint, gptq(o), 'm', { rows, cols })!;
    expect(matrix.layout).toEqual({ kind: 'f32' });
    expect(matrix.format).toMatch(o.actOrder ? /act-order/ : /g16$/);
    const found = await numbersOf(matrix);
    expect(found.all).toEqual([...numbers]);
    expect(found.rows).toEqual([...numbers]);
  });

  const o: ColumnOptions = { group: 32 };
  const read = (config: Json, change?: Parameters<typeof readBack>[4], options = o): ReturnType<typeof readBack> =>
    readBack(gptqEncoding(options), config, 16, 64, change);

  test('settings of single modules', async () => {
    const other = gptq({ group: 64, bits: 8 }, { dynamic: { '-:q': {}, '+:m': { bits: 4, group_size: 32 } } });
    expect((await read(other)).format).toBe('gptq int4 g32');
    await expect(read(gptq(o, { dynamic: { '-:m$': {} } }))).rejects.toThrow(/dynamic says that it is not/);
    await expect(read(gptq(o, { dynamic: { 'm.*': { bits: 3 } } }))).rejects.toThrow(/bits = 3/);
    await expect(read(gptq(o, { dynamic: { '(?=m)': {} } }))).rejects.toThrow(UnsupportedModel);
  });

  test('no g_idx: columns are in order', async () => {
    expect((await read(gptq(o), drop('g_idx'))).layout.kind).toBe('int');
  });

  test.each<[string, Json, Parameters<typeof readBack>[4], RegExp | string]>([
    ['3 bits', gptq(o, { bits: 3 }), undefined, /bits = 3/],
    ['groups of 0', gptq(o, { group_size: 0 }), undefined, /group_size/],
    ['marlin', gptq(o, { checkpoint_format: 'marlin' }), undefined, /marlin/],
    ['an unknown key', gptq(o, { shuffle: true }), undefined, /shuffle/],
    ['no g_idx where it decides', gptq({ ...o, actOrder: true }), drop('g_idx'), /g_idx/],
    ['a group that is not there', gptq({ ...o, actOrder: true }), poke('g_idx', 0, 99), /group 99, but there are 2/],
    ['a negative group', gptq({ ...o, actOrder: true }), poke('g_idx', 0, 255, 255, 255, 255), /group -1/],
    ['an order that is not announced', gptq(o), poke('g_idx', 0, 1), /does not announce/],
    ['other groups', gptq({ group: 64 }), undefined, /qzeros has the shape/],
    ['other bits', gptq({ group: 32, bits: 8 }), undefined, /qweight has the shape/],
    ['no scales', gptq(o), drop('scales'), /scales/],
    ['no zero points', gptq(o), drop('qzeros'), /qzeros/],
  ])('refused: %s', async (_, config, change, message) => {
    await expect(read(config, change)).rejects.toThrow(message);
    const error: unknown = await read(config, change).catch((e: unknown) => e);
    expect(error instanceof InvalidCheckpoint || error instanceof UnsupportedModel).toBe(true);
  });
});

describe('awq', () => {
  test.each([
    [32, 24, 96],
    [64, 20, 128],
    [null, 16, 40],
  ] as const)('groups of %s, [%i, %i]', async (group, rows, cols) => {
    const { checkpoint, numbers } = await encoded(awqEncoding({ group }), rows, cols);
    const matrix = findMatrix(checkpoint, awq(group), 'm', { rows, cols })!;
    expect(matrix.layout).toMatchObject({ kind: 'int', bits: 4, zeros: true });
    const found = await numbersOf(matrix);
    expect(found.all).toEqual([...numbers]);
    expect(found.rows).toEqual([...numbers]);
  });

  const read = (config: Json, change?: Parameters<typeof readBack>[4]): ReturnType<typeof readBack> =>
    readBack(awqEncoding({ group: 32 }), config, 16, 64, change);

  test('lists name whole parts: "gate" is not gate_proj', async () => {
    expect((await read(awq(32, { modules_to_not_convert: ['m.n', 'mm', 'gate'] }))).format).toBe('awq int4 g32');
    await expect(read(awq(32, { modules_to_not_convert: ['m'] }))).rejects.toThrow(/modules_to_not_convert/);
    await expect(read(awq(32, { modules_to_not_convert: ['*m*'] }))).rejects.toThrow(/modules_to_not_convert/);
  });

  test.each<[string, Json, Parameters<typeof readBack>[4], RegExp]>([
    ['8 bits', awq(32, { bits: 8 }), undefined, /bits = 8/],
    ['gemv', awq(32, { version: 'gemv' }), undefined, /version = "gemv"/],
    ['no zero points', awq(32, { zero_point: false }), undefined, /zero_point = false/],
    ['other groups', awq(64), undefined, /qzeros has the shape/],
    ['the order of GPTQ', awq(32), (t) => (t['m.qweight'] = { ...t['m.qweight']!, shape: [8, 16] }), /qweight/],
    ['no scales', awq(32), drop('scales'), /scales/],
  ])('refused: %s', async (_, config, change, message) => {
    await expect(read(config, change)).rejects.toThrow(message);
  });
});
