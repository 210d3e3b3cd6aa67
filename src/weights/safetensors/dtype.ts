/** The element types of safetensors, and what their bits mean. */
import { InvalidCheckpoint } from '../../errors.ts';
import { f16ToF32 } from '../../util/half.ts';

const BITS = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  F64: 64,
  I64: 64,
  U64: 64,
  C64: 64,
} as const;

export type DType = keyof typeof BITS;

export const DTYPES = Object.keys(BITS) as readonly DType[];
export const isDType = (name: string): name is DType => Object.hasOwn(BITS, name);
export const dtypeBits = (dtype: DType): number => BITS[dtype];

const table = (decode: (code: number) => number): Float32Array =>
  Float32Array.from({ length: 256 }, (_, code) => decode(code));

/** Sign, `exponentBits`, mantissa; `special` says what codes outside the plain formula mean. */
const small =
  (exponentBits: number, bias: number, special: (code: number) => number | undefined) =>
  (code: number): number => {
    const meaning = special(code);
    if (meaning !== undefined) return meaning;
    const mantissaBits = 7 - exponentBits;
    const exponent = (code & 127) >> mantissaBits;
    const mantissa = (code & ((1 << mantissaBits) - 1)) / (1 << mantissaBits);
    const magnitude = exponent === 0 ? mantissa * 2 ** (1 - bias) : (1 + mantissa) * 2 ** (exponent - bias);
    return code & 128 ? -magnitude : magnitude;
  };
const unsignedZero = (code: number): number | undefined => (code === 128 ? NaN : undefined);

const TABLES: Partial<Record<DType, () => Float32Array>> = {
  F8_E4M3: () => table(small(4, 7, (c) => ((c & 127) === 127 ? NaN : undefined))),
  F8_E5M2: () => table((c) => f16ToF32(c << 8)),
  F8_E8M0: () => table((c) => (c === 255 ? NaN : 2 ** (c - 127))),
  F8_E4M3FNUZ: () => table(small(4, 8, unsignedZero)),
  F8_E5M2FNUZ: () => table(small(5, 16, unsignedZero)),
  // Any set bit is true, as in C.
  BOOL: () => table((c) => (c ? 1 : 0)),
  U8: () => table((c) => c),
  I8: () => table((c) => (c << 24) >> 24),
  F16: () => Float32Array.from({ length: 65536 }, (_, bits) => f16ToF32(bits)),
};
const built = new Map<DType, Float32Array>();
function tableOf(dtype: DType): Float32Array | undefined {
  const make = TABLES[dtype];
  if (!make) return undefined;
  let found = built.get(dtype);
  if (!found) built.set(dtype, (found = make()));
  return found;
}

/** Nearest f32 of a 64-bit integer: dropped low bits leave a mark, so that the two roundings on the way act as one. */
function roundBig(value: bigint): number {
  if (BigInt.asIntN(53, value) === value) return Number(value);
  const kept = (value >> 11n) << 11n;
  return Number(kept === value ? kept : kept | 2048n);
}

/** Bytes at any offset, in an array that typed views can start on. */
const aligned = (bytes: Uint8Array, unit: number): ArrayBuffer => {
  if (bytes.length % unit !== 0)
    throw new InvalidCheckpoint('size', `${bytes.length} bytes are not a whole number of ${unit}-byte values`);
  return new Uint8Array(bytes).buffer;
};

/**
 * The values of a tensor, or of a part of it, as f32: exact for every type that f32 holds, else rounded to nearest even.
 * `bytes` may start anywhere in memory.
 * @throws InvalidCheckpoint `unsupported-dtype` for F4, F6 and complex numbers
 */
export function decodeFloats(
  { dtype, name }: { readonly dtype: DType; readonly name: string },
  bytes: Uint8Array,
): Float32Array<ArrayBuffer> {
  const codes = tableOf(dtype);
  if (codes) {
    const indices = dtype === 'F16' ? new Uint16Array(aligned(bytes, 2)) : bytes;
    const out = new Float32Array(indices.length);
    for (let i = 0; i < indices.length; i++) out[i] = codes[indices[i]!]!;
    return out;
  }
  if (dtype === 'F4' || dtype === 'F6_E2M3' || dtype === 'F6_E3M2' || dtype === 'C64') {
    throw new InvalidCheckpoint(
      'unsupported-dtype',
      `${name} has type ${dtype}, which webmoe does not read as numbers`,
      { tensor: name, dtype },
    );
  }
  const words = aligned(bytes, BITS[dtype] / 8);
  if (dtype === 'BF16') {
    const wide = new Uint32Array(new Uint16Array(words));
    for (let i = 0; i < wide.length; i++) wide[i] = wide[i]! << 16;
    return new Float32Array(wide.buffer);
  }
  if (dtype === 'F32') return new Float32Array(words);
  if (dtype === 'F64') return Float32Array.from(new Float64Array(words));
  if (dtype === 'I64') return Float32Array.from(new BigInt64Array(words), roundBig);
  if (dtype === 'U64') return Float32Array.from(new BigUint64Array(words), roundBig);
  if (dtype === 'I32') return Float32Array.from(new Int32Array(words));
  if (dtype === 'U32') return Float32Array.from(new Uint32Array(words));
  return Float32Array.from(dtype === 'I16' ? new Int16Array(words) : new Uint16Array(words));
}
