import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';
import type { Stretch } from './selective_scan.ts';

export interface Gate {
  /** Gated in place. */
  readonly x: BufferView; // [T, size]
  readonly gate: Stretch; // [T, size]
}

/** x *= sigmoid(gate), or silu(gate), value by value. */
export function gate(
  recorder: Recorder,
  label: string,
  io: Gate,
  shape: { readonly size: number; readonly silu: boolean },
): void {
  const { size, silu } = shape;
  recorder.dispatch({
    shader: 'mixer/gate',
    label,
    constants: { SIZE: size, GATE_ROW: io.gate.row, GATE_AT: io.gate.at, SILU: silu },
    bindings: { gate_values: io.gate.view, x: io.x },
    grid: ({ tokens }) => foldGrid(tokens * ceilDiv(size, 64)),
  });
}
