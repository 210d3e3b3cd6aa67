/** Twin of shaders/weights/: reads a matrix in a native layout (src/weights/layout.ts), and writes one by plain rounding. */
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../util/half.ts';
import { FP4_VALUES, NF4_VALUES } from '../weights/code-values.ts';
import {
  CHUNK,
  isK,
  NVFP4_GROUP,
  planes,
  type IntLayout,
  type KLayout,
  type Layout,
  type MatrixShape,
  type Planes,
  type ScaleType,
} from '../weights/layout.ts';
import { decodeK, encodeK, type KRow } from './k_quants.ts';

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);
const bitsToF32 = (bits: number): number => {
  word[0] = bits;
  return float[0]!;
};
const f32ToBits = (value: number): number => {
  float[0] = value;
  return word[0]!;
};

/** Some bits of a word: word index from the start of a row's plane, first bit, number of bits. */
interface Place {
  readonly word: number;
  readonly bit: number;
  readonly bits: number;
}

const get = (words: Uint32Array, from: number, { word, bit, bits }: Place): number =>
  bits === 32 ? words[from + word]! : (words[from + word]! >>> bit) & (2 ** bits - 1);

const put = (words: Uint32Array, from: number, { word, bit, bits }: Place, value: number): void => {
  const mask = bits === 32 ? 0xffffffff : ((2 ** bits - 1) << bit) >>> 0;
  words[from + word] = (words[from + word]! & ~mask) | ((value << bit) & mask);
};

const packed = (index: number, bits: number): Place => {
  const perWord = 32 / bits;
  return { word: Math.floor(index / perWord), bit: (index % perWord) * bits, bits };
};

/** Where weight k of a row lies. */
function valuePlace(layout: Layout, k: number): Place {
  if (layout.kind === 'f32') return packed(k, 32);
  if (layout.kind === 'f16' || layout.kind === 'bf16') return packed(k, 16);
  if (layout.kind === 'fp8' || (layout.kind === 'int' && layout.bits === 8)) return packed(k, 8);
  const i = k % 8;
  return { word: Math.floor(k / 8), bit: i < 4 ? 8 * i : 8 * (i - 4) + 4, bits: 4 };
}

const scaleBits: Record<ScaleType, number> = { f32: 32, f16: 16, bf16: 16 };
const decodeFloat = (type: ScaleType, bits: number): number =>
  type === 'f32' ? bitsToF32(bits) : type === 'f16' ? f16ToF32(bits) : bf16ToF32(bits);
const encodeFloat = (type: ScaleType, value: number): number =>
  type === 'f32' ? f32ToBits(value) : type === 'f16' ? f32ToF16(value) : f32ToBf16(value);

const groupOf = (layout: { readonly group: number }, k: number): number => Math.floor(k / layout.group);

const E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
const decodeE2m1 = (nibble: number): number => (nibble & 8 ? -1 : 1) * E2M1[nibble & 7]!;
/** Sign, 4 bits of exponent with bias 7, 3 of mantissa; no infinities. */
function decodeE4m3(code: number): number {
  const exponent = (code >> 3) & 15;
  const mantissa = code & 7;
  if (exponent === 15 && mantissa === 7) return NaN;
  const magnitude = exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10);
  return code & 128 ? -magnitude : magnitude;
}
const E4M3 = Array.from({ length: 256 }, (_, code) => decodeE4m3(code));
const valuesOf = (kind: 'nf4' | 'fp4'): readonly number[] => (kind === 'nf4' ? NF4_VALUES : FP4_VALUES);

const decodeE8m0 = (s: number): number => (s === 255 ? NaN : 2 ** (s - 127));

/** First words of a row's planes. */
const rowStarts = (p: Planes, row: number): { values: number; scales: number; zeros: number } => ({
  values: row * p.valueRowWords,
  scales: p.scalesAt / 4 + row * p.scaleRowWords,
  zeros: p.zerosAt / 4 + row * p.zeroRowWords,
});

/** The bytes of one row's planes. */
function kRow(words: Uint32Array, p: Planes, row: number): KRow {
  const at = rowStarts(p, row);
  const bytes = (from: number, count: number): Uint8Array =>
    new Uint8Array(words.buffer, words.byteOffset + 4 * from, 4 * count);
  return {
    values: bytes(at.values, p.valueRowWords),
    scales: bytes(at.scales, p.scaleRowWords),
    highs: bytes(at.zeros, p.zeroRowWords),
  };
}

