import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';

export interface RmsNorm {
  readonly x: BufferView; // [T, row]
  readonly gamma: BufferView; // [D]
  readonly out: BufferView; // [T, D]
}

export interface RmsNormShape {
  readonly size: number; // D
  readonly eps: number;
  /** Norm only D values of a longer row: its length and where they start. */
  readonly row?: number;
  readonly at?: number;
}

/** out = x / rms(x) * gamma, token by token. */
export function rmsNorm(recorder: Recorder, label: string, io: RmsNorm, shape: RmsNormShape): void {
  const { size, eps, row = size, at = 0 } = shape;
  recorder.dispatch({
    shader: 'norm/rms_norm',
    label,
    constants: { D: size, X_ROW: row, X_AT: at, EPS: eps },
    bindings: { x: io.x, gamma: io.gamma, out: io.out },
    grid: ({ tokens }) => foldGrid(tokens),
  });
}
