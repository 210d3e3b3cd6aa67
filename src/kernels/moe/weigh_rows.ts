import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';

export interface WeighRowsIo {
  readonly x: BufferView; // [T, D]
  readonly routed: BufferView; // [T, 2]: id, then weight
  readonly out: BufferView; // [T, D] out, another buffer
}

/** out = weight * x, token by token, where each is sent to one expert. */
export function weighRows(recorder: Recorder, label: string, io: WeighRowsIo, { hidden }: { hidden: number }): void {
  recorder.dispatch({
    shader: 'moe/weigh_rows',
    label,
    constants: { D: hidden },
    bindings: { x: io.x, routed: io.routed, out: io.out },
    grid: ({ tokens }) => [ceilDiv(hidden, 64), tokens, 1],
  });
}
