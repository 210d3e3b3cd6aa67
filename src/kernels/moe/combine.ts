import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';

export interface CombineIo {
  readonly y: BufferView; // [P, D], in row order
  readonly rowOfPair: BufferView; // [P]
  readonly routed: BufferView; // [T, 2K]: ids, then weights
  readonly residual: BufferView; // [T, D]
  readonly out: BufferView; // [T, D] out, another buffer
}

export interface CombineShape {
  readonly hidden: number; // D
  readonly topK: number; // K
}

/** out = residual + sum over k of weight * y, k ascending. */
export function combine(recorder: Recorder, label: string, io: CombineIo, { hidden, topK }: CombineShape): void {
  recorder.dispatch({
    shader: 'moe/combine',
    label,
    constants: { D: hidden, TOP_K: topK },
    bindings: { y: io.y, row_of_pair: io.rowOfPair, routed: io.routed, residual: io.residual, out: io.out },
    grid: ({ tokens }) => [ceilDiv(hidden, 64), tokens, 1],
  });
}
