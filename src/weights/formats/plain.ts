/** Weights published as numbers: bf16, f16 and f32 as they are, every other type as f32. */
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import { planes, type Layout, type MatrixShape } from '../layout.ts';
import type { NativeRows, PublishedMatrix } from '../matrix.ts';
import { decodeFloats, dtypeBits } from '../safetensors/dtype.ts';
import { expectShape, type ExpertSlice } from './format.ts';
import { alternateRows, plainRows, transposedRows, type RowReader } from './rows.ts';

/** Companions of weights that are not the numbers themselves: without them a plain read would be wrong. */
const COMPANIONS =
  `weight_scale weight_scale_inv weight_scale_2 weight_packed weight_zero_point weight_global_scale input_scale qweight
  qzeros scales g_idx absmax quant_map SCB weight_format biases`
    .split(/\s+/)
    .map((suffix) => `.${suffix}`);
/** The same for tensors of rank 3, whose names have no `.weight`. */
const FUSED_COMPANIONS = ['_blocks', '_scales', '_scale', '_scale_inv', '_weight_scale', ...COMPANIONS];

const NONE = new Uint32Array(0);

/** `name` itself, or with `.weight`. */
export function tensorCalled(checkpoint: Checkpoint, name: string): TensorInfo | null {
  const full = [`${name}.weight`, name].find((n) => checkpoint.has(n));
  return full === undefined ? null : checkpoint.tensor(full);
}

export function layoutOf({ dtype, name }: TensorInfo): Layout {
  if (dtype === 'F32') return { kind: 'f32' };
  if (dtype === 'F16') return { kind: 'f16' };
  if (dtype === 'BF16') return { kind: 'bf16' };
  if (dtype === 'C64' || dtypeBits(dtype) % 8 !== 0) {
    throw new InvalidCheckpoint(
      'unsupported-dtype',
      `${name} has type ${dtype}, which webmoe does not read as weights`,
      { tensor: name, dtype },
    );
  }
  return { kind: 'f32' };
}

function refuseQuantised(checkpoint: Checkpoint, name: string, suffixes: readonly string[]): void {
  const companion = suffixes.map((suffix) => name + suffix).find((full) => checkpoint.has(full));
  if (companion === undefined) return;
  throw new UnsupportedModel(
    `${name} comes with ${companion}: it is quantised in a way that config.json's quantization_config does not announce`,
    { tensor: name, companion },
  );
}

/** Rows as they come, in the native layout of `info`'s type. */
function published(
  info: TensorInfo,
  label: string,
  shape: MatrixShape,
  storedBytes: number,
  rows: RowReader,
): PublishedMatrix {
  const layout = layoutOf(info);
  return {
    ...shape,
    name: label,
    layout,
    format: info.dtype.toLowerCase(),
    file: info.file,
    storedBytes,
    async read(begin, end, signal) {
      const bytes = await rows(begin, end, signal);
      return native(info, layout, { rows: end - begin, cols: shape.cols }, bytes);
    },
  };
}

function native(info: TensorInfo, layout: Layout, shape: MatrixShape, stored: Uint8Array<ArrayBuffer>): NativeRows {
  const isNative = layout.kind === info.dtype.toLowerCase();
  const bytes = isNative ? stored : new Uint8Array(decodeFloats(info, stored).buffer);
  return { values: padRows(bytes, shape.rows, planes(layout, shape).valueRowWords * 4), scales: NONE, zeros: NONE };
}

/** Rows of equal length, each followed by zeros up to `rowBytes`. */
export function padRows(bytes: Uint8Array<ArrayBuffer>, rows: number, rowBytes: number): Uint32Array<ArrayBuffer> {
  if (bytes.length === rows * rowBytes) return new Uint32Array(bytes.buffer);
  const out = new Uint8Array(rows * rowBytes);
  const from = bytes.length / rows;
  for (let row = 0; row < rows; row++) out.set(bytes.subarray(row * from, (row + 1) * from), row * rowBytes);
  return new Uint32Array(out.buffer);
}

/** @throws InvalidCheckpoint `wrong-shape` */
export function plainMatrix(checkpoint: Checkpoint, name: string, expected: MatrixShape): PublishedMatrix | null {
  const info = tensorCalled(checkpoint, name);
  refuseQuantised(checkpoint, name, COMPANIONS);
  if (!info) return null;
  const { rows, cols } = expected;
  expectShape(info, [rows, cols]);
  const rowBytes = (cols * dtypeBits(info.dtype)) / 8;
  return published(info, name, { rows, cols }, info.end - info.begin, plainRows(checkpoint, info, { rowBytes }));
}

/**
 * Of a convolution over two tokens that mixes channels, [rows, cols, 2, 1], the matrix for one of them.
 * @param tap 0 for the token before, 1 for the token itself
 * @throws InvalidCheckpoint `wrong-shape`
 */
export function plainTap(
  checkpoint: Checkpoint,
  name: string,
  tap: 0 | 1,
  { rows, cols }: MatrixShape,
): PublishedMatrix | null {
  const info = tensorCalled(checkpoint, name);
  if (!info) return null;
  expectShape(info, [rows, cols, 2, 1]);
  const unit = dtypeBits(info.dtype) / 8;
  const both = plainRows(checkpoint, info, { rowBytes: 2 * cols * unit });
  const read: RowReader = async (begin, end, signal) => everySecond(await both(begin, end, signal), unit, tap);
  return published(info, `${name}[:, :, ${tap}]`, { rows, cols }, (info.end - info.begin) / 2, read);
}

/** Values of `unit` bytes, from the value `phase` on. */
function everySecond(bytes: Uint8Array, unit: number, phase: 0 | 1): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.length / 2);
  for (let at = 0; at < out.length; at += unit)
    out.set(bytes.subarray(2 * at + phase * unit, 2 * at + (phase + 1) * unit), at);
  return out;
}

/** @throws InvalidCheckpoint `wrong-shape` */
export function plainExpert(checkpoint: Checkpoint, name: string, slice: ExpertSlice): PublishedMatrix | null {
  const info = tensorCalled(checkpoint, name);
  refuseQuantised(checkpoint, name, FUSED_COMPANIONS);
  if (!info) return null;
  const { e, experts, tensorRows, rows, cols, first, stride, transposed, label } = slice;
  const [outer, inner] = transposed ? [cols, tensorRows] : [tensorRows, cols];
  expectShape(info, slice.flat ? [experts * outer, inner] : [experts, outer, inner]);
  const unit = dtypeBits(info.dtype) / 8;
  const at = e * tensorRows * cols * unit;
  const rowBytes = cols * unit;
  const reader = (): RowReader => {
    if (transposed) {
      return transposedRows(checkpoint, info, {
        at,
        cols,
        stored: tensorRows,
        first,
        stride,
        rows,
        readers: tensorRows / rows,
      });
    }
    if (stride === 2) return alternateRows(checkpoint, info, { rowBytes, at }, first === 0 ? 0 : 1);
    return plainRows(checkpoint, info, { rowBytes, at: at + first * rowBytes });
  };
  return published(info, label, { rows, cols }, rows * rowBytes, reader());
}
