import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';

export interface OutputGate {
  readonly gates: BufferView; // [T, row]
  /** Multiplied in place. */
  readonly attended: BufferView; // [T, N]
}

export interface OutputGateShape {
  readonly size: number; // N
  /** Of gates: the length of a row, and where its N / each values start. */
  readonly row: number;
  readonly at: number;
  /** Neighbouring values that a gate multiplies. */
  readonly each: number;
  readonly by: 'sigmoid' | 'softplus';
}

/** attended *= sigmoid(gates) or softplus(gates), each gate for its values. */
export function outputGate(recorder: Recorder, label: string, io: OutputGate, shape: OutputGateShape): void {
  recorder.dispatch({
    shader: 'attention/output_gate',
    label,
    constants: {
      N: shape.size,
      GATE_ROW: shape.row,
      GATE_AT: shape.at,
      GATE_EACH: shape.each,
      SOFTPLUS: shape.by === 'softplus',
    },
    bindings: { gates: io.gates, attended: io.attended },
    grid: ({ tokens }) => foldGrid(ceilDiv(shape.size, 64), tokens),
  });
}
