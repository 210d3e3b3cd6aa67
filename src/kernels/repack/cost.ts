import { BYTES, moves, type CostRule } from '../cost.ts';

export const REPACK_COSTS: Readonly<Record<string, CostRule>> = {
  /** The step's tokens are the rows of the block: floats in, integers out. */
  'repack/quantize': (c) => {
    const words = (c.number('COLS') * (c.flag('FROM_F32') ? 4 : 2)) / BYTES;
    const target = 16 * c.number('W_CHUNKS') * (c.flag('FOUR_BITS') ? 1 : 2) + BYTES * c.number('W_SCALE_ROW');
    return moves({ weightBytes: c.tokens * (BYTES * words + target) });
  },
};
