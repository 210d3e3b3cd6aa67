import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { hasSubgroups } from '../linear/products.ts';

export interface RmsNorm {
  readonly x: BufferView; // [T, row]
  readonly gamma: BufferView; // [groups, D]
  /** Is added; `out` is another buffer. */
  readonly residual?: BufferView; // [T, groups, D]
  /** Multiplies the result, the residual too. */
  readonly total?: BufferView | null; // [1]
  readonly out: BufferView; // [T, groups, D]
}

export interface RmsNormShape {
  readonly size: number; // D
  /** Stretches of D values, one after the other, each normed by itself; default 1. */
  readonly groups?: number;
  readonly eps: number;
  /** Norm only D values of a longer row: its length and where they start. */
  readonly row?: number;
  readonly at?: number;
  /** Multiplies all but the residual; only with one. Default 1. */
  readonly scale?: number;
}

/** out = (x / rms(x) * gamma (* scale + residual)) (* total), token by token. */
export function rmsNorm(recorder: Recorder, label: string, io: RmsNorm, shape: RmsNormShape): void {
  const { size, eps, groups = 1, row = groups * size, at = 0, scale = 1 } = shape;
  const { residual, total = null } = io;
  invariant(residual || scale === 1, `${label}: a scale without a residual`);
  recorder.dispatch({
    shader: 'norm/rms_norm',
    label,
    constants: {
      D: size,
      X_ROW: row,
      X_AT: at,
      EPS: eps,
      GROUPS: groups,
      SUBGROUPS: hasSubgroups(recorder.gpu.facts),
      RESIDUAL: residual !== undefined,
      ...(residual ? { OUT_SCALE: scale } : {}),
      TOTAL: total !== null,
    },
    bindings: { x: io.x, gamma: io.gamma, out: io.out, ...(residual ? { residual } : {}), ...(total ? { total } : {}) },
    grid: ({ tokens }) => foldGrid(tokens * groups),
  });
}
