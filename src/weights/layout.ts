/**
 * The native layouts: how a weight matrix W[N][K] lies in a GPU buffer. Every published format is repacked into one of these.
 *
 * A matrix is one to three planes, each starting on a multiple of 16 bytes:
 *   values  [N][chunks][chunkWords] u32      a chunk is 32 neighbouring k of one row; K is padded to whole chunks with zero weights
 *   scales  [N][scaleWords] u32              one scale a group, row by row, in the type that was published
 *   zeros   [N][zeroWords] u32               one u8 or one f32 a group; only where the checkpoint has zero points
 * w = scale * (q - zero), where q is unsigned and zero defaults to 2^(bits-1): a signed q is stored with that offset.
 * fp8, nf4 and fp4: w = scale * value(code). nvfp4: w = global * scale * value(code), see below.
 * q4_k, q5_k: w = d s q - dmin m. q6_k: w = d s (q - 32). K is whole blocks of 256. Bits of q above the low four lie in the plane of zeros.
 *
 * Inside a chunk:
 *   f32          32 words
 *   bf16, f16    16 words, even k in the low half
 *   int 8, fp8   8 words, k ascending from the low byte
 *   4 bits       4 words of 8 weights: weight i < 4 at bit 8i, weight 4 + i at bit 8i + 4, so that `u & 0x0F0F0F0F` and
 *                `(u >> 4) & 0x0F0F0F0F` are two packed byte vectors in k order, ready for dot4I8Packed
 *   high bits    q5_k 1 word, q6_k 2 words: of weight i of quad j at bit 8i + j, or 8i + 2j (quads 4 to 7 in the second word)
 * Scales of 256 weights: q4_k, q5_k as the file has them, halves d and dmin, 12 bytes with 6-bit s and m for 32; q6_k 16 signed bytes s for 16,
 * and behind those of the whole row a half d for each 256.
 */
import { alignUp, ceilDiv } from '../util/math.ts';

export const CHUNK = 32;
/** Weights that share one of nvfp4's scales. */
export const NVFP4_GROUP = 16;
/** Weights of a super-block of q4_k, q5_k and q6_k. */
export const K_BLOCK = 256;

export type ScaleType = 'f32' | 'f16' | 'bf16';

export type Layout =
  | { readonly kind: 'f32' }
  | { readonly kind: 'f16' }
  | { readonly kind: 'bf16' }
  /** `group` weights of a row share a scale: a multiple of 32, or all K of a row when it is at least K. */
  | {
      readonly kind: 'int';
      readonly bits: 4 | 8;
      readonly group: number;
      readonly scale: ScaleType;
      /** true: whole numbers, u8. `f32`: any numbers, for formats that store an offset beside the scale; K is whole chunks then, as padding could not be 0. */
      readonly zeros: boolean | 'f32';
    }
  /** e4m3 values; `group` as for `int`. */
  | { readonly kind: 'fp8'; readonly group: number; readonly scale: ScaleType }
  /** Codes of the 16 values of bitsandbytes' NormalFloat4 or FP4 (src/weights/code-values.ts), one f32 scale a group. */
  | { readonly kind: 'nf4'; readonly group: number }
  | { readonly kind: 'fp4'; readonly group: number }
  /** e2m1 values, one e8m0 scale byte for 32 weights. */
  | { readonly kind: 'mxfp4' }
  /** e2m1 values. A row's scales: an f32 for the whole row, then one e4m3 byte for 16 weights. */
  | { readonly kind: 'nvfp4' }
  /** ggml's super-blocks, bit by bit in another order. */
  | KLayout;

export interface KLayout {
  readonly kind: 'q4_k' | 'q5_k' | 'q6_k';
}

export type IntLayout = Extract<Layout, { kind: 'int' }>;

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

const CHUNK_WORDS = { f32: 32, bf16: 16, f16: 16, fp8: 8 } as const;
const SCALE_BYTES = { f32: 4, f16: 2, bf16: 2 } as const;
/** Words of a chunk's bits above the low four. */
const HIGH_WORDS = { q4_k: 0, q5_k: 1, q6_k: 2 } as const;

export const isK = (layout: Layout): layout is KLayout => layout.kind in HIGH_WORDS;

function chunkWords(layout: Layout): number {
  if (layout.kind === 'int') return layout.bits;
  return layout.kind in CHUNK_WORDS ? CHUNK_WORDS[layout.kind as keyof typeof CHUNK_WORDS] : 4;
}

