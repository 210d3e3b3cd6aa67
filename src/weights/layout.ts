/**
 * The native layouts: how a weight matrix W[N][K] lies in a GPU buffer. Every published format is repacked into one of these.
 *
 * A matrix is one to three planes, each starting on a multiple of 16 bytes:
 *   values  [N][chunks][chunkWords] u32      a chunk is 32 neighbouring k of one row; K is padded to whole chunks with zero weights
 *   scales  [N][scaleWords] u32              one scale a group, row by row, in the type that was published
 *   zeros   [N][zeroWords] u32               one u8 a group; only where the checkpoint has zero points
 * w = scale * (q - zero), where q is unsigned and zero defaults to 2^(bits-1): a signed q is stored with that offset.
 *
 * Inside a chunk:
 *   f32          32 words
 *   bf16, f16    16 words, even k in the low half
 *   int 8        8 words, k ascending from the low byte
 *   int 4, mxfp4 4 words of 8 weights: weight i < 4 at bit 8i, weight 4 + i at bit 8i + 4, so that `u & 0x0F0F0F0F` and
 *                `(u >> 4) & 0x0F0F0F0F` are two packed byte vectors in k order, ready for dot4I8Packed
 */
import { alignUp, ceilDiv } from '../util/math.ts';

export const CHUNK = 32;

export type ScaleType = 'f32' | 'f16' | 'bf16';

export type Layout =
  | { readonly kind: 'f32' | 'f16' | 'bf16' }
  /** `group` weights of a row share a scale: a multiple of 32, or all K of a row when it is at least K. */
  | {
      readonly kind: 'int';
      readonly bits: 4 | 8;
      readonly group: number;
      readonly scale: ScaleType;
      readonly zeros: boolean;
    }
  /** e2m1 values, one e8m0 scale byte for 32 weights. */
  | { readonly kind: 'mxfp4' };

export interface MatrixShape {
  readonly rows: number; // N
  readonly cols: number; // K
}

export interface Planes {
  readonly chunks: number;
  readonly chunkWords: number;
  /** Words of one row of each plane. */
  readonly valueRowWords: number;
  readonly scaleRowWords: number;
  readonly zeroRowWords: number;
  /** Byte offset of each plane from the matrix's start; values start at 0. */
  readonly scalesAt: number;
  readonly zerosAt: number;
  /** Multiple of 16. */
  readonly bytes: number;
  /** Scales (and zeros) of one row. */
  readonly groups: number;
}

const chunkWords = (layout: Layout): number => {
  if (layout.kind === 'f32') return 32;
  if (layout.kind === 'int') return layout.bits;
  return layout.kind === 'mxfp4' ? 4 : 16;
};

/** Where the planes of a matrix are, and how many bytes it takes. */
export function planes(layout: Layout, { rows, cols }: MatrixShape): Planes {
  const chunks = ceilDiv(cols, CHUNK);
  const words = chunkWords(layout);
  const groups = layout.kind === 'int' ? ceilDiv(cols, layout.group) : layout.kind === 'mxfp4' ? chunks : 0;
  const perWord = layout.kind === 'mxfp4' ? 4 : layout.kind === 'int' && layout.scale !== 'f32' ? 2 : 1;
  const scaleRowWords = ceilDiv(groups, perWord);
  const zeroRowWords = layout.kind === 'int' && layout.zeros ? ceilDiv(groups, 4) : 0;
  const scalesAt = alignUp(rows * chunks * words * 4, 16);
  const zerosAt = alignUp(scalesAt + rows * scaleRowWords * 4, 16);
  return {
    chunks,
    chunkWords: words,
    valueRowWords: chunks * words,
    scaleRowWords,
    zeroRowWords,
    scalesAt,
    zerosAt,
    bytes: alignUp(zerosAt + rows * zeroRowWords * 4, 16),
    groups,
  };
}

export function layoutName(layout: Layout): string {
  if (layout.kind !== 'int') return layout.kind;
  return `int${layout.bits} g${layout.group} ${layout.scale}${layout.zeros ? ' zeros' : ''}`;
}

export const sameLayout = (a: Layout, b: Layout): boolean => layoutName(a) === layoutName(b);

/**
 * Constants and imports of a shader that reads one matrix through `#import weight_format`: see shaders/weights/.
 * @param software whether it is for an adapter that is a CPU; the same numbers, to the bit, either way
 */
export function weightFormat(
  layout: Layout,
  shape: MatrixShape,
  software = true,
): { constants: Record<string, number | boolean>; imports: Record<string, string> } {
  const p = planes(layout, shape);
  const constants: Record<string, number | boolean> = {
    W_CHUNKS: p.chunks,
    W_CHUNK_VEC4: p.chunkWords / 4,
  };
  const byteFloats = software ? 'weights/bytes_masked' : 'weights/bytes_shifted';
  if (layout.kind === 'int') {
    constants.W_SCALES_AT = p.scalesAt / 4;
    constants.W_SCALE_ROW = p.scaleRowWords;
    constants.W_GROUP_CHUNKS = Math.min(p.chunks, ceilDiv(layout.group, CHUNK));
    constants.W_ZEROS = layout.zeros;
    if (layout.zeros) {
      constants.W_ZEROS_AT = p.zerosAt / 4;
      constants.W_ZERO_ROW = p.zeroRowWords;
    }
    return {
      constants,
      imports: {
        weight_format: `weights/int${layout.bits}`,
        scale_format: `weights/scale_${layout.scale}`,
        byte_floats: byteFloats,
      },
    };
  }
  if (layout.kind === 'mxfp4') {
    constants.W_SCALES_AT = p.scalesAt / 4;
    constants.W_SCALE_ROW = p.scaleRowWords;
    return { constants, imports: { weight_format: 'weights/mxfp4', byte_floats: byteFloats } };
  }
  return { constants, imports: { weight_format: `weights/${layout.kind}` } };
}
