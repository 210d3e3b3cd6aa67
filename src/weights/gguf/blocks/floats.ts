/** Values of types with a scale and a minimum, or with scales for 16 weights, rounded to f16: of some, no native layout holds the blocks. */
import { InvalidCheckpoint } from '../../../errors.ts';
import { f16ToF32, f32ToF16 } from '../../../util/half.ts';
import { fifth } from './bytes.ts';
import { halfAt, NO_WORDS, type BlockCodec } from './codec.ts';

interface FloatBlock {
  readonly weights: 32 | 256;
  readonly bytes: number;
  values(b: Uint8Array, at: number, out: Float32Array, to: number): void;
}

const half = (b: Uint8Array, at: number): number => f16ToF32(halfAt(b, at));

const EXPONENT = 0x7c00;

function toHalves(values: Float32Array): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const bits = f32ToF16(values[i]!);
    if ((bits & EXPONENT) === EXPONENT)
      throw new InvalidCheckpoint('not-finite', `A quantised weight is ${values[i]}: the file is damaged`, {});
    out[i] = bits;
  }
  return out;
}

function codec(block: FloatBlock): BlockCodec {
  return {
    layout: { kind: 'f16' },
    exact: false,
    rows(bytes) {
      const blocks = bytes.length / block.bytes;
      const values = new Float32Array(blocks * block.weights);
      for (let i = 0; i < blocks; i++) block.values(bytes, i * block.bytes, values, i * block.weights);
      return { values: new Uint32Array(toHalves(values).buffer), scales: NO_WORDS, zeros: NO_WORDS };
    },
  };
}

/** d q + m. */
export const q41 = codec({
  weights: 32,
  bytes: 20,
  values(b, at, out, to) {
    const [d, m] = [half(b, at), half(b, at + 2)];
    for (let j = 0; j < 16; j++) {
      out[to + j] = d * (b[at + 4 + j]! & 15) + m;
      out[to + j + 16] = d * (b[at + 4 + j]! >> 4) + m;
    }
  },
});

/** d q + m, the fifth bits in four bytes of their own. */
export const q51 = codec({
  weights: 32,
  bytes: 24,
  values(b, at, out, to) {
    const [d, m] = [half(b, at), half(b, at + 2)];
    for (let j = 0; j < 16; j++) {
      out[to + j] = d * ((b[at + 8 + j]! & 15) | fifth(b, at + 4, j)) + m;
      out[to + j + 16] = d * ((b[at + 8 + j]! >> 4) | fifth(b, at + 4, j + 16)) + m;
    }
  },
});

/** d s q - dmin m: 16 bytes with scale low and minimum high, 64 of two bits, f16 d and dmin. */
export const q2k = codec({
  weights: 256,
  bytes: 84,
  values(b, at, out, to) {
    const [d, least] = [half(b, at + 80), half(b, at + 82)];
    for (let i = 0; i < 256; i++) {
      const scale = b[at + (i >> 4)]!;
      const q = (b[at + 16 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
      out[to + i] = d * (scale & 15) * q - least * (scale >> 4);
    }
  },
});

/** Scale and minimum j of 8, six bits each in 12 bytes: those from 4 on lie in the spare bits of the first and in the last four bytes. */
function scaleAndLeast(b: Uint8Array, at: number, j: number): [number, number] {
  if (j < 4) return [b[at + j]! & 63, b[at + 4 + j]! & 63];
  const both = b[at + 4 + j]!;
  return [(both & 15) | ((b[at + j - 4]! >> 6) << 4), (both >> 4) | ((b[at + j]! >> 6) << 4)];
}

/** d s q - dmin m, a scale and a minimum for 32: f16 d and dmin, 12 bytes of scales, 128 of nibbles (the low ones of 32 bytes first). */
export const q4k = codec({
  weights: 256,
  bytes: 144,
  values(b, at, out, to) {
    const [d, least] = [half(b, at), half(b, at + 2)];
    for (let g = 0; g < 8; g++) {
      const [scale, minimum] = scaleAndLeast(b, at + 4, g);
      const [s, m] = [d * scale, least * minimum];
      const from = at + 16 + 32 * (g >> 1);
      for (let i = 0; i < 32; i++) out[to + 32 * g + i] = s * ((b[from + i]! >> (4 * (g & 1))) & 15) - m;
    }
  },
});

/** As Q4_K with 32 bytes of fifth bits, one bit a group, before the nibbles. */
export const q5k = codec({
  weights: 256,
  bytes: 176,
  values(b, at, out, to) {
    const [d, least] = [half(b, at), half(b, at + 2)];
    for (let g = 0; g < 8; g++) {
      const [scale, minimum] = scaleAndLeast(b, at + 4, g);
      const [s, m] = [d * scale, least * minimum];
      const from = at + 48 + 32 * (g >> 1);
      for (let i = 0; i < 32; i++) {
        const q = ((b[from + i]! >> (4 * (g & 1))) & 15) | (((b[at + 16 + i]! >> g) & 1) << 4);
        out[to + 32 * g + i] = s * q - m;
      }
    }
  },
});

/** d s (q - 32): 128 bytes of four bits, 64 of two, 16 signed scales for 16 weights each, f16 d. */
export const q6k = codec({
  weights: 256,
  bytes: 210,
  values(b, at, out, to) {
    const d = half(b, at + 208);
    for (let i = 0; i < 256; i++) {
      const inHalf = i & 127;
      const low = (b[at + 64 * (i >> 7) + (inHalf & 63)]! >> (4 * (inHalf >> 6))) & 15;
      const high = (b[at + 128 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
      const scale = (b[at + 192 + (i >> 4)]! << 24) >> 24;
      out[to + i] = d * scale * ((low | (high << 4)) - 32);
    }
  },
});
