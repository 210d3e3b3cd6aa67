/** Twin of shaders/linear/glu_pairs.wgsl. pairs [T, 2F], gate and up alternating; returns [T, F]. */
import type { Activation } from '../../config/model-config.ts';
import { activate } from '../activation.ts';

export const gluPairs = (pairs: ArrayLike<number>, activation: Activation): Float64Array =>
  Float64Array.from({ length: pairs.length / 2 }, (_, i) => activate(activation, pairs[2 * i]!, pairs[2 * i + 1]!));
