import type { DeviceMatrix } from '../kernels/matrix.ts';
import { invariant } from '../util/assert.ts';
import type { MatrixShape } from '../weights/layout.ts';

/** One logical matrix on the GPU, in as many row stretches as layouts and binding limits ask for; nearly always one. */
export interface DeviceParts extends MatrixShape {
  readonly parts: readonly { readonly firstRow: number; readonly matrix: DeviceMatrix }[];
}

/** The matrix of a role that is never split. */
export function onlyPart({ parts }: DeviceParts): DeviceMatrix {
  invariant(parts.length === 1, 'a matrix that must be whole is split');
  return parts[0]!.matrix;
}
