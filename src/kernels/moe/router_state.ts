import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';

/** Where the states are that a layer's router reads and leaves. */
export interface RouterStates {
  /** Of the MoE layer before [T, R], unless there is none; and its own [T, R] from `ownAt` on. */
  readonly view: BufferView;
  readonly ownAt: number; // words
  readonly isFirst: boolean;
}

export interface RouterStateIo {
  readonly down: BufferView; // [T, R]
  /** Bias, gains of the state before, gains of the norm; w by input and b of both layers. */
  readonly vectors: BufferView; // [R, R, R, R R, R, R R, R]
  readonly states: RouterStates;
  readonly out: BufferView; // [T, R]
}

export interface RouterStateShape {
  readonly size: number; // R
  readonly eps: number;
}

/** s = down + bias (+ gains * s of the layer before); out = an MLP of two layers with GELU of s / rms(s) * gains. */
export function routerState(
  recorder: Recorder,
  label: string,
  { down, vectors, states, out }: RouterStateIo,
  { size, eps }: RouterStateShape,
): void {
  recorder.dispatch({
    shader: 'moe/router_state',
    label,
    constants: { WG: size > 64 ? 256 : 64, R: size, EPS: eps, OWN_AT: states.ownAt, BEFORE: !states.isFirst },
    bindings: { down, vectors, states: states.view, out },
    grid: ({ tokens }) => foldGrid(tokens),
  });
}
