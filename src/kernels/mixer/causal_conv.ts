import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { invariant } from '../../util/assert.ts';
import { ceilDiv } from '../../util/math.ts';

export interface CausalConv {
  readonly x: BufferView; // [T, row]
  readonly taps: BufferView; // [channels, taps]
  readonly bias?: BufferView | null; // [channels]
  /** Inputs of the last tokens, twice: a step reads the side that `u_step` names and writes the other. */
  readonly state: BufferView; // [2, taps - 1, channels]
  readonly out: BufferView; // [T, channels]
}

export interface CausalConvShape {
  readonly channels: number;
  readonly taps: number;
  /** Length of a row of x, and where its channels start. */
  readonly row: number;
  readonly at: number;
  /** Where in the row two more stretches of channels start: b multiplies what goes into the convolution, c what comes out. */
  readonly gates?: { readonly b: number; readonly c: number };
  /** silu of what comes out. */
  readonly silu: boolean;
}

/** Values of the state: what the tokens before a step leave behind. */
export const convState = ({ channels, taps }: Pick<CausalConvShape, 'channels' | 'taps'>): number =>
  2 * (taps - 1) * channels;

/** A causal convolution over time, each channel by itself: out[t] = taps · (the last `taps` inputs up to t). */
export function causalConv(recorder: Recorder, label: string, io: CausalConv, shape: CausalConvShape): void {
  const { channels, taps, row, at, gates, silu } = shape;
  invariant(at + channels <= row, `${label}: channels beyond the row`);
  recorder.dispatch({
    shader: 'mixer/causal_conv',
    label,
    constants: {
      ROW: row,
      X_AT: at,
      CHANNELS: channels,
      TAPS: taps,
      GATED: gates !== undefined,
      ...(gates && { B_AT: gates.b, C_AT: gates.c }),
      BIAS: Boolean(io.bias),
      SILU: silu,
    },
    bindings: { x: io.x, taps: io.taps, state: io.state, out: io.out, ...(io.bias ? { bias: io.bias } : {}) },
    grid: ({ tokens }) => foldGrid(tokens * ceilDiv(channels, 64)),
  });
}
