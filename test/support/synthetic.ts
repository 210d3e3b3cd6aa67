/**
 * Tiny random checkpoints in published forms, and the numbers that they stand for: a config.json, a choice of storage for each tensor, and
 * out come the files of a model folder with the doubles that the reference forward pass takes.
 */
import { readModelConfig } from '../../src/config/load.ts';
import type { ModelConfig } from '../../src/config/model-config.ts';
import type { TensorNames } from '../../src/families/family.ts';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../src/util/half.ts';
import { prng } from '../../src/util/prng.ts';
import { expectedTensors } from '../unit/families/expected.ts';
import { normals } from './random.ts';
import { bytesOf, safetensors, type TensorSpec } from './weights.ts';

export interface Wanted {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** What lies in the file, by full name, and the numbers that a reader must see under the tensor's own name. */
export interface Encoded {
  readonly stored: Readonly<Record<string, TensorSpec>>;
  readonly numbers: Float64Array;
}

export type Encoding = (tensor: Wanted) => Encoded;

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** E4M3 and E5M2, by the formula; neither code is an infinity or NaN. */
function f8(code: number, mantissaBits: 2 | 3): number {
  const bias = mantissaBits === 3 ? 7 : 15;
  const exponent = (code & 127) >> mantissaBits;
  const fraction = (code & ((1 << mantissaBits) - 1)) / (1 << mantissaBits);
  const size = exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
  return code & 128 ? -size : size;
}

const nearest = (codes: readonly { code: number; value: number }[], x: number): { code: number; value: number } =>
  codes.reduce((best, c) => (Math.abs(c.value - x) < Math.abs(best.value - x) ? c : best));

function f8Values(values: Float32Array, mantissaBits: 2 | 3): { bytes: Uint8Array; numbers: Float64Array } {
  const last = mantissaBits === 3 ? 0x7e : 0x7b;
  const codes = Array.from({ length: 256 }, (_, code) => ({ code, value: f8(code, mantissaBits) })).filter(
    ({ code }) => (code & 127) <= last,
  );
  const found = Array.from(values, (x) => nearest(codes, x));
  return { bytes: Uint8Array.from(found, (c) => c.code), numbers: Float64Array.from(found, (c) => c.value) };
}

export type PlainType = 'BF16' | 'F16' | 'F32' | 'F64' | 'F8_E4M3' | 'F8_E5M2';

/** Values as the file's type holds them: bytes, and what they are exactly. */
function stored(type: PlainType, values: Float32Array): { bytes: Uint8Array; numbers: Float64Array } {
  if (type === 'F8_E4M3') return f8Values(values, 3);
  if (type === 'F8_E5M2') return f8Values(values, 2);
  if (type === 'F32') return { bytes: bytesOf(values), numbers: Float64Array.from(values) };
  if (type === 'F64') return { bytes: bytesOf(Float64Array.from(values)), numbers: Float64Array.from(values) };
  const [to, from] = type === 'BF16' ? [f32ToBf16, bf16ToF32] : [f32ToF16, f16ToF32];
  const bits = Uint16Array.from(values, to);
  return { bytes: bytesOf(bits), numbers: Float64Array.from(bits, from) };
}

export const plain =
  (type: PlainType): Encoding =>
  ({ name, shape, values }) => {
    const { bytes, numbers } = stored(type, values);
    return { stored: { [name]: { dtype: type, shape, bytes } }, numbers };
  };

export interface Packing {
  readonly bits: 4 | 8;
  /** null: one scale a row, or for the whole matrix. */
  readonly group: number | null;
  readonly strategy?: 'group' | 'channel' | 'tensor';
  /** Zero points packed along the rows into i32, or one i8 each. */
  readonly zeros?: 'packed' | 'i8';
  readonly scale?: 'BF16' | 'F16' | 'F32';
}

/** Integers of `bits` in words, the first in the lowest bits, `stride` apart in `values`. */
function packWords(values: ArrayLike<number>, first: number, count: number, stride: number, bits: 4 | 8): number[] {
  const perWord = 32 / bits;
  return Array.from({ length: Math.ceil(count / perWord) }, (_, w) => {
    let word = 0;
    for (let i = 0; i < perWord && w * perWord + i < count; i++)
      word |= values[first + (w * perWord + i) * stride]! << (bits * i);
    return word >>> 0;
  });
}

/** compressed-tensors, pack-quantized: integers drawn at random, of which scales and zero points make weights of ordinary size. */
export const packed =
  ({ bits, group, strategy = group === null ? 'channel' : 'group', zeros, scale = 'BF16' }: Packing): Encoding =>
  ({ name, shape, values }) => {
    const base = name.replace(/\.weight$/, '');
    const [rows, cols] = shape as [number, number];
    const size = group ?? cols;
    const groups = Math.ceil(cols / size);
    const half = 2 ** (bits - 1);
    const random = prng(values.length + rows);
    const scaleCount = strategy === 'tensor' ? 1 : rows * groups;
    const scales = stored(
      scale,
      Float32Array.from({ length: scaleCount }, () => (0.2 + 0.4 * random()) / half),
    );
    const zeroPoints = Int32Array.from({ length: rows * groups }, () =>
      zeros ? Math.floor((random() - 0.5) * half) : 0,
    );
    const groupOf = (i: number): number => Math.floor(i / cols) * groups + Math.floor((i % cols) / size);
    const q = Int32Array.from(values, (x, i) => {
      const s = scales.numbers[strategy === 'tensor' ? 0 : groupOf(i)]!;
      return Math.max(-half, Math.min(half - 1, Math.round(x / s) + zeroPoints[groupOf(i)]!));
    });
    const numbers = Float64Array.from(
      q,
      (code, i) => (code - zeroPoints[groupOf(i)]!) * scales.numbers[strategy === 'tensor' ? 0 : groupOf(i)]!,
    );
    const unsigned = q.map((code) => code + half);
    const unsignedZeros = zeroPoints.map((code) => code + half);
    const rowWords = Math.ceil((cols * bits) / 32);
    const words = Array.from({ length: rows }, (_, row) => packWords(unsigned, row * cols, cols, 1, bits)).flat();
    const zeroRows = Math.ceil((rows * bits) / 32);
    const columns = Array.from({ length: groups }, (_, g) => packWords(unsignedZeros, g, rows, groups, bits));
    const zeroWords = Array.from({ length: zeroRows }, (_, w) => columns.map((c) => c[w]!)).flat();
    const zero: TensorSpec =
      zeros === 'packed'
        ? { dtype: 'I32', shape: [zeroRows, groups], bytes: bytesOf(Uint32Array.from(zeroWords)) }
        : { dtype: 'I8', shape: [rows, groups], bytes: bytesOf(Int8Array.from(zeroPoints)) };
    return {
      numbers,
      stored: {
        [`${base}.weight_packed`]: { dtype: 'I32', shape: [rows, rowWords], bytes: bytesOf(Uint32Array.from(words)) },
        [`${base}.weight_scale`]: {
          dtype: scale,
          shape: strategy === 'tensor' ? [1] : [rows, groups],
          bytes: scales.bytes,
        },
        [`${base}.weight_shape`]: {
          dtype: 'I64',
          shape: [2],
          bytes: bytesOf(BigInt64Array.from([rows, cols], BigInt)),
        },
        ...(zeros ? { [`${base}.weight_zero_point`]: zero } : {}),
      },
    };
  };

const E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];