const groupsOf = (layout: Layout, cols: number): number => {
  if ('group' in layout) return ceilDiv(cols, layout.group);
  if (isK(layout)) return ceilDiv(cols, K_BLOCK);
  return layout.kind === 'mxfp4' ? ceilDiv(cols, CHUNK) : layout.kind === 'nvfp4' ? ceilDiv(cols, NVFP4_GROUP) : 0;
};

function scaleRowBytes(layout: Layout, groups: number): number {
  if (layout.kind === 'mxfp4') return groups;
  if (layout.kind === 'nvfp4') return 4 + groups;
  if (isK(layout)) return layout.kind === 'q6_k' ? 18 * groups : 16 * groups;
  return groups * ('scale' in layout ? SCALE_BYTES[layout.scale] : 4);
}

function zeroRowBytes(layout: Layout, groups: number, chunks: number): number {
  if (isK(layout)) return 4 * chunks * HIGH_WORDS[layout.kind];
  return layout.kind !== 'int' || !layout.zeros ? 0 : layout.zeros === 'f32' ? 4 * groups : groups;
}

/** Where the planes of a matrix are, and how many bytes it takes. */
export function planes(layout: Layout, { rows, cols }: MatrixShape): Planes {
  const chunks = ceilDiv(cols, CHUNK);
  const words = chunkWords(layout);
  const groups = groupsOf(layout, cols);
  const scaleRowWords = ceilDiv(scaleRowBytes(layout, groups), 4);
  const zeroRowWords = ceilDiv(zeroRowBytes(layout, groups, chunks), 4);
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
  if (layout.kind === 'fp8') return `fp8 g${layout.group} ${layout.scale}`;
  if (layout.kind === 'nf4' || layout.kind === 'fp4') return `${layout.kind} g${layout.group}`;
  if (layout.kind !== 'int') return layout.kind;
  const zeros = layout.zeros === 'f32' ? ' zeros f32' : layout.zeros ? ' zeros' : '';
  return `int${layout.bits} g${layout.group} ${layout.scale}${zeros}`;
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
  if (layout.kind === 'f32' || layout.kind === 'f16' || layout.kind === 'bf16')
    return { constants, imports: { weight_format: `weights/${layout.kind}` } };
  constants.W_SCALES_AT = p.scalesAt / 4;
  constants.W_SCALE_ROW = p.scaleRowWords;
  const byteFloats = { byte_floats: software ? 'weights/bytes_masked' : 'weights/bytes_shifted' };
  if (layout.kind === 'mxfp4') return { constants, imports: { weight_format: 'weights/mxfp4', ...byteFloats } };
  if (isK(layout)) return kFormat(layout, p, constants, byteFloats);
  if (!('group' in layout)) return { constants, imports: { weight_format: `weights/${layout.kind}` } };
  constants.W_GROUP_CHUNKS = Math.min(p.chunks, ceilDiv(layout.group, CHUNK));
  const zeros = layout.kind === 'int' && layout.zeros;
  constants.W_ZEROS = zeros !== false;
  if (zeros) {
    constants.W_ZEROS_F32 = zeros === 'f32';
    constants.W_ZEROS_AT = p.zerosAt / 4;
    constants.W_ZERO_ROW = p.zeroRowWords;
  }
  if (layout.kind === 'nf4' || layout.kind === 'fp4') {
    constants.W_NF4 = layout.kind === 'nf4';
    return { constants, imports: { weight_format: 'weights/code4', scale_format: 'weights/scale_f32' } };
  }
  const scaleFormat = { scale_format: `weights/scale_${layout.scale}` };
  if (layout.kind === 'fp8') return { constants, imports: { weight_format: 'weights/fp8', ...scaleFormat } };
  return { constants, imports: { weight_format: `weights/int${layout.bits}`, ...scaleFormat, ...byteFloats } };
}

function kFormat(
  { kind }: KLayout,
  p: Planes,
  constants: Record<string, number | boolean>,
  byteFloats: Record<string, string>,
): ReturnType<typeof weightFormat> {
  if (p.zeroRowWords > 0) {
    constants.W_ZEROS_AT = p.zerosAt / 4;
    constants.W_ZERO_ROW = p.zeroRowWords;
  }
  if (kind === 'q6_k') return { constants, imports: { weight_format: 'weights/q6_k', ...byteFloats } };
  constants.W_FIFTH = kind === 'q5_k';
  return { constants, imports: { weight_format: 'weights/q4_k', ...byteFloats } };
}

/** Whether a shader that reads this layout binds its scales too. */
export const hasScales = ({ kind }: Layout): boolean => kind !== 'f32' && kind !== 'f16' && kind !== 'bf16';
