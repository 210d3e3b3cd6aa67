import type { Activation } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';
import { ceilDiv } from '../../util/math.ts';
import { activationConstants } from '../activation.ts';

export interface GluPairsIo {
  /** gate f at 2f, up f at 2f + 1; without a gate up f, and up f + F / 2. */
  readonly pairs: BufferView; // [T, 2F], without a gate [T, F]
  readonly out: BufferView; // [T, F]
}

/** out = activate(gate, up), of products that are there already. */
export function gluPairs(
  recorder: Recorder,
  label: string,
  io: GluPairsIo,
  { pairs, activation }: { readonly pairs: number; readonly activation: Activation },
): void {
  recorder.dispatch({
    shader: 'linear/glu_pairs',
    label,
    constants: { F: pairs, ...activationConstants(activation) },
    bindings: { pairs: io.pairs, out: io.out },
    grid: ({ tokens }) => foldGrid(ceilDiv(pairs, 64), tokens),
  });
}
