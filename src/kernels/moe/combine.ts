import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';
import type { Beside } from './beside.ts';

export interface CombineIo {
  readonly y: BufferView; // [P, D], in row order; with `beside`, [T, D] from `yAt` on
  readonly rowOfPair: BufferView; // [P]
  readonly routed: BufferView; // [T, 2K]: ids, then weights
  readonly residual: BufferView; // [T, D]
  readonly out: BufferView; // [T, D] out, another buffer
}

export interface CombineShape {
  readonly hidden: number; // D
  readonly topK: number; // K
  readonly beside?: Pick<Beside, 'yAt' | 'weight'>;
}

/** out = residual (+ weight * y of the expert beside) + sum over k of weight * y, k ascending. */
export function combine(
  recorder: Recorder,
  label: string,
  io: CombineIo,
  { hidden, topK, beside }: CombineShape,
): void {
  recorder.dispatch({
    shader: 'moe/combine',
    label,
    constants: {
      D: hidden,
      TOP_K: topK,
      BESIDE: beside !== undefined,
      ...(beside && { BESIDE_AT: beside.yAt, BESIDE_GATED: beside.weight !== undefined }),
    },
    bindings: {
      y: io.y,
      row_of_pair: io.rowOfPair,
      routed: io.routed,
      residual: io.residual,
      out: io.out,
      ...(beside?.weight && { shared_weight: beside.weight }),
    },
    grid: ({ tokens }) => [ceilDiv(hidden, 64), tokens, 1],
  });
}