/** gpt-oss: [E, in, out] numbers, stored as blocks [E, out, in/32, 16] and scales; codes and exponents are drawn at random. */
export const mxfp4: Encoding = ({ name, shape }) => {
  const [experts, cols, rows] = shape as [number, number, number];
  const random = prng(rows * cols + experts);
  const chunks = cols / 32;
  const codes = Uint8Array.from({ length: experts * rows * cols }, () => Math.floor(16 * random()));
  const exponents = Uint8Array.from({ length: experts * rows * chunks }, () => 122 + Math.floor(3 * random()));
  const blocks = Uint8Array.from({ length: codes.length / 2 }, (_, i) => codes[2 * i]! | (codes[2 * i + 1]! << 4));
  const numbers = new Float64Array(codes.length);
  for (let e = 0; e < experts; e++) {
    for (let row = 0; row < rows; row++) {
      for (let k = 0; k < cols; k++) {
        const at = (e * rows + row) * cols + k;
        numbers[(e * cols + k) * rows + row] = E2M1[codes[at]!]! * 2 ** (exponents[at >>> 5]! - 127);
      }
    }
  }
  return {
    numbers,
    stored: {
      [`${name}_blocks`]: { dtype: 'U8', shape: [experts, rows, chunks, 16], bytes: blocks },
      [`${name}_scales`]: { dtype: 'U8', shape: [experts, rows, chunks], bytes: exponents },
    },
  };
};

