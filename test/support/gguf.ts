/** GGUF files made in memory, from the format's own text. */
import { f32ToBf16, f32ToF16 } from '../../src/util/half.ts';
import { concat } from './weights.ts';

/** A whole number is u32, a list of them i32; a float says so. */
export type GgufValue =
  | string
  | boolean
  | number
  | { readonly f32: number }
  | { readonly f32s: readonly number[] }
  | { readonly raw: Uint8Array } // type and value
  | readonly string[]
  | readonly number[];

export interface GgufTensorSpec {
  /** ggml's number of the type. */
  readonly type: number;
  /** The last dimension varies fastest. */
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

const utf8 = new TextEncoder();

const bytesOf = (size: number, write: (view: DataView) => void): Uint8Array => {
  const out = new Uint8Array(size);
  write(new DataView(out.buffer));
  return out;
};
export const u32 = (n: number): Uint8Array => bytesOf(4, (v) => v.setUint32(0, n, true));
export const u64 = (n: number | bigint): Uint8Array => bytesOf(8, (v) => v.setBigUint64(0, BigInt(n), true));
const f32 = (n: number): Uint8Array => bytesOf(4, (v) => v.setFloat32(0, n, true));
export const ggufString = (text: string): Uint8Array => {
  const bytes = utf8.encode(text);
  return concat(u64(bytes.length), bytes);
};
/** A vocabulary has more items than a call may have arguments. */
function list(type: number, items: readonly Uint8Array[]): Uint8Array {
  const parts = Array.from({ length: Math.ceil(items.length / 1000) }, (_, i) =>
    concat(...items.slice(1000 * i, 1000 * (i + 1))),
  );
  return concat(u32(9), u32(type), u64(items.length), ...parts);
}

function valueBytes(value: GgufValue): Uint8Array {
  if (typeof value === 'string') return concat(u32(8), ggufString(value));
  if (typeof value === 'boolean') return concat(u32(7), Uint8Array.of(value ? 1 : 0));
  if (typeof value === 'number') return concat(u32(4), u32(value));
  if ('f32' in value) return concat(u32(6), f32(value.f32));
  if ('raw' in value) return value.raw;
  if ('f32s' in value) return list(6, value.f32s.map(f32));
  const items = value as readonly (string | number)[];
  if (items.every((item) => typeof item === 'string')) return list(8, items.map(ggufString));
  return list(
    5,
    (items as readonly number[]).map((n) => bytesOf(4, (v) => v.setInt32(0, n, true))),
  );
}

export interface GgufParts {
  readonly metadata: Readonly<Record<string, GgufValue>>;
  readonly tensors: Readonly<Record<string, GgufTensorSpec>>;
  readonly version?: number;
  readonly alignment?: number;
  /** In place of each tensor's own offset. */
  readonly offsets?: Readonly<Record<string, number>>;
}

const padding = (length: number, to: number): Uint8Array => new Uint8Array((to - (length % to)) % to);

/** A whole file; tensors lie in the order given. */
export function ggufFile({
  metadata,
  tensors,
  version = 3,
  alignment = 32,
  offsets = {},
}: GgufParts): Uint8Array<ArrayBuffer> {
  const entries = Object.entries(metadata);
  const named = Object.entries(tensors);
  const table: Uint8Array[] = [];
  const data: Uint8Array[] = [];
  let at = 0;
  for (const [name, { type, shape, bytes }] of named) {
    const dimensions = [...shape].reverse().map(u64);
    table.push(ggufString(name), u32(shape.length), ...dimensions, u32(type), u64(offsets[name] ?? at));
    const pad = padding(bytes.length, alignment);
    data.push(bytes, pad);
    at += bytes.length + pad.length;
  }
  const header = concat(
    utf8.encode('GGUF'),
    u32(version),
    u64(named.length),
    u64(entries.length),
    ...entries.flatMap(([key, value]) => [ggufString(key), valueBytes(value)]),
    ...table,
  );
  return concat(header, padding(header.length, alignment), ...data);
}

/** Rows of a published type, from numbers. */
export interface Encoding {
  readonly type: number;
  readonly encode: (values: Float32Array) => Uint8Array;
  /** The numbers that are left. */
  readonly rounded: (values: Float32Array) => Float32Array;
}

const bytes16 = (values: Float32Array, round: (x: number) => number): Uint8Array =>
  new Uint8Array(Uint16Array.from(values, round).buffer);

/** d = largest / 127 in f16, q rounded: as ggml does. */
function q80(values: Float32Array): { bytes: Uint8Array; rounded: Float32Array } {
  const bytes = new Uint8Array((values.length / 32) * 34);
  const rounded = new Float32Array(values.length);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < values.length / 32; block++) {
    const part = values.subarray(32 * block, 32 * block + 32);
    const exact = Math.max(...part.map(Math.abs)) / 127;
    const scale = new Float16(exact);
    view.setUint16(34 * block, scale.bits, true);
    part.forEach((x, i) => {
      const q = exact === 0 ? 0 : Math.max(-127, Math.min(127, Math.round(x / exact)));
      view.setInt8(34 * block + 2 + i, q);
      rounded[32 * block + i] = q * scale.value;
    });
  }
  return { bytes, rounded };
}

class Float16 {
  readonly bits: number;
  readonly value: number;

  constructor(x: number) {
    this.bits = f32ToF16(x);
    const exponent = (this.bits >> 10) & 31;
    this.value = exponent ? 2 ** (exponent - 15) * (1 + (this.bits & 1023) / 1024) : (this.bits & 1023) * 2 ** -24;
  }
}

export const ENCODINGS = {
  F32: { type: 0, encode: (v) => new Uint8Array(Float32Array.from(v).buffer), rounded: (v) => v },
  F16: { type: 1, encode: (v) => bytes16(v, f32ToF16), rounded: (v) => v },
  BF16: { type: 30, encode: (v) => bytes16(v, f32ToBf16), rounded: (v) => v },
  Q8_0: { type: 8, encode: (v) => q80(v).bytes, rounded: (v) => q80(v).rounded },
} as const satisfies Record<string, Encoding>;

export type EncodingName = keyof typeof ENCODINGS;
