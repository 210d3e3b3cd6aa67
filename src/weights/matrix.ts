/** A published weight, seen as rows of a native layout. Formats make these; the loader places their rows. */
import { UnsupportedModel } from '../errors.ts';
import { CHUNK, hasScales, sameLayout, type Layout, type MatrixShape } from './layout.ts';

/** Rows [begin, end) of a matrix, plane by plane, exactly as they lie in the GPU buffer (layout.ts). */
export interface NativeRows {
  readonly values: Uint32Array;
  readonly scales: Uint32Array;
  readonly zeros: Uint32Array;
}

export interface PublishedMatrix extends MatrixShape {
  /** As in `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  /** The layout its rows come in without any loss. */
  readonly layout: Layout;
  /** Published format, as in `bf16`, `compressed-tensors int4 g32`, `mxfp4`. */
  readonly format: string;
  /** The file that has its values; what belongs to them may lie in another one. */
  readonly file: string;
  /** Bytes in the checkpoint. */
  readonly storedBytes: number;
  /** The matrix of which these are the rows from `first` on; absent: they are all of their own. */
  readonly within?: MatrixShape & { readonly name: string; readonly first: number };
  /** The same weights as rows of floats, for quantising them further, where `layout` is none of floats. */
  readonly floats?: PublishedMatrix;
  /** Reads and repacks some rows; memory is proportional to them. */
  read(beginRow: number, endRow: number, signal?: AbortSignal): Promise<NativeRows>;
}

/** `count` rows of a matrix from row `first` on, as a matrix of their own. */
export const rowsOf = (whole: PublishedMatrix, first: number, count: number): PublishedMatrix => ({
  ...whole,
  name: `${whole.name}[${first}..${first + count}]`,
  rows: count,
  within: whole.within
    ? { ...whole.within, first: whole.within.first + first }
    : { name: whole.name, rows: whole.rows, cols: whole.cols, first },
  storedBytes: (whole.storedBytes / whole.rows) * count,
  ...(whole.floats && { floats: rowsOf(whole.floats, first, count) }),
  read: (begin, end, signal) => whole.read(first + begin, first + end, signal),
});

/** Planes of rows, one stretch of rows behind the other. */
function joined(parts: readonly NativeRows[], plane: keyof NativeRows): Uint32Array {
  const out = new Uint32Array(parts.reduce((words, part) => words + part[plane].length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part[plane], at);
    at += part[plane].length;
  }
  return out;
}

/**
 * Matrices of one shape and layout, one below the other.
 * @throws UnsupportedModel where their layouts differ
 */
export function below(name: string, matrices: readonly PublishedMatrix[]): PublishedMatrix {
  const [{ rows, cols, layout, format, file }] = matrices as [PublishedMatrix, ...PublishedMatrix[]];
  if (!matrices.every((m) => sameLayout(m.layout, layout)))
    throw new UnsupportedModel(`${name} is joined from matrices that differ in format`, { tensor: name });
  const floats = matrices.flatMap((m) => m.floats ?? []);
  return {
    name,
    rows: rows * matrices.length,
    cols,
    layout,
    format,
    file,
    storedBytes: matrices.reduce((sum, m) => sum + m.storedBytes, 0),
    ...(floats.length === matrices.length && { floats: below(name, floats) }),
    async read(begin, end, signal) {
      const parts: NativeRows[] = [];
      for (const [i, m] of matrices.entries()) {
        const [from, to] = [Math.max(begin - i * rows, 0), Math.min(end - i * rows, rows)];
        if (from < to) parts.push(await m.read(from, to, signal));
      }
      if (parts.length === 1) return parts[0]!;
      return { values: joined(parts, 'values'), scales: joined(parts, 'scales'), zeros: joined(parts, 'zeros') };
    },
  };
}

/**
 * Matrices side by side: row r of the result is row r of each.
 * @throws UnsupportedModel for layouts with scales, and for widths that do not end where a chunk does
 */
export function sideBySide(name: string, matrices: readonly PublishedMatrix[]): PublishedMatrix {
  const [first] = matrices as [PublishedMatrix, ...PublishedMatrix[]];
  const { cols, layout } = first;
  if (cols % CHUNK !== 0 || hasScales(layout)) {
    throw new UnsupportedModel(
      `${name} is joined from matrices of ${cols} columns in ${first.format}: only plain ones of whole chunks of ${CHUNK} can be`,
      {
        tensor: name,
      },
    );
  }
  const none = new Uint32Array(0);
  return {
    ...first,
    name,
    cols: cols * matrices.length,
    storedBytes: matrices.reduce((sum, m) => sum + m.storedBytes, 0),
    async read(begin, end, signal) {
      const parts = await Promise.all(matrices.map((m) => m.read(begin, end, signal)));
      const words = parts[0]!.values.length / (end - begin);
      const values = new Uint32Array(parts.length * parts[0]!.values.length);
      parts.forEach((part, i) => {
        for (let row = 0; row < end - begin; row++)
          values.set(part.values.subarray(row * words, (row + 1) * words), (row * parts.length + i) * words);
      });
      return { values, scales: none, zeros: none };
    },
  };
}
