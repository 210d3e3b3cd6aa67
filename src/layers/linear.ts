/** Linear maps over `DeviceParts`: one dispatch for each part, each writing its own columns. */
import { subview, type BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { linear as linearKernel, type LinearOptions } from '../kernels/linear/linear.ts';
import type { DeviceParts, LowRankParts } from './parts.ts';

export interface LinearStep {
  readonly x: BufferView; // [T, xRow]
  readonly weights: DeviceParts; // [N, K]
  readonly out: BufferView; // [T, N]
  readonly bias?: BufferView | null; // [N]
  readonly residual?: BufferView; // [T, N]
  readonly rowScale?: BufferView; // [T]
  readonly gamma?: BufferView; // [K]
}

/** out = (rms_norm(x, gamma)? W^T + bias) * rowScale + residual, where W may have a low-rank map beside it. */
export function linear(recorder: Recorder, label: string, io: LinearStep, options: Omit<LinearOptions, 'outAt'>): void {
  const { weights, bias, ...plain } = io;
  const rest = weights.lowRank ? { ...plain, residual: beside(recorder, label, io, weights.lowRank, options) } : plain;
  for (const { firstRow, matrix } of weights.parts) {
    linearKernel(
      recorder,
      label,
      { ...rest, weights: matrix, ...(bias ? { bias: subview(bias, firstRow * 4, matrix.rows * 4) } : {}) },
      { ...options, outRow: options.outRow ?? weights.rows, outAt: firstRow },
    );
  }
}

/** @returns up (down h) * rowScale * scale + residual, placed as the whole map's result: what W's own product is added to */
function beside(
  recorder: Recorder,
  label: string,
  { x, weights, gamma, rowScale, residual }: LinearStep,
  { down, up, scratch: { hidden, sum } }: LowRankParts,
  options: Omit<LinearOptions, 'outAt'>,
): BufferView {
  const { phase, row, scale, outRow = weights.rows, eps, xRow, xAt } = options;
  const isLast = row === 'last';
  linearKernel(
    recorder,
    `${label} adapter down`,
    { x, weights: down, out: hidden, ...(gamma && { gamma }) },
    {
      // The last token's product is read at its own row.
      phase: isLast ? 'decode' : phase,
      ...(eps !== undefined && { eps }),
      ...(xRow !== undefined && { xRow }),
      ...(xAt !== undefined && { xAt }),
    },
  );
  const added = { ...(rowScale && { rowScale }), ...(residual && { residual }) };
  const place = { phase, outRow, ...(scale !== undefined && { scale }), ...(isLast && { row }) };
  linearKernel(recorder, `${label} adapter up`, { x: hidden, weights: up, out: sum, ...added }, place);
  return sum;
}
