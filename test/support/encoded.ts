/** One encoded matrix `m` in a file, read back through a format. */
import type { Json } from '../../src/config/read.ts';
import { openCheckpoint, type Checkpoint } from '../../src/weights/checkpoint.ts';
import { findMatrix } from '../../src/weights/formats/index.ts';
import type { PublishedMatrix } from '../../src/weights/matrix.ts';
import { normals } from './random.ts';
import type { Encoding } from './synthetic.ts';
import { floatsOf, memorySource, safetensors, type TensorSpec } from './weights.ts';

export type Tensors = Record<string, TensorSpec>;
export type Change = (tensors: Tensors) => void;

export interface Opened {
  readonly checkpoint: Checkpoint;
  readonly numbers: Float64Array;
}

export async function encoded(
  encoding: Encoding,
  rows: number,
  cols: number,
  change: Change = () => undefined,
  name = 'm',
): Promise<Opened> {
  const wanted = { name: `${name}.weight`, shape: [rows, cols], values: normals(1, rows * cols) };
  const { stored, numbers } = encoding(wanted);
  const tensors = { ...stored };
  change(tensors);
  const checkpoint = await openCheckpoint(memorySource({ 'model.safetensors': safetensors(tensors) }));
  return { checkpoint, numbers };
}

export const drop =
  (suffix: string): Change =>
  (tensors) => {
    Reflect.deleteProperty(tensors, `m.${suffix}`);
  };

/** Overwrites bytes of a tensor. */
export const poke =
  (suffix: string, at: number, ...bytes: readonly number[]): Change =>
  (tensors) => {
    const found = tensors[`m.${suffix}`]!;
    const copy = Uint8Array.from(found.bytes);
    copy.set(bytes, at);
    tensors[`m.${suffix}`] = { ...found, bytes: copy };
  };

/** The matrix `m`, with its first row read, as loading would. */
export async function readBack(
  encoding: Encoding,
  quantization: Json,
  rows: number,
  cols: number,
  change?: Change,
): Promise<PublishedMatrix> {
  const { checkpoint } = await encoded(encoding, rows, cols, change);
  const matrix = findMatrix(checkpoint, quantization, 'm', { rows, cols })!;
  await matrix.read(0, 1);
  return matrix;
}

/** Numbers of all rows, and of each row read alone, as f32 of what was meant. */
export async function numbersOf(matrix: PublishedMatrix): Promise<{ all: number[]; rows: number[] }> {
  const all = await floatsOf(matrix);
  const rows: number[] = [];
  for (let row = 0; row < matrix.rows; row++) rows.push(...(await floatsOf(matrix, row, row + 1)));
  return { all, rows };
}
