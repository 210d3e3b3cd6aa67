/** Mixture of attention heads: each token takes the q heads, and the way out, of its best experts; all share k and v. */
import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';

export interface HeadMixture {
  readonly experts: number; // E
  readonly topK: number; // K
  /** Heads of an expert, as many as heads of k and v. */
  readonly group: number; // G
  readonly size: number; // A
}

const constants = ({ experts, topK, group, size }: HeadMixture): Record<string, number> => ({
  EXPERTS: experts,
  TOP_K: topK,
  GROUP: group,
  SIZE: size,
});

export interface PickHeads {
  readonly x: BufferView; // [T, (E + 2) G A + E]: q of all experts, k, v, logits
  readonly picked: BufferView; // [T, (K + 2) G A] out: q of the chosen, k, v
  readonly chosen: BufferView; // [T, 2K] out: ids, then weight bits
}

/** Chooses K experts by their logits; their q heads, those that share k and v beside each other, and k and v go to `picked`. */
export function pickHeads(recorder: Recorder, label: string, io: PickHeads, mixture: HeadMixture): void {
  recorder.dispatch({
    shader: 'attention/pick_heads',
    label,
    constants: constants(mixture),
    bindings: { x: io.x, picked: io.picked, chosen: io.chosen },
    grid: ({ tokens }) => foldGrid(tokens),
  });
}

export interface SpreadHeads {
  readonly attended: BufferView; // [T, G K, A]
  readonly chosen: BufferView; // [T, 2K]
  readonly out: BufferView; // [T, E, G, A] out
}

/** Weighted heads in their experts' places, zeros in all others: what the ways out of all experts, side by side, are multiplied with. */
export function spreadHeads(recorder: Recorder, label: string, io: SpreadHeads, mixture: HeadMixture): void {
  const { experts, group, size } = mixture;
  recorder.dispatch({
    shader: 'attention/spread_heads',
    label,
    constants: constants(mixture),
    bindings: { attended: io.attended, chosen: io.chosen, out: io.out },
    grid: ({ tokens }) => foldGrid(ceilDiv(experts * group * size, 64), tokens),
  });
}
