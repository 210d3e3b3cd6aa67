/** 4-bit blocks: byte j holds weight j low and weight j + 16 high. They become a native chunk (layout.ts) by shuffling nibbles. */
import { planes, type Layout, type MatrixShape } from '../../layout.ts';
import { NO_WORDS, type BlockCodec } from './codec.ts';

/** Native byte 4w + i of a chunk has weight 8w + i low and weight 8w + 4 + i high. */
function shuffle(b: Uint8Array, at: number, out: Uint8Array, to: number): void {
  for (let j = 0; j < 8; j++) {
    const from = at + (j < 4 ? j : j + 4);
    const [left, right] = [b[from]!, b[from + 4]!];
    out[to + j] = (left & 15) | ((right & 15) << 4);
    out[to + 8 + j] = (left >> 4) | (right & 0xf0);
  }
}

/** A block is a scale of `scaleBytes`, as the layout keeps it, and 16 bytes of nibbles. */
const nibbles = (layout: Layout, scaleBytes: 1 | 2): BlockCodec => ({
  layout,
  exact: true,
  rows(bytes, { rows, cols }: MatrixShape) {
    const p = planes(layout, { rows, cols });
    const values = new Uint8Array(rows * p.valueRowWords * 4);
    const scales = new Uint8Array(rows * p.scaleRowWords * 4);
    for (let row = 0, at = 0; row < rows; row++) {
      for (let chunk = 0; chunk < p.chunks; chunk++, at += scaleBytes + 16) {
        const scale = row * p.scaleRowWords * 4 + chunk * scaleBytes;
        for (let i = 0; i < scaleBytes; i++) scales[scale + i] = bytes[at + i]!;
        shuffle(bytes, at + scaleBytes, values, (row * p.chunks + chunk) * 16);
      }
    }
    return { values: new Uint32Array(values.buffer), scales: new Uint32Array(scales.buffer), zeros: NO_WORDS };
  },
});

/** d (q - 8). */
export const q40 = nibbles({ kind: 'int', bits: 4, group: 32, scale: 'f16', zeros: false }, 2);

/** e2m1 with an e8m0 scale. ggml doubles the table and halves the scale: the values are the same. */
export const mxfp4 = nibbles({ kind: 'mxfp4' }, 1);
