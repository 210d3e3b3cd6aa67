/** Types whose weights are a scale times a small integer: they fit 8-bit groups exactly. */
import { f16ToF32 } from '../../../util/half.ts';
import { planes, type Layout, type MatrixShape } from '../../layout.ts';
import { halfAt, NO_WORDS, type BlockCodec } from './codec.ts';

type IntLayout = Extract<Layout, { kind: 'int' }>;

interface ByteBlock {
  readonly weights: 32 | 256;
  readonly bytes: number;
  readonly layout: IntLayout;
  /** What stands for 0: added to each integer. */
  readonly zero: number;
  /** Integers of the block at `at`, plus `zero`. */
  values(b: Uint8Array, at: number, out: Uint8Array, to: number): void;
  /** The scale of group `g` of the block: bits of f16, or an f32, as the layout says. */
  scale(b: Uint8Array, at: number, g: number): number;
}

function codec(block: ByteBlock): BlockCodec {
  const { layout, zero } = block;
  return {
    layout,
    exact: true,
    rows(bytes, { rows, cols }: MatrixShape) {
      const p = planes(layout, { rows, cols });
      const values = new Uint8Array(rows * cols);
      const scales = new Uint32Array(rows * p.scaleRowWords);
      const scaleCells = layout.scale === 'f32' ? new Float32Array(scales.buffer) : new Uint16Array(scales.buffer);
      const scaleRow = scaleCells.length / rows;
      const groups = block.weights / layout.group;
      for (let row = 0, at = 0, to = 0; row < rows; row++) {
        for (let g = 0; g < p.groups; at += block.bytes, to += block.weights) {
          block.values(bytes, at, values, to);
          for (let i = 0; i < groups; i++, g++) scaleCells[row * scaleRow + g] = block.scale(bytes, at, i);
        }
      }
      const zeros = layout.zeros ? new Uint32Array(rows * p.zeroRowWords).fill(zero * 0x01010101) : NO_WORDS;
      return { values: new Uint32Array(values.buffer), scales, zeros };
    },
  };
}

const BYTES: IntLayout = { kind: 'int', bits: 8, group: 32, scale: 'f16', zeros: false };
const SIGNED = 128;

/** d q. */
export const q80 = codec({
  weights: 32,
  bytes: 34,
  layout: BYTES,
  zero: SIGNED,
  values(b, at, out, to) {
    for (let i = 0; i < 32; i++) out[to + i] = b[at + 2 + i]! ^ 0x80;
  },
  scale: halfAt,
});

/** d (q - 16), the fifth bits in four bytes of their own. */
export const q50 = codec({
  weights: 32,
  bytes: 22,
  layout: BYTES,
  zero: SIGNED,
  values(b, at, out, to) {
    for (let j = 0; j < 16; j++) {
      const [low, high] = [fifth(b, at + 2, j), fifth(b, at + 2, j + 16)];
      out[to + j] = SIGNED - 16 + ((b[at + 6 + j]! & 15) | low);
      out[to + j + 16] = SIGNED - 16 + ((b[at + 6 + j]! >> 4) | high);
    }
  },
  scale: halfAt,
});

/** 16 where bit `i` is set. */
export const fifth = (b: Uint8Array, at: number, i: number): number => ((b[at + (i >> 3)]! >> (i & 7)) & 1) << 4;

/** The levels of IQ4: denser around 0. */
const IQ4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113].map((v) => v + SIGNED);

function levels(b: Uint8Array, at: number, out: Uint8Array, to: number): void {
  for (let j = 0; j < 16; j++) {
    out[to + j] = IQ4[b[at + j]! & 15]!;
    out[to + j + 16] = IQ4[b[at + j]! >> 4]!;
  }
}

export const iq4nl = codec({
  weights: 32,
  bytes: 18,
  layout: BYTES,
  zero: SIGNED,
  values: (b, at, out, to) => levels(b, at + 2, out, to),
  scale: halfAt,
});

/** f16 d, u16 high bits and 4 bytes of low bits of eight scales, 128 bytes. d (s - 32) has 17 significant bits: an f32 holds it. */
export const iq4xs = codec({
  weights: 256,
  bytes: 136,
  layout: { ...BYTES, scale: 'f32' },
  zero: SIGNED,
  values(b, at, out, to) {
    for (let g = 0; g < 8; g++) levels(b, at + 8 + 16 * g, out, to + 32 * g);
  },
  scale(b, at, g) {
    const low = (b[at + 4 + (g >> 1)]! >> (4 * (g & 1))) & 15;
    const high = (halfAt(b, at + 2) >> (2 * g)) & 3;
    return f16ToF32(halfAt(b, at)) * ((low | (high << 4)) - 32);
  },
});

/** (s - 32)(q - 4), from -124 to 128: one more than a signed byte holds, so 0 is at 127. */
const Q3K_ZERO = 127;

/** d (s - 32)(q - 4): 32 bytes of third bits (inverted), 64 of two bits, 12 of sixteen 6-bit scales, f16 d for all 256. */
export const q3k = codec({
  weights: 256,
  bytes: 110,
  layout: { kind: 'int', bits: 8, group: 256, scale: 'f16', zeros: true },
  zero: Q3K_ZERO,
  values(b, at, out, to) {
    for (let i = 0; i < 256; i++) {
      const shift = 2 * ((i >> 5) & 3);
      const low = (b[at + 32 + 32 * (i >> 7) + (i & 31)]! >> shift) & 3;
      const third = (b[at + (i & 31)]! >> (i >> 5)) & 1;
      out[to + i] = Q3K_ZERO + q3kScale(b, at + 96, i >> 4) * (low - (third ? 0 : 4));
    }
  },
  scale: (b, at) => halfAt(b, at + 108),
});

/** Scale j of 16, less 32: four bits in the first 8 bytes, the low halves first, two in the last 4. */
function q3kScale(b: Uint8Array, at: number, j: number): number {
  const low = (b[at + (j & 7)]! >> (4 * (j >> 3))) & 15;
  const high = (b[at + 8 + (j & 3)]! >> (2 * (j >> 2))) & 3;
  return (low | (high << 4)) - 32;
}
