/** Every code of every small number type, against values put together from sign, exponent and mantissa as text. */
import { describe, expect, test } from 'vitest';
import { decodeFloats, DTYPES, dtypeBits, type DType } from '../../../src/weights/safetensors/dtype.ts';
import { openCheckpoint } from '../../../src/weights/checkpoint.ts';
import { readBytes } from '../../../src/weights/source.ts';
import { bytesOf, concat, memorySource, safetensors } from '../../support/weights.ts';

const decode = (dtype: DType, bytes: Uint8Array): number[] => [...decodeFloats({ dtype, name: 't' }, bytes)];
const all256 = Uint8Array.from({ length: 256 }, (_, i) => i);
const same = (actual: readonly number[], expected: (code: number) => number): void => {
  const wrong = actual.findIndex((v, code) => !Object.is(v, expected(code)));
  expect(wrong < 0 ? null : `code ${wrong}: ${actual[wrong]}, expected ${expected(wrong)}`).toBeNull();
};

/** sign.exponent.mantissa with the given widths; `infinities`: the top exponent is IEEE's. */
function float(code: number, exponentBits: number, mantissaBits: number, bias: number, infinities: boolean): number {
  const bits = code.toString(2).padStart(1 + exponentBits + mantissaBits, '0');
  const sign = bits[0] === '1' ? -1 : 1;
  const exponent = parseInt(bits.slice(1, 1 + exponentBits), 2);
  const mantissa = parseInt(bits.slice(1 + exponentBits), 2);
  if (infinities && exponent === 2 ** exponentBits - 1) return mantissa === 0 ? sign * Infinity : NaN;
  const unit = 2 ** -mantissaBits;
  return sign * (exponent === 0 ? mantissa * unit * 2 ** (1 - bias) : (1 + mantissa * unit) * 2 ** (exponent - bias));
}

describe('8-bit types, all 256 codes', () => {
  const tables: [DType, (code: number) => number][] = [
    ['F8_E4M3', (c) => (c === 0x7f || c === 0xff ? NaN : float(c, 4, 3, 7, false))],
    ['F8_E5M2', (c) => float(c, 5, 2, 15, true)],
    ['F8_E8M0', (c) => (c === 0xff ? NaN : Math.pow(2, c - 127))],
    ['F8_E4M3FNUZ', (c) => (c === 0x80 ? NaN : float(c, 4, 3, 8, false))],
    ['F8_E5M2FNUZ', (c) => (c === 0x80 ? NaN : float(c, 5, 2, 16, false))],
    ['U8', (c) => c],
    ['I8', (c) => (c < 128 ? c : c - 256)],
    // V03: any bit makes true.
    ['BOOL', (c) => (c === 0 ? 0 : 1)],
  ];
  test.each(tables)('%s', (dtype, expected) => {
    same(decode(dtype, all256), expected);
  });

  test('known values', () => {
    expect(decode('F8_E4M3', Uint8Array.of(0x7e, 0x01, 0x80))).toEqual([448, 2 ** -9, -0]);
    expect(decode('F8_E4M3FNUZ', Uint8Array.of(0x7f, 0xff))).toEqual([240, -240]);
    expect(decode('F8_E5M2FNUZ', Uint8Array.of(0x7f))).toEqual([57344]);
    expect(decode('F8_E8M0', Uint8Array.of(0, 127, 254))).toEqual([2 ** -127, 1, 2 ** 127]);
  });
});

test('16-bit types, all 65,536 codes', () => {
  const codes = bytesOf(Uint16Array.from({ length: 65536 }, (_, i) => i));
  same(decode('F16', codes), (c) => float(c, 5, 10, 15, true));
  same(decode('BF16', codes), (c) => float(c, 8, 7, 127, true));
  same(decode('U16', codes), (c) => c);
  same(decode('I16', codes), (c) => (c < 32768 ? c : c - 65536));
});

test('V01: special values of the wide types keep their bits', () => {
  const bits = Uint32Array.of(0x7f800000, 0xff800000, 0x80000000, 1, 0x807fffff, 0x7fc00001, 0x3f800000);
  const out = decodeFloats({ dtype: 'F32', name: 't' }, bytesOf(bits));
  expect([...new Uint32Array(out.buffer)]).toEqual([...bits]);
  const doubles = Float64Array.of(Infinity, -0, 1e300, 1e-300, 0.1, NaN, 1 + 2 ** -24, 1 + 2 ** -23 + 2 ** -24);
  expect(decode('F64', bytesOf(doubles))).toEqual([Infinity, -0, Infinity, 0, Math.fround(0.1), NaN, 1, 1 + 2 ** -22]);
});

test('integers round once, to nearest even', () => {
  expect(decode('I32', bytesOf(Int32Array.of(-(2 ** 31), 2 ** 24 + 1, 7)))).toEqual([-(2 ** 31), 2 ** 24, 7]);
  expect(decode('U32', bytesOf(Uint32Array.of(2 ** 32 - 1)))).toEqual([2 ** 32]);
  // 2^60 + 2^36 is half way between two floats; one more decides, though a double cannot hold it.
  const half = 2n ** 60n + 2n ** 36n;
  expect(decode('I64', bytesOf(BigInt64Array.of(half, half + 1n, half - 1n, -half - 1n, -5n)))).toEqual([
    2 ** 60,
    2 ** 60 + 2 ** 37,
    2 ** 60,
    -(2 ** 60) - 2 ** 37,
    -5,
  ]);
  expect(decode('U64', bytesOf(BigUint64Array.of(2n ** 64n - 1n, 3n)))).toEqual([2 ** 64, 3]);
});

test('T05: types that are known but not read as numbers', () => {
  for (const dtype of ['F4', 'F6_E2M3', 'F6_E3M2', 'C64'] as const) {
    expect(() => decode(dtype, new Uint8Array(24))).toThrow(
      expect.objectContaining({ fault: 'unsupported-dtype' }) as Error,
    );
  }
  const read = DTYPES.filter((d) => !['F4', 'F6_E2M3', 'F6_E3M2', 'C64'].includes(d));
  for (const dtype of read) expect(decode(dtype, new Uint8Array(dtypeBits(dtype) / 8)).length).toBe(1);
  expect(DTYPES.length).toBe(22);
  expect(() => decode('F32', new Uint8Array(5))).toThrow(expect.objectContaining({ fault: 'size' }) as Error);
});

test('O14, O15: data on an odd byte, and an odd number of 16-bit values', async () => {
  const floats = Float32Array.of(1.5, -2.25, 3e-5);
  const halves = Uint16Array.of(0x3c00, 0xc000, 0x0001);
  const tensors = {
    f: { dtype: 'F32', shape: [3], bytes: bytesOf(floats) },
    h: { dtype: 'F16', shape: [3], bytes: bytesOf(halves) },
    last: { dtype: 'BF16', shape: [1], bytes: bytesOf(Uint16Array.of(0x4000)) },
  };
  for (const padding of ['', ' ', '  ', '   ']) {
    const file = safetensors(tensors, { padding });
    const checkpoint = await openCheckpoint(memorySource({ 'model.safetensors': file }));
    const values = async (name: string): Promise<number[]> => {
      const info = checkpoint.tensor(name);
      const bytes = await readBytes(checkpoint.source, info.file, info.begin, info.end);
      // An odd offset in memory too.
      return [...decodeFloats(info, concat(Uint8Array.of(9), bytes).subarray(1))];
    };
    expect(await values('f')).toEqual([...floats]);
    expect(await values('h')).toEqual([1, -2, 2 ** -24]);
    expect(await values('last')).toEqual([2]);
  }
});
