/** e2m1 values in rows, two in a byte, low nibble first: with e8m0 scales for 32 (MXFP4), or e4m3 scales for 16 and one for the tensor (NVFP4). */
import { InvalidCheckpoint } from '../../errors.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import { CHUNK, NVFP4_GROUP, planes, type Layout, type MatrixShape } from '../layout.ts';
import type { PublishedMatrix } from '../matrix.ts';
import { readSmall } from './declared.ts';
import { expectDType, expectShape } from './format.ts';
import { nativeNibbles } from './nibbles.ts';
import { padRows } from './plain.ts';
import { plainRows } from './rows.ts';
import { bytesIn } from './scales.ts';

const NONE = new Uint32Array(0);

export interface Fp4Matrix {
  readonly name: string;
  readonly shape: MatrixShape;
  readonly values: TensorInfo;
  readonly scales: TensorInfo;
  readonly format: string;
}

export interface GlobalScale {
  readonly info: TensorInfo;
  /** What the names of all of them end in. */
  readonly suffix: string;
  /** Whether weights are divided by it, not multiplied. */
  readonly isDivisor: boolean;
}

function expectGroups({ values, scales, shape: { rows, cols } }: Fp4Matrix, group: number): void {
  if (cols % group !== 0) {
    throw new InvalidCheckpoint(
      'wrong-shape',
      `${values.name} holds groups of ${group}, but config.json asks for ${cols} columns`,
      { tensor: values.name, expected: cols },
    );
  }
  expectDType(values, 'U8');
  expectShape(values, [rows, cols / 2]);
  expectShape(scales, [rows, cols / group]);
}

/** Nibbles in the order of the file, rows padded with zeros. */
const nativeRows = (bytes: Uint8Array<ArrayBuffer>, layout: Layout, shape: MatrixShape): Uint32Array =>
  padRows(bytes, shape.rows, planes(layout, shape).valueRowWords * 4).map(nativeNibbles);

/** @throws InvalidCheckpoint for wrong shapes and types */
export function mxfp4Matrix(checkpoint: Checkpoint, matrix: Fp4Matrix): PublishedMatrix {
  const { name, values, scales, format } = matrix;
  const { rows, cols } = matrix.shape;
  expectGroups(matrix, CHUNK);
  expectDType(scales, 'U8', 'F8_E8M0');
  const layout: Layout = { kind: 'mxfp4' };
  const v = plainRows(checkpoint, values, { rowBytes: cols / 2 });
  const s = plainRows(checkpoint, scales, { rowBytes: cols / CHUNK });
  return {
    name,
    rows,
    cols,
    layout,
    format,
    file: values.file,
    storedBytes: bytesIn(values, scales),
    async read(begin, end, signal) {
      const [codes, exponents] = await Promise.all([v(begin, end, signal), s(begin, end, signal)]);
      const part = { rows: end - begin, cols };
      return {
        values: nativeRows(codes, layout, part),
        scales: padRows(exponents, part.rows, planes(layout, part).scaleRowWords * 4),
        zeros: NONE,
      };
    },
  };
}

/** @throws InvalidCheckpoint for wrong shapes and types, for scales that are no numbers, and for a divisor of 0 */
export function nvfp4Matrix(
  checkpoint: Checkpoint,
  matrix: Fp4Matrix & { readonly global: GlobalScale },
): PublishedMatrix {
  const { name, values, scales, format, global } = matrix;
  const { rows, cols } = matrix.shape;
  expectGroups(matrix, NVFP4_GROUP);
  expectDType(scales, 'F8_E4M3');
  expectDType(global.info, 'F32');
  if (global.info.shape.some((d) => d !== 1)) expectShape(global.info, [1]);
  const layout: Layout = { kind: 'nvfp4' };
  const groups = cols / NVFP4_GROUP;
  const v = plainRows(checkpoint, values, { rowBytes: cols / 2 });
  const s = plainRows(checkpoint, scales, { rowBytes: groups });
  return {
    name,
    rows,
    cols,
    layout,
    format,
    file: values.file,
    storedBytes: bytesIn(values, scales, global.info),
    async read(begin, end, signal) {
      const [codes, fine, [whole]] = await Promise.all([
        v(begin, end, signal),
        s(begin, end, signal),
        readSmall(checkpoint, global.info, global.suffix, signal),
      ]);
      const factor = global.isDivisor ? 1 / whole! : whole!;
      if (!Number.isFinite(factor) || fine.some((code) => (code & 127) === 127))
        throw new InvalidCheckpoint('not-finite', `${name} has scales that are no numbers`, { tensor: name });
      const part = { rows: end - begin, cols };
      return { values: nativeRows(codes, layout, part), scales: scaleRows(fine, factor, part), zeros: NONE };
    },
  };
}

/** The tensor's scale before the scales of each row. */
function scaleRows(fine: Uint8Array, factor: number, { rows, cols }: MatrixShape): Uint32Array {
  const { scaleRowWords, groups } = planes({ kind: 'nvfp4' }, { rows, cols });
  const words = new Uint32Array(rows * scaleRowWords);
  const bytes = new Uint8Array(words.buffer);
  const floats = new Float32Array(words.buffer);
  for (let row = 0; row < rows; row++) {
    floats[row * scaleRowWords] = factor;
    bytes.set(fine.subarray(row * groups, (row + 1) * groups), 4 * (row * scaleRowWords + 1));
  }
  return words;
}
