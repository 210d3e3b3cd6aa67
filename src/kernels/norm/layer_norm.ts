import type { BufferView } from '../../gpu/buffer.ts';
import { foldGrid, type Recorder } from '../../gpu/recording.ts';

export interface LayerNorm {
  readonly x: BufferView; // [T, D]
  /** With `bias` [2 D]: the biases lie behind. */
  readonly gains: BufferView; // [D]
  readonly out: BufferView; // [T, D]
}

export interface LayerNormShape {
  readonly size: number; // D
  readonly eps: number;
  readonly bias: boolean;
}

/** out = (x - mean) / deviation * gain (+ bias), token by token. */
export function layerNorm(recorder: Recorder, label: string, io: LayerNorm, { size, eps, bias }: LayerNormShape): void {
  recorder.dispatch({
    shader: 'norm/layer_norm',
    label,
    constants: { D: size, EPS: eps, BIAS: bias },
    bindings: { x: io.x, gains: io.gains, out: io.out },
    grid: ({ tokens }) => foldGrid(tokens),
  });
}
