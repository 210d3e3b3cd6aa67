import type { BufferView } from '../../gpu/buffer.ts';
import type { Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';

export interface GainAdd {
  readonly added: BufferView; // [T, D]
  readonly x: BufferView; // [T, D]
  /** Of what is added, of x, and a bias. */
  readonly gains: BufferView; // [3 D]
  readonly out: BufferView; // [T, D], another buffer
}

/** out = gain * added + gain * x + bias, each a vector of D. */
export function gainAdd(recorder: Recorder, label: string, io: GainAdd, { size }: { readonly size: number }): void {
  recorder.dispatch({
    shader: 'norm/gain_add',
    label,
    constants: { D: size },
    bindings: { added: io.added, x: io.x, gains: io.gains, out: io.out },
    grid: ({ tokens }) => [ceilDiv(size, 64), tokens, 1],
  });
}
