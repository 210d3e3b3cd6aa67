/** The cost rule of every kernel, by its shader. */
import type { Launch } from '../gpu/recording.ts';
import { invariant } from '../util/assert.ts';
import { ATTENTION_COSTS } from './attention/cost.ts';
import { ConstantsOf, type Cost, type CostRule, type ExpertTraffic } from './cost.ts';
import { EMBED_COSTS } from './embed/cost.ts';
import { LINEAR_COSTS } from './linear/cost.ts';
import { MIXER_COSTS } from './mixer/cost.ts';
import { MOE_COSTS } from './moe/cost.ts';
import { NORM_COSTS } from './norm/cost.ts';
import { REPACK_COSTS } from './repack/cost.ts';
import { SAMPLE_COSTS } from './sample/cost.ts';

export const COST_RULES: Readonly<Record<string, CostRule>> = {
  ...ATTENTION_COSTS,
  ...EMBED_COSTS,
  ...LINEAR_COSTS,
  ...MIXER_COSTS,
  ...MOE_COSTS,
  ...NORM_COSTS,
  ...REPACK_COSTS,
  ...SAMPLE_COSTS,
};

/** @param traffic of the dispatch's layer; null outside MoE layers */
export function costOf(launch: Launch, traffic: ExpertTraffic | null): Cost {
  const rule = COST_RULES[launch.shader];
  invariant(rule, `${launch.shader} has no cost rule: add it to the cost.ts of its folder`);
  return rule(new ConstantsOf(launch), traffic);
}
