/** Twin of shaders/linear/glu_matvec.wgsl and glu_matmul.wgsl. x [T, K], weights [2F, K] with gate and up rows alternating; returns [T, F]. */
import type { Activation } from '../../config/model-config.ts';
import { activate } from '../activation.ts';
import { linear, type LinearInput } from './linear.ts';

export function glu(
  input: Pick<LinearInput, 'x' | 'weights' | 'gamma'>,
  activation: Activation,
  size: { readonly tokens: number; readonly width: number; readonly cols: number; readonly eps?: number | undefined },
): Float64Array {
  const { width, ...rest } = size;
  const both = linear(input, { ...rest, rows: 2 * width });
  return Float64Array.from({ length: size.tokens * width }, (_, i) =>
    activate(activation, both[2 * i]!, both[2 * i + 1]!),
  );
}
