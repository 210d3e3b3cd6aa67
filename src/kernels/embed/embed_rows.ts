import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { weightFormat } from '../../weights/layout.ts';
import type { DeviceMatrix } from '../matrix.ts';

export interface EmbedRows {
  readonly ids: BufferView; // [T] u32
  readonly weights: DeviceMatrix; // [N, D]
  /** Added to the row of the token at each position. Default and null: nothing is. */
  readonly sinusoids?: BufferView | null; // [context, D]
  readonly out: BufferView; // [T, D]
}

/**
 * out[t] = row ids[t] of the table, times `scale`, and the sinusoid of the token's position. For a table in parts, record one call a part in order, with the table row that each starts at: a part
 * writes only the tokens whose rows it has. Ids beyond the table never read out of bounds: they give the last row of the first part.
 */
export function embedRows(
  recorder: Recorder,
  label: string,
  { ids, weights, sinusoids, out }: EmbedRows,
  { firstRow = 0, scale = 1 }: { readonly firstRow?: number; readonly scale?: number } = {},
): void {
  const { constants, imports } = weightFormat(weights.layout, weights);
  const scaled = scale === 1 ? { SCALED: false } : { SCALED: true, SCALE: scale };
  const part = firstRow > 0 ? { LATER_PART: true, FIRST_ROW: firstRow } : { LATER_PART: false };
  recorder.dispatch({
    shader: 'embed/embed_rows',
    label,
    constants: { ...constants, ...part, ...scaled, SINUSOIDS: Boolean(sinusoids), D: weights.cols, N: weights.rows },
    imports,
    bindings: { ids, values: weights.view, scales: weights.view, out, ...(sinusoids && { sinusoids }) },
    grid: ({ tokens }) => foldGrid(tokens),
  });
}
