/**
 * Weights that no native layout holds as they are: rows of f32. Rounding them to f16 would add an error of 1.7e-3 of the logits' RMS
 * (test/fixtures/formats/mixtral-gptq-actorder), more than kernels do.
 */
import { planes, type Layout } from '../layout.ts';
import type { PublishedMatrix } from '../matrix.ts';
import { padRows } from './plain.ts';

const LAYOUT: Layout = { kind: 'f32' };
const NONE = new Uint32Array(0);

/** Rows [begin, end) as numbers, K a row, in memory of their own. */
export type FloatReader = (begin: number, end: number, signal?: AbortSignal) => Promise<Float32Array<ArrayBuffer>>;

export function dequantised(
  about: Omit<PublishedMatrix, 'layout' | 'read' | 'floats'>,
  floats: FloatReader,
): PublishedMatrix {
  return {
    ...about,
    layout: LAYOUT,
    async read(begin, end, signal) {
      const values = await floats(begin, end, signal);
      const rows = end - begin;
      const rowBytes = planes(LAYOUT, { rows, cols: about.cols }).valueRowWords * 4;
      return { values: padRows(new Uint8Array(values.buffer), rows, rowBytes), scales: NONE, zeros: NONE };
    },
  };
}