const rowDecoder =
  (row: KRow, layout: KLayout, { groups }: Planes) =>
  (k: number): number =>
    decodeK(row, layout, k, groups);

/** @returns W [N, K]; the scale 255 of mxfp4 gives NaN */
export function decodeMatrix(words: Uint32Array, layout: Layout, shape: MatrixShape): Float64Array {
  const p = planes(layout, shape);
  const out = new Float64Array(shape.rows * shape.cols);
  for (let row = 0; row < shape.rows; row++) {
    const at = rowStarts(p, row);
    const weight = isK(layout)
      ? rowDecoder(kRow(words, p, row), layout, p)
      : (k: number) => decodeWeight(words, layout, at, k);
    for (let k = 0; k < shape.cols; k++) out[row * shape.cols + k] = weight(k);
  }
  return out;
}

function decodeWeight(
  words: Uint32Array,
  layout: Exclude<Layout, KLayout>,
  at: ReturnType<typeof rowStarts>,
  k: number,
): number {
  const q = get(words, at.values, valuePlace(layout, k));
  if (layout.kind === 'mxfp4') {
    return decodeE2m1(q) * decodeE8m0(get(words, at.scales, packed(Math.floor(k / CHUNK), 8)));
  }
  if (layout.kind === 'nvfp4') {
    const scale = E4M3[get(words, at.scales + 1, packed(Math.floor(k / NVFP4_GROUP), 8))]!;
    return decodeE2m1(q) * scale * bitsToF32(words[at.scales]!);
  }
  if (layout.kind === 'f32' || layout.kind === 'f16' || layout.kind === 'bf16') return decodeFloat(layout.kind, q);
  const group = groupOf(layout, k);
  if (layout.kind === 'nf4' || layout.kind === 'fp4')
    return Math.fround(valuesOf(layout.kind)[q]!) * bitsToF32(words[at.scales + group]!);
  const scale = decodeFloat(layout.scale, get(words, at.scales, packed(group, scaleBits[layout.scale])));
  if (layout.kind === 'fp8') return E4M3[q]! * scale;
  return scale * Math.fround(q - zeroOf(words, layout, at.zeros, group));
}

function zeroOf(words: Uint32Array, { bits, zeros }: IntLayout, at: number, group: number): number {
  if (zeros === 'f32') return bitsToF32(words[at + group]!);
  return zeros ? get(words, at, packed(group, 8)) : 2 ** (bits - 1);
}

/** Rounds W [N, K] into the layout, group by group. Infinities and NaN are not for layouts with scales. */
export function encodeMatrix(values: ArrayLike<number>, layout: Layout, shape: MatrixShape): Uint32Array<ArrayBuffer> {
  const p = planes(layout, shape);
  const words = new Uint32Array(p.bytes / 4);
  const padded = p.chunks * CHUNK;
  for (let row = 0; row < shape.rows; row++) {
    const at = rowStarts(p, row);
    const w = new Float64Array(padded);
    for (let k = 0; k < shape.cols; k++) w[k] = values[row * shape.cols + k]!;
    if (isK(layout)) encodeK(kRow(words, p, row), layout, w, p.groups);
    else if (layout.kind === 'int') encodeIntRow(words, layout, at, w, p.groups);
    else if (layout.kind === 'mxfp4') encodeMxfp4Row(words, layout, at, w);
    else if (layout.kind === 'nvfp4') encodeNvfp4Row(words, layout, at, w, p.groups);
    else if ('group' in layout) encodeCodeRow(words, layout, at, w, p.groups);
    else w.forEach((x, k) => put(words, at.values, valuePlace(layout, k), encodeFloat(layout.kind, x)));
  }
  return words;
}

