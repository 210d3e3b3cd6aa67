import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import type { Constants } from '../../gpu/shader.ts';
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
  /** Multiplies all but the residual. Default 1. */
  readonly scale?: number;
}

/** The constants of `scale` in combine and expert_down_decode. */
export const outScale = (scale: number): Constants =>
  scale === 1 ? { OUT_SCALED: false } : { OUT_SCALED: true, OUT_SCALE: scale };

/** out = residual + scale * sum over k of weight * y, k ascending. */
export function combine(recorder: Recorder, label: string, io: CombineIo, shape: CombineShape): void {
  const { hidden, topK, scale = 1 } = shape;
  recorder.dispatch({
    shader: 'moe/combine',
    label,
    constants: { D: hidden, TOP_K: topK, ...outScale(scale) },
    bindings: { y: io.y, row_of_pair: io.rowOfPair, routed: io.routed, residual: io.residual, out: io.out },
    grid: ({ tokens }) => [ceilDiv(hidden, 64), tokens, 1],
  });
}
