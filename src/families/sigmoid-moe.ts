/** The Mixture-of-Experts block of DeepSeek-V3 and those that took it over: sigmoid scores, a bias for selection only, groups, a scale. */
import { LIMITS, readExperts, readGroups, readWidth } from '../config/axes.ts';
import type { Activation, MoeFfn } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';

/** `n_shared_experts` experts that every token takes are one dense FFN of their joint width. */
export function readSharedExperts(c: ConfigReader, width: number): MoeFfn['shared'] {
  const count = c.integer(['n_shared_experts', 'num_shared_experts'], { min: 0, max: LIMITS.experts });
  return count === 0 ? null : { width: count * width, gated: false };
}

export function readSigmoidMoe(c: ConfigReader, activation: Activation): MoeFfn {
  c.only('scoring_func', 'sigmoid');
  c.only('topk_method', 'noaux_tc');
  const width = readWidth(c, 'moe_intermediate_size');
  const experts = readExperts(c);
  return {
    kind: 'moe',
    ...experts,
    width,
    activation,
    expertBias: false,
    router: {
      score: 'sigmoid',
      logitBias: false,
      selectionBias: true,
      groups: readGroups(c, experts, { rank: 'top2-sum', dropped: 'minus-infinity' }),
      renormalize: c.boolean('norm_topk_prob', true) ? { epsilon: 1e-20 } : null,
      scale: c.number('routed_scaling_factor', { fallback: 1 }),
    },
    shared: readSharedExperts(c, width),
  };
}
