/** compressed-tensors' integers beside those of test/unit/weights/formats.test.ts: one a byte, and columns in an order of their own. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../../../src/config/read.ts';
import { findMatrix } from '../../../../src/weights/formats/index.ts';
import { encoded, numbersOf, poke, readBack } from '../../../support/encoded.ts';
import { intBytesEncoding, tensor, type BytesOptions } from '../../../support/encodings.ts';
import { packed, type Encoding } from '../../../support/synthetic.ts';

const config = (format: string, weights: Record<string, Json>): Json => ({
  quant_method: 'compressed-tensors',
  format,
  config_groups: { group_0: { targets: ['Linear'], weights: { type: 'int', ...weights } } },
});

describe('int-quantized', () => {
  test.each<[BytesOptions, string, number, number]>([
    [{ group: null }, 'int-quantized', 5, 64],
    [{ group: null }, 'naive-quantized', 5, 45],
    [{ group: null, zeros: true }, 'int-quantized', 6, 50],
    [{ group: 32 }, 'int-quantized', 3, 96],
    [{ group: 64, zeros: true, bits: 4 }, 'int-quantized', 4, 128],
  ])('%o, %s, [%i, %i]', async (o, format, rows, cols) => {
    const { checkpoint, numbers } = await encoded(intBytesEncoding(o), rows, cols);
    const strategy = o.group === null ? 'channel' : 'group';
    const settings = { num_bits: o.bits ?? 8, strategy, group_size: o.group, symmetric: !o.zeros };
    const matrix = findMatrix(checkpoint, config(format, settings), 'm', { rows, cols })!;
    expect(matrix.layout).toMatchObject({ kind: 'int', bits: 8, zeros: o.zeros ?? false });
    const found = await numbersOf(matrix);
    expect(found.all).toEqual([...numbers]);
    expect(found.rows).toEqual([...numbers]);
  });

  test('refused: unsigned bytes', async () => {
    const settings = config('int-quantized', { num_bits: 8, strategy: 'channel' });
    await expect(
      readBack(intBytesEncoding({ group: null }), settings, 4, 32, (t) => {
        t['m.weight'] = { ...t['m.weight']!, dtype: 'U8' };
      }),
    ).rejects.toThrow(/has type U8/);
  });
});

describe('act-order', () => {
  const [rows, cols] = [4, 96];
  const groupOf = Int32Array.from({ length: cols }, (_, k) => (7 * k) % 3);
  /** Scales by `groupOf` in place of those by neighbours: W divided by the one, times the other. */
  const ordered =
    (zeros?: 'packed' | 'i8'): Encoding =>
    (wanted) => {
      const base = packed({ bits: 4, group: 32, scale: 'F32', ...(zeros ? { zeros } : {}) })(wanted);
      const scale = new Float32Array(Uint8Array.from(base.stored['m.weight_scale']!.bytes).buffer);
      const words = new Uint32Array(Uint8Array.from(base.stored['m.weight_packed']!.bytes).buffer);
      const point = new Int8Array(Uint8Array.from(base.stored['m.weight_zero_point']?.bytes ?? []).buffer);
      const numbers = Float64Array.from({ length: rows * cols }, (_, i) => {
        const [n, k] = [Math.floor(i / cols), i % cols];
        const q = ((words[n * 12 + (k >> 3)]! >>> (4 * (k % 8))) & 15) - 8;
        const g = n * 3 + groupOf[k]!;
        return Math.fround(scale[g]! * (q - (zeros ? point[g]! : 0)));
      });
      return { numbers, stored: { ...base.stored, 'm.weight_g_idx': tensor('I32', [cols], groupOf) } };
    };
  const settings = (symmetric: boolean): Json =>
    config('pack-quantized', { num_bits: 4, strategy: 'group', group_size: 32, actorder: 'group', symmetric });

  test.each([undefined, 'i8'] as const)('as floats, exactly, zero points: %s', async (zeros) => {
    const { checkpoint, numbers } = await encoded(ordered(zeros), rows, cols);
    const matrix = findMatrix(checkpoint, settings(!zeros), 'm', { rows, cols })!;
    expect(matrix.layout).toEqual({ kind: 'f32' });
    expect(matrix.format).toMatch(/act-order$/);
    const found = await numbersOf(matrix);
    expect(found.all).toEqual([...numbers]);
    expect(found.rows).toEqual([...numbers]);
  });

  test('refused: a group that is not there', async () => {
    await expect(readBack(ordered(), settings(true), rows, cols, poke('weight_g_idx', 0, 3))).rejects.toThrow(
      /group 3, but there are 3/,
    );
  });
});
