/** The only list of block types that are read as weights. F32, F16 and BF16 are plain numbers, which need no codec. */
import { iq4nl, iq4xs, q3k, q50, q80 } from './bytes.ts';
import type { BlockCodec } from './codec.ts';
import { q2k, q41, q51 } from './floats.ts';
import { q4k, q5k, q6k } from './k-quants.ts';
import { mxfp4, q40 } from './nibbles.ts';

export const CODECS: ReadonlyMap<string, BlockCodec> = new Map([
  ['Q4_0', q40],
  ['Q4_1', q41],
  ['Q5_0', q50],
  ['Q5_1', q51],
  ['Q8_0', q80],
  ['Q2_K', q2k],
  ['Q3_K', q3k],
  ['Q4_K', q4k],
  ['Q5_K', q5k],
  ['Q6_K', q6k],
  ['IQ4_NL', iq4nl],
  ['IQ4_XS', iq4xs],
  ['MXFP4', mxfp4],
]);
