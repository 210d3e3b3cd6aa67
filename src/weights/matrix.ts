/** A published weight, seen as rows of a native layout. Formats make these; the loader places their rows. */
import type { Layout, MatrixShape } from './layout.ts';

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
  /** Reads and repacks some rows; memory is proportional to them. */
  read(beginRow: number, endRow: number, signal?: AbortSignal): Promise<NativeRows>;
}

/** `count` rows of a matrix from row `first` on, as a matrix of their own. */
export const rowsOf = (whole: PublishedMatrix, first: number, count: number): PublishedMatrix => ({
  ...whole,
  name: `${whole.name}[${first}..${first + count}]`,
  rows: count,
  storedBytes: (whole.storedBytes / whole.rows) * count,
  read: (begin, end, signal) => whole.read(first + begin, first + end, signal),
});