function encodeIntRow(
  words: Uint32Array,
  layout: IntLayout,
  at: ReturnType<typeof rowStarts>,
  w: Float64Array,
  groups: number,
): void {
  const most = 2 ** layout.bits - 1;
  const middle = 2 ** (layout.bits - 1);
  for (let g = 0; g < groups; g++) {
    const begin = g * layout.group;
    const end = g === groups - 1 ? w.length : begin + layout.group;
    const group = w.subarray(begin, end);
    const low = Math.min(0, ...group);
    const high = Math.max(0, ...group);
    const exact = layout.zeros ? (high - low) / most : Math.max(high, -low) / (middle - 1);
    const bits = encodeFloat(layout.scale, exact);
    const scale = decodeFloat(layout.scale, bits);
    const offset = layout.zeros && scale !== 0 ? -low / scale : 0;
    const zero = !layout.zeros
      ? middle
      : layout.zeros === 'f32'
        ? Math.fround(offset)
        : Math.min(most, Math.round(offset));
    put(words, at.scales, packed(g, scaleBits[layout.scale]), bits);
    if (layout.zeros === 'f32') words[at.zeros + g] = f32ToBits(zero);
    else if (layout.zeros) put(words, at.zeros, packed(g, 8), zero);
    group.forEach((x, i) => {
      const q = scale === 0 ? zero : Math.round(x / scale + zero);
      put(words, at.values, valuePlace(layout, begin + i), Math.max(0, Math.min(most, q)));
    });
  }
}

/** The index of the value that is nearest; the first of several. */
function nearest(values: readonly number[], x: number): number {
  let best = 0;
  values.forEach((v, i) => {
    if (Math.abs(v - x) < Math.abs(values[best]! - x)) best = i;
  });
  return best;
}

/** fp8, nf4, fp4: the largest weight of a group takes the largest value. */
function encodeCodeRow(
  words: Uint32Array,
  layout: Extract<Layout, { kind: 'fp8' | 'nf4' | 'fp4' }>,
  at: ReturnType<typeof rowStarts>,
  w: Float64Array,
  groups: number,
): void {
  const type = layout.kind === 'fp8' ? layout.scale : 'f32';
  const values = layout.kind === 'fp8' ? E4M3.map((v) => (Number.isNaN(v) ? Infinity : v)) : valuesOf(layout.kind);
  const largest = layout.kind === 'fp8' ? 448 : 1;
  for (let g = 0; g < groups; g++) {
    const begin = g * layout.group;
    const group = w.subarray(begin, g === groups - 1 ? w.length : begin + layout.group);
    const bits = encodeFloat(type, Math.max(...group.map(Math.abs)) / largest);
    const scale = decodeFloat(type, bits);
    put(words, at.scales, packed(g, scaleBits[type]), bits);
    group.forEach((x, i) =>
      put(words, at.values, valuePlace(layout, begin + i), nearest(values, scale === 0 ? 0 : x / scale)),
    );
  }
}

function encodeNvfp4Row(
  words: Uint32Array,
  layout: Layout,
  at: ReturnType<typeof rowStarts>,
  w: Float64Array,
  groups: number,
): void {
  const scales = E4M3.slice(0, 127);
  const global = Math.fround(Math.max(...w.map(Math.abs)) / (6 * 448));
  words[at.scales] = f32ToBits(global);
  for (let g = 0; g < groups && global > 0; g++) {
    const group = w.subarray(g * NVFP4_GROUP, (g + 1) * NVFP4_GROUP);
    const code = nearest(scales, Math.max(...group.map(Math.abs)) / 6 / global);
    put(words, at.scales + 1, packed(g, 8), code);
    const unit = scales[code]! * global;
    group.forEach((x, i) => {
      const q = unit === 0 ? 0 : nearest(E2M1, Math.abs(x) / unit);
      put(words, at.values, valuePlace(layout, g * NVFP4_GROUP + i), q | (x < 0 ? 8 : 0));
    });
  }
}

function encodeMxfp4Row(words: Uint32Array, layout: Layout, at: ReturnType<typeof rowStarts>, w: Float64Array): void {
  for (let chunk = 0; chunk < w.length / CHUNK; chunk++) {
    const group = w.subarray(chunk * CHUNK, (chunk + 1) * CHUNK);
    const largest = Math.max(...group.map(Math.abs));
    // The largest e2m1 exponent is 2 (as in 4 and 6).
    const s = largest === 0 ? 127 : Math.max(0, Math.min(254, Math.floor(Math.log2(largest)) - 2 + 127));
    put(words, at.scales, packed(chunk, 8), s);
    group.forEach((x, i) => {
      const scaled = Math.abs(x) / decodeE8m0(s);
      let best = 0;
      E2M1.forEach((m, n) => {
        if (Math.abs(m - scaled) < Math.abs(E2M1[best]! - scaled)) best = n;
      });
      put(words, at.values, valuePlace(layout, chunk * CHUNK + i), best | (x < 0 ? 8 : 0));
    });
  }
}
