/** Every block type against the values that ggml's own Python package computed (blocks.py). */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { decodeMatrix } from '../../../../src/reference/weights.ts';
import { BLOCK_TYPES } from '../../../../src/weights/gguf/block-types.ts';
import { CODECS } from '../../../../src/weights/gguf/blocks/index.ts';
import { planes } from '../../../../src/weights/layout.ts';

interface Recorded {
  /** Hexadecimal. */
  readonly blocks: string;
  readonly values: readonly number[];
}

const RECORDED = JSON.parse(readFileSync('test/fixtures/ggml-blocks.json', 'utf8')) as Record<string, Recorded>;
const bytesOf = (hex: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(hex, 'hex'));

/** The blocks as `rows` rows, through the codec and the layout's own decoder. */
function decode(name: string, rows: number): number[] {
  const { blocks, values } = RECORDED[name]!;
  const codec = CODECS.get(name)!;
  const shape = { rows, cols: values.length / rows };
  const native = codec.rows(bytesOf(blocks), shape);
  const p = planes(codec.layout, shape);
  const words = new Uint32Array(p.bytes / 4);
  words.set(native.values);
  words.set(native.scales, p.scalesAt / 4);
  words.set(native.zeros, p.zerosAt / 4);
  return [...decodeMatrix(words, codec.layout, shape)];
}

test('all types are recorded', () => {
  expect(Object.keys(RECORDED).sort()).toEqual([...CODECS.keys()].sort());
});

const EXACT = ['Q4_0', 'Q5_0', 'Q8_0', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K', 'IQ4_NL', 'IQ4_XS', 'MXFP4'];

test.each(Object.keys(RECORDED))('%s', (name) => {
  const { blocks, values } = RECORDED[name]!;
  const type = [...BLOCK_TYPES.values()].find((t) => t.name === name)!;
  expect(blocks.length / 2 / type.bytes).toBe(values.length / type.weights);
  const codec = CODECS.get(name)!;
  expect(codec.exact).toBe(EXACT.includes(name));
  for (const rows of [1, 2]) {
    const found = decode(name, rows);
    expect(found.length).toBe(values.length);
    found.forEach((value, i) => {
      const wanted = values[i]!;
      // One rounding of the product in f32; beyond that f16's, half of 2^-10 of the value, and of its smallest step 2^-24 near 0.
      const allowed = codec.exact ? Math.abs(wanted) * 2 ** -23 : Math.abs(wanted) * 2 ** -11 * 1.001 + 2 ** -25;
      expect(Math.abs(value - wanted), `${name} ${i}: ${value} for ${wanted}`).toBeLessThanOrEqual(allowed);
    });
  }
});

test('a scale that is no number is refused', () => {
  const bytes = bytesOf(RECORDED.Q4_K!.blocks);
  bytes[0] = 0;
  bytes[1] = 0x7c;
  expect(() => CODECS.get('Q4_K')!.rows(bytes, { rows: 1, cols: 512 })).toThrow(/damaged/);
});
