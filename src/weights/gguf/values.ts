/** Metadata values: u32 type, then the value; a list is u32 type of its items, u64 count, the items. */
import type { HeaderCursor } from './cursor.ts';

export type MetadataValue = number | boolean | string | readonly (number | boolean | string)[];

const BOOL = 7;
const STRING = 8;
const ARRAY = 9;

interface NumberType {
  readonly bytes: number;
  readonly get: (view: DataView, at: number) => number;
}

/** The shortest decimal that is the same f32: what the converter was given (0.00001, not 0.000009999999747378752). */
export function shortest(value: number): number {
  if (!Number.isFinite(value)) return value;
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

/** 64-bit integers beyond 2^53 lose their last digits: nothing here counts that far. */
const NUMBERS: ReadonlyMap<number, NumberType> = /* @__PURE__ */ new Map<number, NumberType>([
  [0, { bytes: 1, get: (v, at) => v.getUint8(at) }],
  [1, { bytes: 1, get: (v, at) => v.getInt8(at) }],
  [2, { bytes: 2, get: (v, at) => v.getUint16(at, true) }],
  [3, { bytes: 2, get: (v, at) => v.getInt16(at, true) }],
  [4, { bytes: 4, get: (v, at) => v.getUint32(at, true) }],
  [5, { bytes: 4, get: (v, at) => v.getInt32(at, true) }],
  [6, { bytes: 4, get: (v, at) => shortest(v.getFloat32(at, true)) }],
  [10, { bytes: 8, get: (v, at) => Number(v.getBigUint64(at, true)) }],
  [11, { bytes: 8, get: (v, at) => Number(v.getBigInt64(at, true)) }],
  [12, { bytes: 8, get: (v, at) => v.getFloat64(at, true) }],
]);

function readBoolean(cursor: HeaderCursor, key: string): boolean {
  const value = cursor.number(1, (v, at) => v.getUint8(at));
  if (value > 1) cursor.fail('metadata', `${key} must be true or false, found ${value}`, { key });
  return value === 1;
}

/** @throws InvalidCheckpoint by way of the cursor */
export function readValue(cursor: HeaderCursor, key: string): MetadataValue {
  const type = cursor.u32();
  return type === ARRAY ? readList(cursor, key) : readOne(cursor, type, key);
}

function readOne(cursor: HeaderCursor, type: number, key: string): number | boolean | string {
  if (type === STRING) return cursor.string(key);
  if (type === BOOL) return readBoolean(cursor, key);
  const number = NUMBERS.get(type);
  if (!number) return cursor.fail('metadata', `${key} has the unknown type ${type}`, { key, type });
  return cursor.number(number.bytes, number.get);
}

function readList(cursor: HeaderCursor, key: string): readonly (number | boolean | string)[] {
  const type = cursor.u32();
  if (type === ARRAY) return cursor.fail('metadata', `${key} is a list of lists, which no published file has`, { key });
  const itemBytes = type === STRING ? 8 : (NUMBERS.get(type)?.bytes ?? 1);
  const count = cursor.elements(key, itemBytes);
  return Array.from({ length: count }, () => readOne(cursor, type, key));
}
