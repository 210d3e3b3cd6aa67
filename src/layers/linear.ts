/** Linear maps over `DeviceParts`: one dispatch for each part, each writing its own columns. */
import { subview, type BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { linear as linearKernel, type LinearOptions } from '../kernels/linear/linear.ts';
import type { DeviceParts } from './parts.ts';

export interface LinearStep {
  readonly x: BufferView; // [T, xRow]
  readonly weights: DeviceParts; // [N, K]
  readonly out: BufferView; // [T, N]
  readonly bias?: BufferView | null; // [N]
  readonly residual?: BufferView; // [T, N]
  readonly rowScale?: BufferView; // [T]
  readonly gamma?: BufferView; // [K]
}

/** out = (rms_norm(x, gamma)? W^T + bias) * rowScale + residual. */
export function linear(recorder: Recorder, label: string, io: LinearStep, options: Omit<LinearOptions, 'outAt'>): void {
  const { weights, bias, ...rest } = io;
  for (const { firstRow, matrix } of weights.parts) {
    linearKernel(
      recorder,
      label,
      { ...rest, weights: matrix, ...(bias ? { bias: subview(bias, firstRow * 4, matrix.rows * 4) } : {}) },
      { ...options, outRow: options.outRow ?? weights.rows, outAt: firstRow },
    );
  }
}
