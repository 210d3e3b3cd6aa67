/** bitsandbytes: codes of 4 bits in blocks that follow each other through the matrix, and int8. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../../../src/config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../../src/errors.ts';
import { findMatrix } from '../../../../src/weights/formats/index.ts';
import { drop, encoded, numbersOf, poke, readBack } from '../../../support/encoded.ts';
import { bnb4Encoding, bnb8Encoding, tensor, type BnbOptions } from '../../../support/encodings.ts';

type Change = Parameters<typeof readBack>[4];

const config = (more: Record<string, Json> = {}): Json => ({
  quant_method: 'bitsandbytes',
  load_in_4bit: true,
  load_in_8bit: false,
  bnb_4bit_compute_dtype: 'bfloat16',
  bnb_4bit_quant_storage: 'uint8',
  bnb_4bit_quant_type: 'nf4',
  bnb_4bit_use_double_quant: true,
  llm_int8_enable_fp32_cpu_offload: false,
  llm_int8_has_fp16_weight: false,
  llm_int8_skip_modules: ['lm_head'],
  llm_int8_threshold: 6,
  ...more,
});

describe('4 bits', () => {
  test.each<[BnbOptions, number, number, number]>([
    [{ kind: 'nf4' }, 5, 128, 64],
    [{ kind: 'nf4', nested: true }, 70, 256, 64],
    [{ kind: 'fp4' }, 3, 64, 64],
    [{ kind: 'fp4', nested: true, block: 128 }, 4, 128, 128],
    [{ kind: 'nf4' }, 5, 96, 32], // blocks run over the ends of rows
    [{ kind: 'nf4', block: 4096 }, 3, 64, 32],
  ])('%o, [%i, %i]: groups of %i', async (o, rows, cols, group) => {
    const { checkpoint, numbers } = await encoded(bnb4Encoding(o), rows, cols);
    const matrix = findMatrix(checkpoint, config(), 'm', { rows, cols })!;
    expect(matrix.layout).toEqual({ kind: o.kind, group });
    const found = await numbersOf(matrix);
    expect(found.all).toEqual([...numbers]);
    expect(found.rows).toEqual([...numbers]);
  });

  test.each([
    [3, 45],
    [1, 33],
  ])('rows of no whole chunks, [%i, %i]: as floats', async (rows, cols) => {
    const { checkpoint, numbers } = await encoded(bnb4Encoding({ kind: 'nf4', nested: true }), rows, cols);
    const matrix = findMatrix(checkpoint, config(), 'm', { rows, cols })!;
    expect(matrix.layout).toEqual({ kind: 'f32' });
    const found = await numbersOf(matrix);
    expect(found.all).toEqual([...numbers].map(Math.fround));
    expect(found.rows).toEqual(found.all);
  });

  const json = (state: Record<string, unknown>): Change => {
    const bytes = new TextEncoder().encode(
      JSON.stringify({ quant_type: 'nf4', blocksize: 64, shape: [4, 64], ...state }),
    );
    return (t) => (t['m.weight.quant_state.bitsandbytes__nf4'] = tensor('U8', [bytes.length], bytes));
  };
  test.each<[string, Json, Change, RegExp]>([
    ['a listed module', config({ llm_int8_skip_modules: ['m'] }), undefined, /llm_int8_skip_modules/],
    ['another type', config({ bnb_4bit_quant_type: 'int4' }), undefined, /int4/],
    ['another storage', config({ bnb_4bit_quant_storage: 'bfloat16' }), undefined, /bnb_4bit_quant_storage/],
    ['an unknown key', config({ outliers: 3 }), undefined, /outliers/],
    ['no JSON', config(), drop('weight.quant_state.bitsandbytes__nf4'), /quant_state/],
    ['no values', config(), drop('weight.quant_map'), /quant_map/],
    ['JSON that is none', config(), poke('weight.quant_state.bitsandbytes__nf4', 0, 65), /quant_state/],
    ['another shape in it', config(), json({ shape: [64, 4] }), /shape/],
    ['another block size in it', config(), json({ blocksize: 128 }), /blocksize/],
    ['values that nobody knows', config(), poke('weight.quant_map', 4, 0, 0, 0, 63), /values of NF4/],
    [
      'too few scales',
      config(),
      (t) => (t['m.weight.absmax'] = tensor('F32', [3], new Float32Array(3))),
      /absmax has 3/,
    ],
    ['too few weights', config(), (t) => (t['m.weight'] = tensor('U8', [64, 1], new Uint8Array(64))), /wrong|shape/],
    [
      'no inner scales',
      config(),
      (t) => (t['m.weight.absmax'] = tensor('U8', [4], new Uint8Array(4))),
      /nested_absmax/,
    ],
  ])('refused: %s', async (_, settings, change, message) => {
    const read = (): Promise<unknown> => readBack(bnb4Encoding({ kind: 'nf4' }), settings, 4, 64, change);
    await expect(read()).rejects.toThrow(message);
    const error: unknown = await read().catch((e: unknown) => e);
    expect(error instanceof InvalidCheckpoint || error instanceof UnsupportedModel).toBe(true);
  });
});

describe('int8', () => {
  test.each([
    [5, 64],
    [3, 45],
  ])('[%i, %i]', async (rows, cols) => {
    const { checkpoint, numbers } = await encoded(bnb8Encoding, rows, cols);
    const matrix = findMatrix(checkpoint, config({ load_in_8bit: true }), 'm', { rows, cols })!;
    expect(matrix.layout).toEqual({ kind: 'int', bits: 8, group: cols, scale: 'f32', zeros: false });
    const found = await numbersOf(matrix);
    expect(found.all).toEqual([...numbers]);
    expect(found.rows).toEqual([...numbers]);
  });

  test('refused: scales of another length', async () => {
    await expect(
      readBack(bnb8Encoding, config(), 4, 32, (t) => (t['m.SCB'] = tensor('F32', [3], new Float32Array(3)))),
    ).rejects.toThrow(/SCB has the shape/);
  });
});
