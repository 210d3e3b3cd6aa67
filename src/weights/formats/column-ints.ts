/**
 * GPTQ and AWQ store W transposed, [K, N], with scales [G, N]: every row of ours is a column of theirs. A matrix is read whole and turned, its
 * integers as they are; only where columns of W are assigned to groups out of order, or in groups of another size, is it dequantised.
 */
import { UnsupportedModel } from '../../errors.ts';
import { ceilDiv } from '../../util/math.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { planes, type IntLayout, type MatrixShape } from '../layout.ts';
import type { NativeRows, PublishedMatrix } from '../matrix.ts';
import { decodeFloats } from '../safetensors/dtype.ts';
import { readBytes } from '../source.ts';
import { checkedIndex, checkGroupIndex } from './declared.ts';
import { dequantised } from './dequantised.ts';
import { expectDType, expectShape } from './format.ts';
import { intFloats, intRows } from './int-rows.ts';
import { padRows } from './plain.ts';
import { bytesIn, isNativeGroup, scaleType } from './scales.ts';
import { wholeTensors } from './whole-tensors.ts';

/** How integers lie in the words of `qweight` and `qzeros`. */
export interface ColumnPacking {
  readonly bits: 4 | 8;
  weightShape(shape: MatrixShape): readonly number[];
  /** 32/bits weights of row n of W from k = 32/bits * j on, the first in the lowest bits. */
  word(stored: Uint32Array, shape: MatrixShape, n: number, j: number): number;
  zero(stored: Uint32Array, shape: MatrixShape, g: number, n: number): number;
}

export interface ColumnInts {
  readonly name: string;
  readonly shape: MatrixShape;
  readonly packing: ColumnPacking;
  /** Weights of a row that share a scale; null: all. */
  readonly group: number | null;
  /** Whether `g_idx` assigns columns to groups in an order of its own. */
  readonly actOrder: boolean;
  /** As in `gptq`. */
  readonly method: string;
}

interface Stored {
  readonly weights: Uint32Array;
  readonly zeros: Uint32Array;
  readonly scales: Uint8Array<ArrayBuffer>;
  /** Group of each k; null: in order. */
  readonly groupOf: Float32Array | null;
}

const words = (bytes: Uint8Array<ArrayBuffer>): Uint32Array =>
  new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);

/**
 * `${name}.qweight`, `.qzeros`, `.scales` and, where there is one, `.g_idx`.
 * @throws InvalidCheckpoint for missing tensors, wrong shapes and types
 */
export function columnInts(checkpoint: Checkpoint, ints: ColumnInts): PublishedMatrix {
  const { name, shape, packing, actOrder } = ints;
  const { rows, cols } = shape;
  const { bits } = packing;
  const group = Math.min(ints.group ?? cols, cols);
  const groups = ceilDiv(cols, group);
  const weights = checkpoint.tensor(`${name}.qweight`);
  const zeros = checkpoint.tensor(`${name}.qzeros`);
  const scales = checkpoint.tensor(`${name}.scales`);
  const indexName = `${name}.g_idx`;
  const index = actOrder ? checkpoint.tensor(indexName) : null;
  checkpoint.has(indexName); // where it is not needed, it is checked with the first rows
  expectDType(weights, 'I32');
  expectDType(zeros, 'I32');
  expectShape(weights, packing.weightShape(shape));
  expectShape(zeros, [groups, ceilDiv(rows, 32 / bits)]);
  expectShape(scales, [groups, rows]);
  if (index) {
    expectDType(index, 'I32', 'I64');
    expectShape(index, [cols]);
  }
  const layout: IntLayout = { kind: 'int', bits, group, scale: scaleType(scales), zeros: true };
  const infos = [weights, zeros, scales, ...(index ? [index] : [])];
  const whole = wholeTensors(checkpoint, infos);
  const load = async (end: number, signal?: AbortSignal): Promise<Stored> => {
    const [w, z, s, g] = await whole(end === rows, signal);
    return {
      weights: words(w!),
      zeros: words(z!),
      scales: s!,
      groupOf: index && checkedIndex(index, decodeFloats(index, g!), groups),
    };
  };
  const size = ints.group === null ? 'per channel' : `g${ints.group}`;
  const about = {
    name,
    rows,
    cols,
    format: `${ints.method} int${bits} ${size}${actOrder ? ' act-order' : ''}`,
    file: weights.file,
    storedBytes: bytesIn(...infos),
  };
  const checkOrder = onceSettled((signal) => checkGroupIndex(checkpoint, indexName, cols, group, signal));
  const checkBias = onceSettled((signal) => checkZeroBias(checkpoint, biasOf(name), rows, signal));
  if (actOrder || !isNativeGroup(group, cols)) {
    return dequantised(about, async (begin, end, signal) => {
      if (!actOrder) await checkOrder(signal);
      const [stored] = await Promise.all([load(end, signal), checkBias(signal)]);
      const native = turned(stored, ints, layout, begin, end);
      return intFloats(native, layout, { rows: end - begin, cols }, stored.groupOf);
    });
  }
  return {
    ...about,
    layout,
    async read(begin, end, signal) {
      const [stored] = await Promise.all([load(end, signal), checkOrder(signal), checkBias(signal)]);
      return turned(stored, ints, layout, begin, end);
    },
  };
}

