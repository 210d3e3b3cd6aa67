import { BYTES, moves, weightRowBytes, type CostRule } from '../cost.ts';

export const EMBED_COSTS: Readonly<Record<string, CostRule>> = {
  /** A later part of a table that is cut reads the rows that it has once more; how many those are, only the ids say: it counts for none. */
  'embed/embed_rows': (c) =>
    c.flag('LATER_PART')
      ? moves({ activationBytes: BYTES * c.tokens })
      : moves({
          weightBytes: c.tokens * weightRowBytes(c),
          activationBytes: BYTES * c.tokens * (1 + (c.flag('SINUSOIDS') ? 2 : 1) * c.number('D')),
        }),
};
