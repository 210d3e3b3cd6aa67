/** Arrays as numpy writes them (.npy): read and written, little-endian, C order. */
import { InvalidTrace } from '../errors.ts';
import { f16ToF32, f32ToF16 } from '../util/half.ts';

export type NpyType = 'u1' | 'u2' | 'u4' | 'i4' | 'f2' | 'f4';
export type NpyData = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float32Array;

export interface NpyArray {
  readonly type: NpyType;
  readonly shape: readonly number[];
  /** f2 as f32. */
  readonly data: NpyData;
}

const SIZES: Readonly<Record<NpyType, number>> = { u1: 1, u2: 2, u4: 4, i4: 4, f2: 2, f4: 4 };
const MAGIC = '\x93NUMPY';
const ALIGN = 64;

const typeOf = (data: NpyData): NpyType => {
  if (data instanceof Uint8Array) return 'u1';
  if (data instanceof Uint16Array) return 'u2';
  if (data instanceof Uint32Array) return 'u4';
  return data instanceof Int32Array ? 'i4' : 'f4';
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
  data.forEach((value, i) => put(view, size + i * SIZES[as], as, value));
  return out;
}

function put(view: DataView, at: number, type: NpyType, value: number): void {
  if (type === 'u1') view.setUint8(at, value);
  else if (type === 'u2') view.setUint16(at, value, true);
  else if (type === 'u4') view.setUint32(at, value, true);
  else if (type === 'i4') view.setInt32(at, value, true);
  else if (type === 'f2') view.setUint16(at, f32ToF16(value), true);
  else view.setFloat32(at, value, true);
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
  const type = /'descr': *'[<|]([uif][124])'/.exec(header)?.[1] as NpyType | undefined;
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

function values(view: DataView, at: number, count: number, type: NpyType): NpyData {
  const read = (get: (offset: number) => number, into: NpyData): NpyData => {
    for (let i = 0; i < count; i++) into[i] = get(at + i * SIZES[type]);
    return into;
  };
  switch (type) {
    case 'u1':
      return read((o) => view.getUint8(o), new Uint8Array(count));
    case 'u2':
      return read((o) => view.getUint16(o, true), new Uint16Array(count));
    case 'u4':
      return read((o) => view.getUint32(o, true), new Uint32Array(count));
    case 'i4':
      return read((o) => view.getInt32(o, true), new Int32Array(count));
    case 'f2':
      return read((o) => f16ToF32(view.getUint16(o, true)), new Float32Array(count));
    case 'f4':
      return read((o) => view.getFloat32(o, true), new Float32Array(count));
  }
}