const biasOf = (name: string): string => `${name}.bias`;

/** Whether a tensor is the bias that some quantisers give every module: zeros, where the model has none (`checkZeroBias`). */
export const isBiasBeside = (checkpoint: Checkpoint, tensor: string): boolean =>
  tensor.endsWith('.bias') && checkpoint.has(tensor.replace(/bias$/, 'qweight'));

/** @throws UnsupportedModel for a bias that the model's config does not announce, unless it is all zeros */
async function checkZeroBias(checkpoint: Checkpoint, name: string, rows: number, signal?: AbortSignal): Promise<void> {
  const info = checkpoint.leftOver(name);
  if (!info) return;
  expectShape(info, [rows]);
  const values = decodeFloats(info, await readBytes(checkpoint.source, info.file, info.begin, info.end, signal));
  if (values.every((v) => v === 0)) return;
  throw new UnsupportedModel(
    `${name} is not all zeros, but config.json announces no bias there. Without it the model would compute something else`,
    { tensors: [name] },
  );
}

/** Runs until it succeeded once. */
function onceSettled(run: (signal?: AbortSignal) => Promise<void>): (signal?: AbortSignal) => Promise<void> {
  let isDone = false;
  return async (signal) => {
    if (isDone) return;
    await run(signal);
    isDone = true;
  };
}

/** Rows [begin, end) of W as native integers. */
function turned(
  { weights, zeros, scales }: Stored,
  { shape, packing }: ColumnInts,
  layout: IntLayout,
  begin: number,
  end: number,
): NativeRows {
  const count = end - begin;
  const part = { rows: count, cols: shape.cols };
  const p = planes(layout, part);
  const perRow = ceilDiv(shape.cols, 32 / packing.bits);
  const stored = new Uint32Array(count * perRow);
  for (let j = 0; j < perRow; j++)
    for (let i = 0; i < count; i++) stored[i * perRow + j] = packing.word(weights, shape, begin + i, j);
  const points = new Uint8Array(count * p.groups);
  for (let g = 0; g < p.groups; g++)
    for (let i = 0; i < count; i++) points[i * p.groups + g] = packing.zero(zeros, shape, g, begin + i);
  const unit = scales.length / (p.groups * shape.rows);
  const turnedScales = new Uint8Array(count * p.groups * unit);
  for (let g = 0; g < p.groups; g++) {
    for (let i = 0; i < count; i++) {
      const from = (g * shape.rows + begin + i) * unit;
      turnedScales.set(scales.subarray(from, from + unit), (i * p.groups + g) * unit);
    }
  }
  return {
    values: intRows(stored, layout, part, points),
    scales: padRows(turnedScales, count, p.scaleRowWords * 4),
    zeros: padRows(points, count, p.zeroRowWords * 4),
  };
}
