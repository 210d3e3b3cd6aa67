/** Published matrices as floats that something can be added to, and back into native rows. */
import { UnsupportedModel } from '../../errors.ts';
import { f32ToBf16, f32ToF16 } from '../../util/half.ts';
import { intFloats } from '../formats/int-rows.ts';
import { padRows } from '../formats/plain.ts';
import { layoutName, planes, type Layout, type MatrixShape } from '../layout.ts';
import type { NativeRows, PublishedMatrix } from '../matrix.ts';
import { decodeFloats } from '../safetensors/dtype.ts';

const NONE = new Uint32Array(0);
const DTYPE = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;

export interface FloatRows {
  /** What sums are kept in: the type of the floats, f32 where they were none. */
  readonly layout: Layout & { readonly kind: 'f32' | 'f16' | 'bf16' };
  read(begin: number, end: number, signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>>;
}

/** @throws UnsupportedModel for layouts of 4-bit floats */
export function floatRows(matrix: PublishedMatrix): FloatRows {
  const { layout, cols, floats, name } = matrix;
  if (layout.kind === 'f32' || layout.kind === 'f16' || layout.kind === 'bf16')
    return {
      layout,
      read: async (begin, end, signal) =>
        plainFloats(await matrix.read(begin, end, signal), layout.kind, { rows: end - begin, cols }),
    };
  if (layout.kind === 'int') {
    return {
      layout: { kind: 'f32' },
      read: async (begin, end, signal) =>
        intFloats(await matrix.read(begin, end, signal), layout, { rows: end - begin, cols }, null),
    };
  }
  if (floats) return floatRows(floats);
  throw new UnsupportedModel(
    `${name} is ${layoutName(layout)}, to which no adapter can be added: use a checkpoint in bf16, f16, FP8 or integers`,
    { tensor: name },
  );
}

function plainFloats({ values }: NativeRows, kind: keyof typeof DTYPE, shape: MatrixShape): Float32Array<ArrayBuffer> {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const padded = decodeFloats({ name: kind, dtype: DTYPE[kind] }, bytes);
  const perRow = shape.rows ? padded.length / shape.rows : shape.cols;
  if (perRow === shape.cols) return padded;
  const out = new Float32Array(shape.rows * shape.cols);
  for (let row = 0; row < shape.rows; row++)
    out.set(padded.subarray(row * perRow, row * perRow + shape.cols), row * shape.cols);
  return out;
}

/** Rounded to nearest, as their type asks. */
export function floatsToRows(
  values: Float32Array<ArrayBuffer>,
  layout: FloatRows['layout'],
  shape: MatrixShape,
): NativeRows {
  const round = layout.kind === 'bf16' ? f32ToBf16 : f32ToF16;
  const bytes = new Uint8Array(layout.kind === 'f32' ? values.buffer : Uint16Array.from(values, round).buffer);
  return { values: padRows(bytes, shape.rows, planes(layout, shape).valueRowWords * 4), scales: NONE, zeros: NONE };
}
