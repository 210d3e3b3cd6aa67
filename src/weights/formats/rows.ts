/** Rows of a tensor as bytes, whatever way the tensor stores them. */
import { dtypeBits } from '../safetensors/dtype.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import { readBytes } from '../source.ts';
import { sharedReads } from './shared-reads.ts';

/** The bytes of rows [begin, end), one row after the other, in memory of their own. */
export type RowReader = (begin: number, end: number, signal?: AbortSignal) => Promise<Uint8Array<ArrayBuffer>>;

export interface StoredRows {
  readonly rowBytes: number;
  /** Byte offset of row 0 in the tensor. */
  readonly at?: number;
}

/** Rows that lie one after the other. */
export function plainRows({ source }: Checkpoint, info: TensorInfo, { rowBytes, at = 0 }: StoredRows): RowReader {
  const start = info.begin + at;
  return (begin, end, signal) => readBytes(source, info.file, start + begin * rowBytes, start + end * rowBytes, signal);
}

/**
 * Every second row, from `phase`. The bytes of both phases come in one read, which the reader of the other phase shares when it asks for the
 * same rows next.
 */
export function alternateRows(checkpoint: Checkpoint, info: TensorInfo, stored: StoredRows, phase: 0 | 1): RowReader {
  const both = plainRows(checkpoint, info, stored);
  const { rowBytes, at = 0 } = stored;
  return async (begin, end, signal) => {
    const key = `${info.name} ${at} ${begin} ${end}`;
    const pairs = await sharedReads(checkpoint).get({ key, readers: 2, last: true }, signal, (s) =>
      both(2 * begin, 2 * end, s),
    );
    const out = new Uint8Array((end - begin) * rowBytes);
    for (let row = 0; row < end - begin; row++) {
      const from = (2 * row + phase) * rowBytes;
      out.set(pairs.subarray(from, from + rowBytes), row * rowBytes);
    }
    return out;
  };
}

export interface TransposedRows {
  /** Byte offset of the stored block [cols, stored] in the tensor. */
  readonly at: number;
  readonly cols: number;
  readonly stored: number;
  readonly first: number;
  readonly stride: number;
  readonly rows: number;
  /** How many matrices share the block. */
  readonly readers: number;
}

/** Rows that are columns of a stored block: the whole block is read, once for all readers that follow each other. */
export function transposedRows(checkpoint: Checkpoint, info: TensorInfo, block: TransposedRows): RowReader {
  const { at, cols, stored, first, stride, rows, readers } = block;
  const unit = dtypeBits(info.dtype) / 8;
  const whole = plainRows(checkpoint, info, { rowBytes: cols * stored * unit, at });
  return async (begin, end, signal) => {
    const shared = { key: `${info.name} ${at}`, readers, last: end === rows };
    const bytes = await sharedReads(checkpoint).get(shared, signal, (s) => whole(0, 1, s));
    const from = cells(bytes, unit);
    const out = new Uint8Array((end - begin) * cols * unit);
    const to = cells(out, unit);
    for (let k = 0; k < cols; k++) {
      const column = k * stored + first;
      for (let row = begin; row < end; row++) to[(row - begin) * cols + k] = from[column + row * stride]!;
    }
    return out;
  };
}

type Cells = { [index: number]: number };

/** Values as bit patterns, because a float on the move may lose a NaN's payload; 8-byte values are rounded to f32 anyway. */
function cells({ buffer }: Uint8Array<ArrayBuffer>, unit: number): Cells {
  if (unit === 2) return new Uint16Array(buffer);
  if (unit === 4) return new Uint32Array(buffer);
  return unit === 8 ? new Float64Array(buffer) : new Uint8Array(buffer);
}
