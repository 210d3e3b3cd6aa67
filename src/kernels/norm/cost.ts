import { BYTES, moves, type CostRule } from '../cost.ts';

export const NORM_COSTS: Readonly<Record<string, CostRule>> = {
  'norm/rms_norm': (c) =>
    moves({
      weightBytes: BYTES * (c.number('GROUPS') * c.number('D') + Number(c.isOn('TOTAL'))),
      activationBytes: BYTES * c.tokens * (c.isOn('RESIDUAL') ? 3 : 2) * c.number('GROUPS') * c.number('D'),
    }),
  'norm/gain_add': (c) =>
    moves({
      weightBytes: BYTES * 3 * c.number('D'),
      activationBytes: BYTES * c.tokens * 3 * c.number('D'),
    }),
  'norm/layer_norm': (c) =>
    moves({
      weightBytes: BYTES * (c.isOn('BIAS') ? 2 : 1) * c.number('D'),
      activationBytes: BYTES * c.tokens * 2 * c.number('D'),
    }),
};
