import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import type { Constants } from '../../gpu/shader.ts';
import { invariant } from '../../util/assert.ts';
import { ceilDiv } from '../../util/math.ts';
import type { Beside } from './beside.ts';

export interface CombineIo {
  readonly y: BufferView; // [P, D], in row order; with `beside`, [T, D] from `yAt` on
  readonly rowOfPair: BufferView; // [P]
  readonly routed: BufferView; // [T, 2K]: ids, then weights
  /** Without it 0. */
  readonly residual?: BufferView | undefined; // [T, D]
  readonly out: BufferView; // [T, D] out, another buffer
}

export interface CombineShape {
  readonly hidden: number; // D
  readonly topK: number; // K
  /** Multiplies all but the residual. Default 1. */
  readonly scale?: number;
  /** Every weight counts as 1. Default false. */
  readonly unweighted?: boolean;
  readonly beside?: Pick<Beside, 'yAt' | 'weight'>;
  /** Experts from this id on have no rows and add nothing; only with weights. Absent: all have rows. */
  readonly weighted?: number;
}

/** The constants of `scale` in combine and expert_down_decode. */
export const outScale = (scale: number): Constants =>
  scale === 1 ? { OUT_SCALED: false } : { OUT_SCALED: true, OUT_SCALE: scale };

/** out = residual + scale * (weight * y of the expert beside + sum over k of weight * y, k ascending). */
export function combine(
  recorder: Recorder,
  label: string,
  io: CombineIo,
  { hidden, topK, scale = 1, beside, unweighted = false, weighted }: CombineShape,
): void {
  const { residual } = io;
  invariant(weighted === undefined || !unweighted, `${label}: experts without rows, and without weights`);
  recorder.dispatch({
    shader: 'moe/combine',
    label,
    constants: {
      D: hidden,
      TOP_K: topK,
      ...outScale(scale),
      RESIDUAL: residual !== undefined,
      UNWEIGHTED: unweighted,
      NULLS: weighted !== undefined,
      ...(weighted === undefined ? {} : { WEIGHTED: weighted }),
      BESIDE: beside !== undefined,
      ...(beside && { BESIDE_AT: beside.yAt, BESIDE_GATED: beside.weight !== undefined }),
    },
    bindings: {
      y: io.y,
      row_of_pair: io.rowOfPair,
      ...(unweighted ? {} : { routed: io.routed }),
      out: io.out,
      ...(residual && { residual }),
      ...(beside?.weight && { shared_weight: beside.weight }),
    },
    grid: ({ tokens }) => [ceilDiv(hidden, 64), tokens, 1],
  });
}
