import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';

export interface ConvolvedShape {
  readonly heads: number; // H
  readonly kvHeads: number; // Hk
  readonly headSize: number; // A
}

export interface ConvolveHeads {
  readonly x: BufferView; // [T, (H + 2 Hk) A]: q, k, v
  /** C channels of q and k: taps [C, 2], bias [C], bias of the heads' convolution [C]; then lengths of k heads [Hk]. */
  readonly channels: BufferView;
  readonly weights: BufferView; // [C, A, 2]
  /** Projections of the tokens before, twice: a step reads the side that `u_step` names and writes the other. */
  readonly state: BufferView; // [2, 2 C + Hk A / 2]
  readonly out: BufferView; // [T, (H + 2 Hk) A]
}

/** Values of the state: what the tokens before a step leave behind. */
export const convolvedPast = ({ heads, kvHeads, headSize }: ConvolvedShape): number =>
  2 * (2 * (heads + kvHeads) + kvHeads / 2) * headSize;

/** Heads of compressed convolutional attention, before they turn: two convolutions of q and k, their lengths, and v of which half is the token before's. */
export function convolveHeads(recorder: Recorder, label: string, io: ConvolveHeads, shape: ConvolvedShape): void {
  const { heads, kvHeads, headSize } = shape;
  invariant(heads % kvHeads === 0 && (kvHeads * headSize) % 2 === 0, `${label}: heads that do not share`);
  recorder.dispatch({
    shader: 'attention/convolve_heads',
    label,
    constants: { WG: headSize > 64 ? 128 : 64, HEADS: heads, KV_HEADS: kvHeads, SIZE: headSize },
    bindings: { x: io.x, channels: io.channels, weights: io.weights, state: io.state, out: io.out },
    grid: ({ tokens }) => foldGrid(tokens * (heads + 2 * kvHeads)),
  });
}
