import type { BufferView } from '../gpu/buffer.ts';
import type { DeviceMatrix } from '../kernels/matrix.ts';
import { invariant } from '../util/assert.ts';
import type { MatrixShape } from '../weights/layout.ts';

/** One logical matrix on the GPU, in as many row stretches as layouts and binding limits ask for; nearly always one. */
export interface DeviceParts extends MatrixShape {
  readonly parts: readonly { readonly firstRow: number; readonly matrix: DeviceMatrix }[];
  /** What an adapter adds. */
  readonly lowRank?: LowRankParts;
}

/** up (down x), beside a matrix [N, K]. */
export interface LowRankParts {
  readonly down: DeviceMatrix; // [r, K]
  readonly up: DeviceMatrix; // [N, r]
  readonly scratch: {
    readonly hidden: BufferView; // [T, r]
    readonly sum: BufferView; // [T, a row of the map's result]
    readonly pairs: BufferView; // [T, 2 width] of a gated feed-forward
  };
}

/** The matrix of a role that is never split. */
export function onlyPart({ parts }: DeviceParts): DeviceMatrix {
  invariant(parts.length === 1, 'a matrix that must be whole is split');
  return parts[0]!.matrix;
}
