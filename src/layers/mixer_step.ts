/** What the recurrent token mixers have in common: the buffers of a step, and the state that they carry in place of keys and values. */
import type { RecurrentConfig } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import { convState } from '../kernels/mixer/causal_conv.ts';
import type { Phase } from './attention.ts';

/** Each part is there twice: a step reads one side and writes the other (`u_step.side`). */
export interface RecurrentState {
  /** Inputs of the convolution, of the last tokens. */
  readonly convolution: BufferView; // [2, taps - 1, channels]
  /** What the scan carries on; nothing in a short convolution. */
  readonly scan: BufferView;
}

export interface RecurrentStep {
  readonly label: string;
  readonly phase: Phase;
  readonly eps: number;
  readonly x: BufferView; // [T, D]
  /** x + mixed; another buffer than x. */
  readonly out: BufferView; // [T, D]
  readonly norm: BufferView; // [D]
  readonly state: RecurrentState;
  readonly scratch: {
    readonly normed: BufferView; // [T, D]
    readonly projected: BufferView;
    readonly mixed: BufferView;
  };
}

/** Values of a token in each scratch buffer, and values of each part of the state, both sides. */
export interface RecurrentSizes {
  readonly projected: number;
  readonly mixed: number;
  readonly state: { readonly [part in keyof RecurrentState]: number };
}

export function recurrentSizes(config: RecurrentConfig, hidden: number): RecurrentSizes {
  const { taps } = config;
  const convolution = convState({ channels: hidden, taps });
  return { projected: 3 * hidden, mixed: hidden, state: { convolution, scan: 0 } };
}
