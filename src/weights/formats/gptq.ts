/**
 * GPTQ: `qweight` i32 [K/8 or K/4, N], neighbouring k of a column in a word, lowest bits first; `qzeros` i32 [G, N/8 or N/4]; `scales` [G, N];
 * `g_idx` i32 [K], the group of each k. w = scale * (q - zero).
 */
import { ceilDiv } from '../../util/math.ts';
import { columnInts, type ColumnPacking } from './column-ints.ts';
import type { WeightFormat } from './format.ts';
import { gptqConfig, type GptqScheme } from './gptq-config.ts';
import { plainExpert, plainMatrix } from './plain.ts';

export function gptqPacking({ bits, zeroOffset }: Pick<GptqScheme, 'bits' | 'zeroOffset'>): ColumnPacking {
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  return {
    bits,
    weightShape: ({ rows, cols }) => [ceilDiv(cols, perWord), rows],
    word: (stored, { rows }, n, j) => stored[j * rows + n]!,
    // As its kernels do, the sum wraps: a zero point of 0 was stored as the highest code.
    zero: (stored, { rows }, g, n) => {
      const word = stored[g * ceilDiv(rows, perWord) + Math.floor(n / perWord)]!;
      return ((word >>> ((n % perWord) * bits)) + zeroOffset) & mask;
    },
  };
}

export const gptq: WeightFormat = {
  method: 'gptq',
  check: (quantization) => void gptqConfig(quantization),
  matrix(checkpoint, quantization, name, shape) {
    if (!checkpoint.has(`${name}.qweight`)) return plainMatrix(checkpoint, name, shape);
    const scheme = gptqConfig(quantization).schemeOf(name);
    const { group, actOrder } = scheme;
    return columnInts(checkpoint, { name, shape, packing: gptqPacking(scheme), group, actOrder, method: 'gptq' });
  },
  expert: (checkpoint, _, name, slice) => plainExpert(checkpoint, name, slice),
};
