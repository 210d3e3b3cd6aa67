/** Twins of shaders/kv/: what a row of a cache is read as, and its words. */
import type { KvFormat } from '../../config/kv-format.ts';
import { f16ToF32, f32ToF16 } from '../../util/half.ts';

const LARGEST_F16 = 65504;

/** A row as it will be read. */
export function keptRow(row: readonly number[], format: KvFormat): number[] {
  if (format === 'f32') return row.map(Math.fround);
  if (format === 'f16') return row.map((x) => f16ToF32(f32ToF16(Math.min(LARGEST_F16, Math.max(-LARGEST_F16, x)))));
  const most = Math.max(...row.map(Math.abs));
  return row.map((x) => (most === 0 ? 0 : (Math.floor(0.5 + (127 * x) / most) * most) / 127));
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function wordOf(value: number): number {
  float[0] = value;
  return bits[0]!;
}

function valueOf(word: number): number {
  bits[0] = word;
  return float[0]!;
}

function rowWords(row: readonly number[], format: KvFormat): number[] {
  if (format === 'f32') return row.map(wordOf);
  if (format === 'f16') {
    const half = (i: number): number => f32ToF16(row[i]!);
    return Array.from({ length: row.length / 2 }, (_, i) => (half(2 * i) | (half(2 * i + 1) << 16)) >>> 0);
  }
  const most = Math.max(...row.map(Math.abs));
  const byte = (x: number): number => (most === 0 ? 0 : Math.floor(0.5 + (127 * x) / most) & 255);
  const quads = Array.from({ length: row.length / 4 }, (_, u) =>
    [0, 1, 2, 3].reduce((word, i) => word | (byte(row[4 * u + i]!) << (8 * i)), 0),
  );
  return [wordOf(most / 127), ...quads.map((w) => w >>> 0)];
}

/** Words of a cache whose rows have `size` values. */
export function encodeKv(values: ArrayLike<number>, format: KvFormat, size: number): Uint32Array<ArrayBuffer> {
  const all = Array.from(values);
  const rows = Array.from({ length: all.length / size }, (_, r) => all.slice(r * size, (r + 1) * size));
  return Uint32Array.from(rows.flatMap((row) => rowWords(row, format)));
}

/** The values of a cache's words. */
export function decodeKv(words: Uint32Array, format: KvFormat, size: number): Float64Array {
  const row = format === 'f32' ? size : format === 'f16' ? size / 2 : size / 4 + 1;
  return Float64Array.from({ length: (words.length / row) * size }, (_, i) => {
    const [from, d] = [Math.floor(i / size) * row, i % size];
    if (format === 'f32') return valueOf(words[from + d]!);
    if (format === 'f16') return f16ToF32((words[from + (d >> 1)]! >>> (16 * (d & 1))) & 0xffff);
    const byte = (words[from + 1 + (d >> 2)]! << (24 - 8 * (d & 3))) >> 24;
    return valueOf(words[from]!) * byte;
  });
}
