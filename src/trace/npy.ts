/** Arrays as numpy writes them (.npy): read and written, little-endian, C order. */
import { InvalidTrace } from '../errors.ts';
import { f16ToF32, f32ToF16 } from '../util/half.ts';

export type NpyType = 'u1' | 'u2' | 'u4' | 'i2' | 'i4' | 'i8' | 'f2' | 'f4' | 'f8';
export type NpyData = Uint8Array | Uint16Array | Uint32Array | Int16Array | Int32Array | Float32Array | Float64Array;

export interface NpyArray {
  readonly type: NpyType;
  readonly shape: readonly number[];
  /** f2 as f32, i8 as f64. */
  readonly data: NpyData;
}

const SIZES: Readonly<Record<NpyType, number>> = { u1: 1, u2: 2, u4: 4, i2: 2, i4: 4, i8: 8, f2: 2, f4: 4, f8: 8 };
const MAGIC = '\x93NUMPY';
const ALIGN = 64;

const typeOf = (data: NpyData): NpyType => {
  if (data instanceof Uint8Array) return 'u1';
  if (data instanceof Uint16Array) return 'u2';
  if (data instanceof Uint32Array) return 'u4';
  if (data instanceof Int16Array) return 'i2';
  if (data instanceof Int32Array) return 'i4';
  return data instanceof Float64Array ? 'f8' : 'f4';
};

/** @param as 'f2' to store floats in half the bytes */
export function encodeNpy(
  data: NpyData,
  shape: readonly number[],
  as: NpyType = typeOf(data),
): Uint8Array<ArrayBuffer> {
  const dims = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const dict = `{'descr': '${as === 'u1' ? '|' : '<'}${as}', 'fortran_order': False, 'shape': ${dims}, }`;
  const size = Math.ceil((MAGIC.length + 4 + dict.length + 1) / ALIGN) * ALIGN;
  const header = `${MAGIC}\x01\x00\0\0${dict.padEnd(size - MAGIC.length - 5)}\n`;
  const out = new Uint8Array(size + data.length * SIZES[as]);
  for (let i = 0; i < size; i++) out[i] = header.charCodeAt(i);
  const view = new DataView(out.buffer);
  view.setUint16(8, size - 10, true);
  for (let i = 0; i < data.length; i++) put(view, size + i * SIZES[as], as, data[i]!);
  return out;
}

function put(view: DataView, at: number, type: NpyType, value: number): void {
  if (type === 'u1') view.setUint8(at, value);
  else if (type === 'u2') view.setUint16(at, value, true);
  else if (type === 'u4') view.setUint32(at, value, true);
  else if (type === 'i2') view.setInt16(at, value, true);
  else if (type === 'i4') view.setInt32(at, value, true);
  else if (type === 'i8') view.setBigInt64(at, BigInt(value), true);
  else if (type === 'f2') view.setUint16(at, f32ToF16(value), true);
  else if (type === 'f4') view.setFloat32(at, value, true);
  else view.setFloat64(at, value, true);
}

/** @throws InvalidTrace for anything but a whole array of one of the types above */
export function decodeNpy(bytes: Uint8Array, name: string): NpyArray {
  const refuse = (what: string): never => {
    throw new InvalidTrace(`${name}: ${what}`, { name });
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const latin = (from: number, to: number): string => String.fromCharCode(...bytes.subarray(from, to));
  if (bytes.length < 12 || latin(0, 6) !== MAGIC) refuse('is no .npy array');
  const isLong = bytes[6]! >= 2;
  const start = isLong ? 12 : 10;
  const end = start + (isLong ? view.getUint32(8, true) : view.getUint16(8, true));
  if (end > bytes.length || end > 4096) refuse('its header does not end');
  const header = latin(start, end);
  const type = /'descr': *'[<|]([uif][1248])'/.exec(header)?.[1] as NpyType | undefined;
  const dims = /'shape': *\(([\d, ]*)\)/.exec(header)?.[1];
  if (!type || !Object.hasOwn(SIZES, type) || dims === undefined || !/'fortran_order': *False/.test(header))
    return refuse(`webmoe reads ${Object.keys(SIZES).join(', ')} in C order, not ${header.trim()}`);
  const shape = dims
    .split(',')
    .filter((d) => d.trim())
    .map(Number);
  const count = shape.reduce((a, b) => a * b, 1);
  if (!Number.isSafeInteger(count) || bytes.length - end !== count * SIZES[type])
    refuse(`shape (${shape.join(', ')}) does not fit its ${bytes.length - end} bytes`);
  return { type, shape, data: values(view, end, count, type) };
}

/** Of every half, once somebody reads one: arithmetic on each of 40 million would take seconds. */
let halves: Float32Array | null = null;

/** A copy, because an array's bytes need not lie at a multiple of their size. Every engine's typed arrays are little-endian today, as the file is. */
function values(view: DataView, at: number, count: number, type: NpyType): NpyData {
  const start = view.byteOffset + at;
  const bytes = view.buffer.slice(start, start + count * SIZES[type]);
  switch (type) {
    case 'u1':
      return new Uint8Array(bytes);
    case 'u2':
      return new Uint16Array(bytes);
    case 'u4':
      return new Uint32Array(bytes);
    case 'i2':
      return new Int16Array(bytes);
    case 'i4':
      return new Int32Array(bytes);
    case 'i8':
      return Float64Array.from(new BigInt64Array(bytes), Number);
    case 'f2':
      return fromHalves(new Uint16Array(bytes));
    case 'f4':
      return new Float32Array(bytes);
    case 'f8':
      return new Float64Array(bytes);
  }
}

function fromHalves(bits: Uint16Array): Float32Array {
  halves ??= Float32Array.from({ length: 2 ** 16 }, (_, n) => f16ToF32(n));
  const floats = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) floats[i] = halves[bits[i]!]!;
  return floats;
}
