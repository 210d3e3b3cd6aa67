/** Twin of shaders/linear/glu_pairs.wgsl. pairs [T, rows], gate and up alternating, or without gates the halves of up; returns [T, F]. */
import type { Activation } from '../../config/model-config.ts';
import { activated } from '../activation.ts';

export function gluPairs(pairs: Float32Array | Float64Array, activation: Activation, rows: number): Float64Array {
  const out: number[] = [];
  for (let at = 0; at < pairs.length; at += rows) out.push(...activated(activation, pairs.subarray(at, at + rows)));
  return Float64Array.from(out);
}
