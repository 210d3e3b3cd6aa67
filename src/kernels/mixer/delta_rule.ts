import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { ceilDiv } from '../../util/math.ts';
import type { Stretch } from './selective_scan.ts';

export interface DeltaRule {
  /** q heads, then k heads, normed. */
  readonly qk: BufferView; // [T, 2, key heads, key size]
  readonly v: Stretch; // [T, heads, value size]
  /** Before the sigmoid: how much of what differs is written. In the rows of `a`. */
  readonly bAt: number;
  /** Before bias and softplus: how fast the state fades. */
  readonly a: Stretch; // [T, heads]
  /** log of the rates [heads], bias of a [heads]. */
  readonly weights: BufferView;
  /** Twice: a step reads the side that `u_step` names and writes the other. */
  readonly state: BufferView; // [2, heads, value size, key size]
  readonly out: BufferView; // [T, heads, value size]
}

export interface DeltaRuleShape {
  readonly heads: number;
  /** Heads of q and k; as many neighbouring heads share one. */
  readonly keyHeads: number;
  readonly keySize: number;
  readonly valueSize: number;
}

/** Values of the state: what the tokens before a step leave behind. */
export const deltaState = ({ heads, valueSize, keySize }: DeltaRuleShape): number => 2 * heads * valueSize * keySize;

/** The recurrence of a gated delta net over the tokens of a step. */
export function deltaRule(recorder: Recorder, label: string, io: DeltaRule, shape: DeltaRuleShape): void {
  const { heads, keyHeads, keySize, valueSize } = shape;
  invariant(heads % keyHeads === 0, `${label}: heads do not divide among the key heads`);
  recorder.dispatch({
    shader: 'mixer/delta_rule',
    label,
    constants: {
      HEADS: heads,
      KEY_HEADS: keyHeads,
      KEY_SIZE: keySize,
      VALUE_SIZE: valueSize,
      V_ROW: io.v.row,
      V_AT: io.v.at,
      GATE_ROW: io.a.row,
      A_AT: io.a.at,
      B_AT: io.bAt,
    },
    bindings: { qk: io.qk, v: io.v.view, gates: io.a.view, weights: io.weights, state: io.state, out: io.out },
    grid: ({ tokens }) => (tokens === 0 ? [0, 0, 0] : foldGrid(ceilDiv(heads * valueSize, 4))),
  });
}
