/** Super-blocks of 256 weights with scales of 6 or 8 bits, as native layouts keep them: bits change their places, no number changes. */
import { InvalidCheckpoint } from '../../../errors.ts';
import { K_BLOCK, planes, type KLayout, type MatrixShape } from '../../layout.ts';
import { halfAt, NO_WORDS, type BlockCodec } from './codec.ts';
import { q4k as q4kFloats, q5k as q5kFloats, q6k as q6kFloats } from './floats.ts';

interface KBlock {
  readonly layout: KLayout;
  readonly bytes: number;
  readonly floats: BlockCodec;
  /** Where the halves of a block are. */
  readonly halves: readonly number[];
  /** All bits of weight `i` of the block at `at`. */
  weight(b: Uint8Array, at: number, i: number): number;
  /** Scales of block `index` of a row. */
  scales(b: Uint8Array, at: number, row: Uint8Array, index: number): void;
}

const EXPONENT = 0x7c00;

/** The bits above the low four, of `bits` each: of weight i of quad j at bit 8 i + bits j. */
function putHigh(out: Uint8Array, to: number, bits: number, i: number, high: number): void {
  const quad = i >> 2;
  const perWord = 8 / bits;
  const word = Math.floor(quad / perWord);
  out[to + 4 * word + (i & 3)]! |= high << (bits * (quad % perWord));
}

const codec = (block: KBlock): BlockCodec => ({
  layout: block.layout,
  exact: true,
  floats: block.floats,
  rows(bytes, shape: MatrixShape) {
    const p = planes(block.layout, shape);
    const values = new Uint8Array(shape.rows * p.valueRowWords * 4);
    const scales = new Uint8Array(shape.rows * p.scaleRowWords * 4);
    const highs = new Uint8Array(shape.rows * p.zeroRowWords * 4);
    const highBits = p.zeroRowWords / p.chunks;
    for (let b = 0; b * block.bytes < bytes.length; b++) {
      const at = b * block.bytes;
      for (const half of block.halves)
        if ((halfAt(bytes, at + half) & EXPONENT) === EXPONENT)
          throw new InvalidCheckpoint(
            'not-finite',
            'A scale of quantised weights is no number: the file is damaged',
            {},
          );
      for (let i = 0; i < K_BLOCK; i++) {
        const q = block.weight(bytes, at, i);
        const chunk = b * (K_BLOCK / 32) + (i >> 5);
        values[16 * chunk + 4 * ((i >> 3) & 3) + (i & 3)]! |= (q & 15) << (i & 4);
        if (highBits > 0) putHigh(highs, 4 * highBits * chunk, highBits, i & 31, q >> 4);
      }
      const row = Math.floor(b / p.groups);
      const rowBytes = p.scaleRowWords * 4;
      block.scales(bytes, at, scales.subarray(row * rowBytes, (row + 1) * rowBytes), b % p.groups);
    }
    return {
      values: new Uint32Array(values.buffer),
      scales: new Uint32Array(scales.buffer),
      zeros: highBits > 0 ? new Uint32Array(highs.buffer) : NO_WORDS,
    };
  },
});

/** The first 16 bytes: d, dmin, twelve bytes of scales and minimums. */
const copyHead = (b: Uint8Array, at: number, row: Uint8Array, index: number): void =>
  row.set(b.subarray(at, at + 16), 16 * index);

const nibble = (b: Uint8Array, at: number, i: number): number =>
  (b[at + 32 * (i >> 6) + (i & 31)]! >> ((i >> 3) & 4)) & 15;

export const q4k = codec({
  layout: { kind: 'q4_k' },
  bytes: 144,
  floats: q4kFloats,
  halves: [0, 2],
  weight: (b, at, i) => nibble(b, at + 16, i),
  scales: copyHead,
});

export const q5k = codec({
  layout: { kind: 'q5_k' },
  bytes: 176,
  floats: q5kFloats,
  halves: [0, 2],
  weight: (b, at, i) => nibble(b, at + 48, i) | (((b[at + 16 + (i & 31)]! >> (i >> 5)) & 1) << 4),
  scales: copyHead,
});

export const q6k = codec({
  layout: { kind: 'q6_k' },
  bytes: 210,
  floats: q6kFloats,
  halves: [208],
  weight(b, at, i) {
    const low = (b[at + 64 * (i >> 7) + (i & 63)]! >> ((i >> 4) & 4)) & 15;
    const high = (b[at + 128 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
    return low | (high << 4);
  },
  /** Bytes of all blocks, then their halves. */
  scales(b, at, row, index) {
    row.set(b.subarray(at + 192, at + 208), 16 * index);
    const halves = 16 * Math.floor(row.length / 18);
    row.set(b.subarray(at + 208, at + 210), halves + 2 * index);
  },
});
