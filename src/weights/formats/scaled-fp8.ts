/** F8 weights with a scale for a tensor, a row, or a block of rows and columns: w = scale * value. E4M3 stays as it is. */
import { InvalidCheckpoint } from '../../errors.ts';
import { ceilDiv } from '../../util/math.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import { planes, type Layout, type MatrixShape } from '../layout.ts';
import type { PublishedMatrix } from '../matrix.ts';
import { decodeFloats, dtypeBits } from '../safetensors/dtype.ts';
import { dequantised, type FloatReader } from './dequantised.ts';
import { expectDType, expectShape } from './format.ts';
import { padRows } from './plain.ts';
import { plainRows, type RowReader } from './rows.ts';
import { bytesIn, isNativeGroup, scaleType } from './scales.ts';

const NONE = new Uint32Array(0);

/** Rows and columns that share a scale; Infinity: all of them. */
export interface ScaleBlock {
  readonly rows: number;
  readonly cols: number;
}
export const WHOLE: ScaleBlock = { rows: Infinity, cols: Infinity };
export const PER_ROW: ScaleBlock = { rows: 1, cols: Infinity };

export interface ScaledFp8 {
  readonly name: string;
  readonly shape: MatrixShape;
  readonly weight: TensorInfo;
  readonly scale: TensorInfo;
  readonly block: ScaleBlock;
  readonly format: string;
}

/** Scales of rows [begin, end), `groups` a row, as bytes of the stored type. */
function scaleRows(checkpoint: Checkpoint, { scale, block }: ScaledFp8, groups: number): RowReader {
  const rowBytes = (groups * dtypeBits(scale.dtype)) / 8;
  const stored = plainRows(checkpoint, scale, { rowBytes });
  return async (begin, end, signal) => {
    const first = Math.floor(begin / block.rows);
    const found = await stored(first, Math.max(first, Math.floor((end - 1) / block.rows)) + 1, signal);
    const out = new Uint8Array((end - begin) * rowBytes);
    for (let row = begin; row < end; row++) {
      const from = (Math.floor(row / block.rows) - first) * rowBytes;
      out.set(found.subarray(from, from + rowBytes), (row - begin) * rowBytes);
    }
    return out;
  };
}

function expectScales({ scale, shape, block }: ScaledFp8): void {
  const grid = [Math.max(1, ceilDiv(shape.rows, block.rows)), Math.max(1, ceilDiv(shape.cols, block.cols))];
  const isOne = grid.every((d) => d === 1);
  // One scale is published as [], [1] or [1, 1], one a row as [N] or [N, 1].
  const matters = scale.shape.filter((d) => d !== 1);
  const isColumn = grid[1] === 1 && matters.length === 1 && scale.shape[0] === grid[0];
  if (isOne ? matters.length > 0 : !isColumn) expectShape(scale, isOne ? [1] : grid);
}

/** @throws InvalidCheckpoint for the two codes that stand for NaN: kernels take them for numbers */
function refuseNaN(name: string, codes: Uint8Array<ArrayBuffer>): void {
  const whole = codes.length - (codes.length % 4);
  const words = new Uint32Array(codes.buffer, 0, whole / 4);
  let isFound = false;
  // 0x7f and 0xff are the codes that a 1 carries into the top bit of their byte.
  for (const word of words) isFound ||= (((word & 0x7f7f7f7f) + 0x01010101) & 0x80808080) !== 0;
  for (let i = whole; i < codes.length; i++) isFound ||= (codes[i]! & 127) === 127;
  if (!isFound) return;
  throw new InvalidCheckpoint('not-finite', `${name} has weights that are no numbers (NaN)`, { tensor: name });
}

/** @throws InvalidCheckpoint for wrong shapes and types */
export function scaledFp8(checkpoint: Checkpoint, fp8: ScaledFp8): PublishedMatrix {
  const { name, shape, weight, scale, block, format } = fp8;
  const { rows, cols } = shape;
  expectDType(weight, 'F8_E4M3', 'F8_E5M2', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ');
  expectShape(weight, [rows, cols]);
  expectScales(fp8);
  const group = Math.min(block.cols, cols);
  const groups = ceilDiv(cols, group);
  const codes = plainRows(checkpoint, weight, { rowBytes: cols });
  const scales = scaleRows(checkpoint, fp8, groups);
  const isExponent = scale.dtype === 'F8_E8M0';
  const about = { name, rows, cols, format, file: weight.file, storedBytes: bytesIn(weight, scale) };
  const floats: FloatReader = async (begin, end, signal) => {
    const [c, s] = await Promise.all([codes(begin, end, signal), scales(begin, end, signal)]);
    const values = decodeFloats(weight, c);
    const factors = decodeFloats(scale, s);
    for (let i = 0; i < values.length; i++)
      values[i] = values[i]! * factors[Math.floor(i / cols) * groups + Math.floor((i % cols) / group)]!;
    return values;
  };
  if (!isExponent) scaleType(scale);
  if (weight.dtype !== 'F8_E4M3' || !isNativeGroup(group, cols)) return dequantised(about, floats);
  const layout: Layout = { kind: 'fp8', group, scale: isExponent ? 'f32' : scaleType(scale) };
  return {
    ...about,
    layout,
    floats: dequantised(about, floats),
    async read(begin, end, signal) {
      const [c, s] = await Promise.all([codes(begin, end, signal), scales(begin, end, signal)]);
      refuseNaN(name, c);
      const count = end - begin;
      const p = planes(layout, { rows: count, cols });
      const factors = isExponent ? new Uint8Array(decodeFloats(scale, s).buffer) : s;
      return {
        values: padRows(c, count, p.valueRowWords * 4),
        scales: padRows(factors, count, p.scaleRowWords * 4),
        zeros: NONE,
      };
    },
  };
}
