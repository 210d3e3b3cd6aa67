/**
 * AWQ, version gemm: `qweight` i32 [K, N/8], eight neighbouring columns in a word; `qzeros` i32 [G, N/8]; `scales` [G, N]. w = scale * (q - zero).
 */
import { ConfigReader, type Json } from '../../config/read.ts';
import { ceilDiv } from '../../util/math.ts';
import { columnInts, type ColumnPacking } from './column-ints.ts';
import { cached } from './config-cache.ts';
import type { WeightFormat } from './format.ts';
import { ModuleList } from './module-list.ts';
import { plainExpert, plainMatrix } from './plain.ts';

const PER_WORD = 8;
/** Lowest bit of column 0 to 7 in its word: the nibbles hold columns 0, 2, 4, 6, 1, 3, 5, 7. */
const SHIFTS = [0, 16, 4, 20, 8, 24, 12, 28];

const PACKING: ColumnPacking = {
  bits: 4,
  weightShape: ({ rows, cols }) => [cols, ceilDiv(rows, PER_WORD)],
  word(stored, { rows, cols }, n, j) {
    const perK = ceilDiv(rows, PER_WORD);
    const at = Math.floor(n / PER_WORD);
    const shift = SHIFTS[n % PER_WORD]!;
    let word = 0;
    const until = Math.min(PER_WORD, cols - PER_WORD * j);
    for (let i = 0; i < until; i++) word |= ((stored[(PER_WORD * j + i) * perK + at]! >>> shift) & 15) << (4 * i);
    return word >>> 0;
  },
  zero: (stored, { rows }, g, n) =>
    (stored[g * ceilDiv(rows, PER_WORD) + Math.floor(n / PER_WORD)]! >>> SHIFTS[n % PER_WORD]!) & 15,
};

interface AwqConfig {
  readonly group: number | null;
  readonly kept: ModuleList;
}

/** @throws UnsupportedModel, InvalidCheckpoint */
const config = cached((quantization: Json): AwqConfig => {
  const c = new ConfigReader(quantization, 'config.json: quantization_config');
  c.only('bits', 4);
  c.only('w_bit', 4);
  // gemv and marlin store the integers in another order.
  c.only('version', 'gemm', 'GEMM');
  c.only('zero_point', true);
  const size = c.integer(['group_size', 'q_group_size'], { min: -1, fallback: 128 });
  if (size === 0) c.fail('group_size', '-1 or at least 1');
  const kept = new ModuleList(c, 'modules_to_not_convert', 'ignore');
  // With which kernel somebody ran it, and what it was quantised with.
  c.irrelevant('quant_method', 'backend', 'do_fuse', 'fuse_max_seq_len', 'modules_to_fuse', 'exllama_config');
  c.irrelevant('duo_scaling', 'calib_data', 'activation_scheme');
  c.finish();
  return { group: size === -1 ? null : size, kept };
});

export const awq: WeightFormat = {
  method: 'awq',
  check: (quantization) => void config(quantization),
  matrix(checkpoint, quantization, name, shape) {
    if (!checkpoint.has(`${name}.qweight`)) return plainMatrix(checkpoint, name, shape);
    const { group, kept } = config(quantization);
    kept.refuse(name);
    return columnInts(checkpoint, { name, shape, packing: PACKING, group, actOrder: false, method: 'awq' });
  },
  expert: (checkpoint, _, name, slice) => plainExpert(checkpoint, name, slice),
};
