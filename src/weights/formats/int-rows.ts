/** Rows of published integers, nibble or byte i = weight i, as native words (layout.ts). */
import { CHUNK, planes, type IntLayout, type MatrixShape } from '../layout.ts';
import type { NativeRows } from '../matrix.ts';
import { decodeFloats } from '../safetensors/dtype.ts';
import { nativeNibbles, nibbleBit } from './nibbles.ts';
import { padRows } from './plain.ts';

/**
 * @param stored rows of whole words
 * @param zeros zero points [rows, groups], or null where they are 2^(bits-1)
 * @returns native words; columns from K on become the zero point, which stands for 0
 */
export function intRows(
  stored: Uint32Array,
  layout: IntLayout,
  { rows, cols }: MatrixShape,
  zeros: Uint8Array | null,
): Uint32Array {
  const { bits } = layout;
  const native = bits === 4 ? stored.map(nativeNibbles) : stored;
  if (cols % CHUNK === 0) return native;
  const p = planes(layout, { rows, cols });
  const out = padRows(new Uint8Array(native.buffer as ArrayBuffer), rows, p.valueRowWords * 4);
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  for (let row = 0; row < rows; row++) {
    const zero = zeros ? zeros[(row + 1) * p.groups - 1]! : 2 ** (bits - 1);
    for (let k = cols; k < p.chunks * CHUNK; k++) {
      const word = row * p.valueRowWords + Math.floor(k / perWord);
      const shift = bits === 4 ? nibbleBit(k % 8) : 8 * (k % 4);
      out[word] = (out[word]! & ~(mask << shift)) | ((zero & mask) << shift);
    }
  }
  return out;
}

const SCALE_DTYPE = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;

/**
 * Native rows as numbers.
 * @param groupOf the group of each k, of `groups` a row; null: in order, of any size
 */
export function intFloats(
  native: NativeRows,
  layout: IntLayout,
  { rows, cols }: MatrixShape,
  groupOf: Float32Array | null,
): Float32Array<ArrayBuffer> {
  const { bits, scale } = layout;
  const p = planes(layout, { rows, cols });
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  const scales = decodeFloats({ name: 'scales', dtype: SCALE_DTYPE[scale] }, new Uint8Array(native.scales.buffer));
  const scaleRow = scales.length / rows;
  const zeros = new Uint8Array(native.zeros.buffer);
  const offsets = new Float32Array(native.zeros.buffer);
  const out = new Float32Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < cols; k++) {
      const word = native.values[row * p.valueRowWords + Math.floor(k / perWord)]!;
      const q = (word >>> (bits === 4 ? nibbleBit(k % 8) : 8 * (k % 4))) & mask;
      const g = groupOf ? groupOf[k]! : Math.floor(k / layout.group);
      const point = layout.zeros === 'f32' ? offsets[row * p.zeroRowWords + g]! : zeros[row * p.zeroRowWords * 4 + g]!;
      const zero = layout.zeros ? point : 2 ** (bits - 1);
      out[row * cols + k] = scales[row * scaleRow + g]! * (q - zero);
    }
  }
  return out;
}