/** Norms near one, everything else of a size that neither drowns nor explodes; the router wide, so that its choices are far apart. */
function draw(name: string, shape: readonly number[], seed: number): Float32Array {
  const length = product(shape);
  if (/norm[^.]*\.weight$/.test(name)) return normals(seed, length, 0.2, 1);
  if (/(gate|wg|router|router\.layer)\.weight$/.test(name)) return normals(seed, length, 0.4);
  if (name.endsWith('e_score_correction_bias')) return normals(seed, length, 0.1);
  return normals(seed, length, shape.length === 1 ? 0.3 : 0.2);
}

/** What stays plain in every published quantised checkpoint. */
export const isPlain = ({ name, shape }: Wanted): boolean =>
  shape.length === 1 || /(embed_tokens|lm_head|gate|wg|router|router\.layer|norm)\.weight$/.test(name);

export interface Synthetic {
  readonly config: ModelConfig;
  readonly names: TensorNames;
  readonly files: Record<string, Uint8Array | string>;
  /** Plain numbers by tensor name. */
  readonly weights: (name: string) => Float64Array | undefined;
}

export interface SyntheticOptions {
  readonly seed?: number;
  /** How each tensor is stored. */
  readonly encode?: Encoding;
  /** Above 1: shards with an index file. */
  readonly shards?: number;
  /** One tensor an expert and projection, in a family that publishes all experts in one. */
  readonly experts?: 'separate';
}

/** A model folder in memory. `json` is its config.json. */
export function synthetic(json: Record<string, unknown>, options: SyntheticOptions = {}): Synthetic {
  const { seed = 1, shards = 1, encode = plain('F32'), experts } = options;
  const text = JSON.stringify(json);
  const { config, names } = readModelConfig(text);
  const weights = new Map<string, Float64Array>();
  const stores: Record<string, TensorSpec>[] = Array.from({ length: shards }, () => ({}));
  [...expectedTensors(config, names, experts)].forEach(([name, shape], i) => {
    const wanted: Wanted = { name, shape, values: draw(name, shape, seed * 10_000 + i) };
    const encoded = encode(wanted);
    weights.set(name, encoded.numbers);
    Object.assign(stores[i % shards]!, encoded.stored);
  });
  const fileName = (i: number): string =>
    shards === 1
      ? 'model.safetensors'
      : `model-${String(i + 1).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.safetensors`;
  const files: Synthetic['files'] = { 'config.json': text };
  const map: Record<string, string> = {};
  stores.forEach((store, i) => {
    files[fileName(i)] = safetensors(store, { metadata: { format: 'pt' } });
    for (const name of Object.keys(store)) map[name] = fileName(i);
  });
  if (shards > 1) files['model.safetensors.index.json'] = JSON.stringify({ metadata: {}, weight_map: map });
  return { config, names, files, weights: (name) => weights.get(name) };
}
