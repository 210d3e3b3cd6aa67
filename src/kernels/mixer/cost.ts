import { alignUp } from '../../util/math.ts';
import { BYTES, moves, type ConstantsOf, type Cost, type CostRule } from '../cost.ts';

/** Lanes that share a row of a recurrent state, and rows of a workgroup. */
const LANES = 16;
const ROWS = 4;

/** Lanes of a convolution, one a channel. */
const WORKGROUP = 64;

/** A state is read where tokens came before, and written by every step. */
const stateBytes = (c: ConstantsOf, values: number): number => (c.position > 0 ? 2 : 1) * BYTES * values;

function causalConv(c: ConstantsOf): Cost {
  const [channels, taps] = [c.number('CHANNELS'), c.number('TAPS')];
  const inputs = c.flag('GATED') ? 3 : 1;
  return {
    weightBytes: BYTES * channels * (taps + (c.flag('BIAS') ? 1 : 0)),
    kvBytes: stateBytes(c, (taps - 1) * channels),
    activationBytes: BYTES * c.tokens * channels * (inputs + 1),
    usefulFlops: 2 * c.tokens * channels * taps,
    issuedFlops: 2 * c.tokens * alignUp(channels, WORKGROUP) * taps,
  };
}

/** A token writes to the state and reads it: two multiply-adds a value. */
function selectiveScan(c: ConstantsOf): Cost {
  const [channels, states, groups] = [c.number('CHANNELS'), c.number('STATES'), c.number('GROUPS')];
  const heads = channels / c.number('HEAD_SIZE');
  const decays = c.flag('A_BY_STATE') ? channels * states : heads;
  return {
    weightBytes: BYTES * (2 * heads + decays),
    kvBytes: stateBytes(c, channels * states),
    activationBytes: BYTES * c.tokens * (3 * channels + heads + 2 * groups * states),
    usefulFlops: 4 * c.tokens * channels * states,
    issuedFlops: 4 * c.tokens * alignUp(channels, ROWS) * alignUp(states, LANES),
  };
}

/** S k, what is written, S q: three multiply-adds a value; and k q, so that S q need not wait for what is written. */
function deltaRule(c: ConstantsOf): Cost {
  const [heads, keySize] = [c.number('HEADS'), c.number('KEY_SIZE')];
  const values = heads * c.number('VALUE_SIZE');
  return {
    weightBytes: BYTES * 2 * heads,
    kvBytes: stateBytes(c, values * keySize),
    activationBytes: BYTES * c.tokens * (2 * c.number('KEY_HEADS') * keySize + 2 * values + 2 * heads),
    usefulFlops: 6 * c.tokens * values * keySize,
    issuedFlops: 8 * c.tokens * alignUp(values, ROWS) * alignUp(keySize, LANES),
  };
}

export const MIXER_COSTS: Readonly<Record<string, CostRule>> = {
  'mixer/causal_conv': causalConv,
  'mixer/selective_scan': selectiveScan,
  'mixer/delta_rule': deltaRule,
  'mixer/gate': (c) => moves({ activationBytes: BYTES * c.tokens * 3 * c.number('SIZE') }),
};
