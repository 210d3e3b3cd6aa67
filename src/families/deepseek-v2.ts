/** DeepSeek-V2, V2-Lite and Coder-V2: latent attention, softmax router with optional groups, shared experts, first layers dense. */
import { readActivation, readBase, readDensePrefix, readExperts, readGroups, readWidth } from '../config/axes.ts';
import type { Activation, FfnConfig, MoeFfn } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import type { Family } from './family.ts';
import { DEEPSEEK_TRAINING_KEYS, readLatentAttention } from './latent-attention.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { softmaxRouter } from './parts.ts';
import { readSharedExperts } from './sigmoid-moe.ts';

function readMoe(c: ConfigReader, activation: Activation): MoeFfn {
  const width = readWidth(c, 'moe_intermediate_size');
  const experts = readExperts(c);
  c.only('scoring_func', 'softmax');
  c.only('topk_method', 'greedy', 'group_limited_greedy');
  // The vendor's code and transformers disagree on true; no published model sets it.
  c.only('norm_topk_prob', false);
  const grouped = c.raw('topk_method') === 'group_limited_greedy';
  if (!grouped) c.irrelevant('n_group', 'topk_group'); // the greedy method looks at no groups
  return {
    kind: 'moe',
    ...experts,
    width,
    activation,
    expertBias: false,
    router: softmaxRouter({
      groups: grouped ? readGroups(c, experts, { rank: 'max', dropped: 'zero' }) : null,
      scale: c.number('routed_scaling_factor', { fallback: 1 }),
    }),
    shared: readSharedExperts(c, width),
  };
}

export const deepseekV2: Family = {
  id: 'deepseek-v2',
  modelTypes: ['deepseek_v2'],
  architectures: ['DeepseekV2ForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'deepseek-v2');
    const activation = readActivation(c);
    c.irrelevant(...DEEPSEEK_TRAINING_KEYS);
    c.only('moe_layer_freq', 1);
    c.only('mlp_bias', false);
    const attention = readLatentAttention(c, model.maxContext, true);
    const sparse = readDensePrefix(c, layerCount);
    const dense: FfnConfig = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation };
    const moe = readMoe(c, activation);
    return {
      ...model,
      layers: Array.from({ length: layerCount }, (_, i) => ({ mixer: attention, ffn: sparse(i) ? moe : dense })),
    };
  },

  names: (config) =>
    llamaNames(config, { block: 'mlp', router: 'gate', experts: separateExperts(), shared: 'shared_experts' }),
};
