/** Safetensors files made in memory, sources over them, and native rows turned back into numbers. */
import { decodeMatrix } from '../../src/reference/weights.ts';
import { planes } from '../../src/weights/layout.ts';
import type { PublishedMatrix } from '../../src/weights/matrix.ts';
import type { ByteSource } from '../../src/weights/source.ts';

/** Rows [begin, end) of a matrix as numbers, through the layout's reference decoder. */
export async function floatsOf(matrix: PublishedMatrix, begin = 0, end = matrix.rows): Promise<number[]> {
  const { values, scales, zeros } = await matrix.read(begin, end);
  const shape = { rows: end - begin, cols: matrix.cols };
  const p = planes(matrix.layout, shape);
  if (values.length !== shape.rows * p.valueRowWords) throw new Error(`values have ${values.length} words`);
  if (scales.length !== shape.rows * p.scaleRowWords) throw new Error(`scales have ${scales.length} words`);
  if (zeros.length !== shape.rows * p.zeroRowWords) throw new Error(`zeros have ${zeros.length} words`);
  const words = new Uint32Array(p.bytes / 4);
  words.set(values);
  words.set(scales, p.scalesAt / 4);
  words.set(zeros, p.zerosAt / 4);
  return [...decodeMatrix(words, matrix.layout, shape)];
}

const utf8 = new TextEncoder();

export const concat = (...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> => {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
};

export const bytesOf = (view: ArrayBufferView): Uint8Array<ArrayBuffer> =>
  new Uint8Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) as ArrayBuffer);

/** A file from its header's text or bytes, and its data. `claimed` is what the first 8 bytes say instead of the header's length. */
export function rawFile(
  header: string | Uint8Array,
  data: Uint8Array = new Uint8Array(0),
  claimed?: bigint,
): Uint8Array<ArrayBuffer> {
  const json = typeof header === 'string' ? utf8.encode(header) : header;
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, claimed ?? BigInt(json.length), true);
  return concat(length, json, data);
}

export interface TensorSpec {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A valid file; tensors in the order given, the header padded with spaces to a multiple of 8 unless `padding` says otherwise. */
export function safetensors(
  tensors: Readonly<Record<string, TensorSpec>>,
  { metadata, padding }: { metadata?: Record<string, string>; padding?: string } = {},
): Uint8Array<ArrayBuffer> {
  let at = 0;
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  const json = JSON.stringify(header);
  const spaces = padding ?? ' '.repeat((8 - (utf8.encode(json).length % 8)) % 8);
  return rawFile(json + spaces, concat(...Object.values(tensors).map((t) => t.bytes)));
}

export interface MemorySource extends ByteSource {
  /** Each read as `file begin-end`. */
  readonly reads: string[];
  /** Largest number of bytes handed out in one piece. */
  largestPiece: number;
}

/** Files in memory; text is encoded as UTF-8. */
export function memorySource(
  files: Readonly<Record<string, Uint8Array | string>>,
  pieceBytes = 64 * 1024,
): MemorySource {
  const all = new Map(Object.entries(files).map(([name, f]) => [name, typeof f === 'string' ? utf8.encode(f) : f]));
  const source: MemorySource = {
    label: 'memory',
    reads: [],
    largestPiece: 0,
    size: (file) => Promise.resolve(all.get(file)?.length ?? null),
    async *stream(file, begin, end, signal) {
      source.reads.push(`${file} ${begin}-${end}`);
      const bytes = all.get(file);
      if (!bytes || end > bytes.length) throw new Error(`test bug: read [${begin}, ${end}) of ${file}`);
      for (let at = begin; at < end; at += pieceBytes) {
        signal?.throwIfAborted();
        const piece = bytes.subarray(at, Math.min(end, at + pieceBytes));
        source.largestPiece = Math.max(source.largestPiece, piece.length);
        yield piece;
      }
    },
  };
  return source;
}
