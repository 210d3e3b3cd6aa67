/** What the recurrent token mixers have in common: the buffers of a step, and the state that they carry in place of keys and values. */
import type { Mamba2, NormKind, RecurrentConfig } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import { convState } from '../kernels/mixer/causal_conv.ts';
import { deltaState } from '../kernels/mixer/delta_rule.ts';
import { scanState } from '../kernels/mixer/selective_scan.ts';
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
  readonly normKind: NormKind;
  readonly eps: number;
  /** Multiplies what is mixed before it joins x. */
  readonly scale: number;
  readonly x: BufferView; // [T, D]
  /** x + scale * mixed; another buffer than x. */
  readonly out: BufferView; // [T, D]
  /** Gains and biases: see layers/norm.ts. */
  readonly norm: BufferView; // [D] or [2 D]
  readonly state: RecurrentState;
  readonly scratch: { readonly normed: BufferView } & { readonly [part in keyof ScratchSizes]: BufferView };
}

/** Values of a token in each scratch buffer. */
interface ScratchSizes {
  /** What the first projection gives. */
  readonly projected: number;
  readonly convolved: number;
  /** What of the convolved values selects: steps' low rank, B and C, and the two normed. */
  readonly selected: number;
  readonly b: number;
  readonly c: number;
  readonly steps: number;
  /** What the last projection takes. */
  readonly mixed: number;
}

export interface RecurrentSizes extends ScratchSizes {
  /** Values of each part, both sides. */
  readonly state: { readonly [part in keyof RecurrentState]: number };
}

const NONE = { convolved: 0, selected: 0, b: 0, c: 0, steps: 0 };

/** Channels of the convolution of Mamba-2: x, B, C. */
export const convolvedChannels = ({ heads, headSize, groups, states }: Mamba2): number =>
  heads * headSize + 2 * groups * states;

export function recurrentSizes(config: RecurrentConfig, hidden: number): RecurrentSizes {
  const { taps } = config;
  if (config.kind === 'short-conv') {
    const convolution = convState({ channels: hidden, taps });
    return { ...NONE, projected: 3 * hidden, mixed: hidden, state: { convolution, scan: 0 } };
  }
  if (config.kind === 'delta-net') {
    const { heads, keyHeads, keySize, valueSize } = config;
    const [keys, values] = [keyHeads * keySize, heads * valueSize];
    const convolved = 2 * keys + values;
    const state = { convolution: convState({ channels: convolved, taps }), scan: deltaState(config) };
    const projected = convolved + values + 2 * heads;
    return { ...NONE, projected, convolved, selected: 2 * keys, steps: values, mixed: values, state };
  }
  const { states } = config;
  if (config.kind === 'mamba-1') {
    const { channels, rank } = config;
    const state = { convolution: convState({ channels, taps }), scan: scanState({ channels, states }) };
    const selected = { selected: rank + 2 * states, b: states, c: states, steps: channels };
    return { projected: 2 * channels, convolved: channels, ...selected, mixed: channels, state };
  }
  const channels = config.heads * config.headSize;
  const convolved = convolvedChannels(config);
  const state = { convolution: convState({ channels: convolved, taps }), scan: scanState({ channels, states }) };
  return { ...NONE, projected: channels + convolved + config.heads, convolved, mixed: channels, state };
}
