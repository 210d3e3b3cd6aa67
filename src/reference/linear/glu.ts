/** Twin of shaders/linear/glu_matvec.wgsl and glu_matmul.wgsl. x [T, K], weights [2F, K] with gate and up rows alternating, or without gates [F, K]; returns [T, F]. */
import { upRows } from '../../config/activation.ts';
import type { Activation } from '../../config/model-config.ts';
import { gluPairs } from './glu_pairs.ts';
import { linear, type LinearInput } from './linear.ts';

export function glu(
  input: Pick<LinearInput, 'x' | 'weights' | 'gamma'>,
  activation: Activation,
  size: { readonly tokens: number; readonly width: number; readonly cols: number; readonly eps?: number | undefined },
): Float64Array {
  const { width, ...rest } = size;
  const rows = upRows(width, activation);
  return gluPairs(linear(input, { ...rest, rows }), activation, rows);
}
