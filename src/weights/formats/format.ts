/** What a published weight format offers to formats/index.ts; one file each. */
import type { Json } from '../../config/read.ts';
import { InvalidCheckpoint } from '../../errors.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import type { MatrixShape } from '../layout.ts';
import type { PublishedMatrix } from '../matrix.ts';

export interface WeightFormat {
  /** `quant_method` in config.json's quantization_config. */
  readonly method: string;
  /** @throws UnsupportedModel for a configuration that we do not run as it is meant */
  check(quantization: Json): void;
  /** The matrix called `name`, or null when this format has none of that name. */
  matrix(checkpoint: Checkpoint, quantization: Json, name: string, expected: MatrixShape): PublishedMatrix | null;
  /** Some rows of one expert in a tensor of rank 3, or null when this format has none of that name. */
  expert(checkpoint: Checkpoint, quantization: Json, name: string, slice: ExpertSlice): PublishedMatrix | null;
}

/** Rows `first`, `first + stride`, ... (`rows` of them) of the matrix [tensorRows, cols] of expert `e`. */
export interface ExpertSlice extends MatrixShape {
  /** For messages, as in `model.layers.0.mlp.experts.3.gate`. */
  readonly label: string;
  readonly e: number;
  readonly experts: number; // E
  readonly tensorRows: number;
  readonly first: number;
  readonly stride: 1 | 2;
  /** Plain tensors only: the first two dimensions are one, [E rows, cols] in place of [E, rows, cols]. */
  readonly flat?: boolean;
  /** Plain tensors only: [E, cols, tensorRows] instead of [E, tensorRows, cols]. */
  readonly transposed: boolean;
}

const shown = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

/** @throws InvalidCheckpoint `wrong-shape` */
export function expectShape(info: TensorInfo, expected: readonly number[]): void {
  if (info.shape.length === expected.length && info.shape.every((d, i) => d === expected[i])) return;
  throw new InvalidCheckpoint(
    'wrong-shape',
    `${info.name} has the shape ${shown(info.shape)}, but config.json asks for ${shown(expected)}`,
    {
      tensor: info.name,
      file: info.file,
      found: info.shape,
      expected,
    },
  );
}

/** @throws InvalidCheckpoint `unsupported-dtype` */
export function expectDType(info: TensorInfo, ...allowed: readonly TensorInfo['dtype'][]): void {
  if (allowed.includes(info.dtype)) return;
  throw new InvalidCheckpoint(
    'unsupported-dtype',
    `${info.name} has type ${info.dtype}; it must be ${allowed.join(' or ')}`,
    {
      tensor: info.name,
      dtype: info.dtype,
      allowed,
    },
  );
}
