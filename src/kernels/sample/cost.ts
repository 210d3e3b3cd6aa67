import { BYTES, moves, type CostRule } from '../cost.ts';
import { sampledWords, MAX_TOP_LOGPROBS } from './top_logprobs.ts';
import { SAMPLED_WORDS } from './sample.ts';

export const SAMPLE_COSTS: Readonly<Record<string, CostRule>> = {
  /** Logits and counts; where there are limits, a bias and a bit more a token. */
  'sample/sample': (c) => {
    const v = c.number('V');
    const limits = c.flag('LIMITED') ? v + Math.ceil(v / 32) : 0;
    const rows = c.isOn('ROWS') ? c.tokens : 1;
    return moves({ activationBytes: BYTES * (v + limits + rows * (v + SAMPLED_WORDS) + 2) });
  },
  'sample/top_logprobs': (c) => moves({ activationBytes: BYTES * (c.number('V') + sampledWords(MAX_TOP_LOGPROBS)) }),
};
