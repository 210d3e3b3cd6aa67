/** DeepSeekMoE-16B, the first DeepSeek with experts: MHA, softmax over all, two shared experts, the first layer dense. */
import { readActivation, readBase, readDensePrefix, readExperts, readHeads, readWidth } from '../config/axes.ts';
import type { FfnConfig } from '../config/model-config.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { DEEPSEEK_TRAINING_KEYS } from './latent-attention.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';
import { readSharedExperts } from './sigmoid-moe.ts';

export const deepseekV1: Family = {
  id: 'deepseek-v1',
  modelTypes: ['deepseek'],
  architectures: ['DeepseekForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'deepseek-v1');
    const heads = readHeads(c, model.hidden);
    const activation = readActivation(c);
    c.irrelevant(...DEEPSEEK_TRAINING_KEYS);
    c.only('moe_layer_freq', 1);
    c.only('scoring_func', 'softmax');
    const biased = c.boolean('attention_bias', false);
    const { rope } = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 })(
      'full_attention',
    );
    const attention = groupedAttention(heads, rope, { bias: { qkv: biased, o: biased } });
    const sparse = readDensePrefix(c, layerCount);
    const width = readWidth(c, 'moe_intermediate_size');
    const dense: FfnConfig = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation };
    const moe: FfnConfig = {
      kind: 'moe',
      ...readExperts(c),
      width,
      activation,
      expertBias: false,
      router: softmaxRouter({ renormalize: c.boolean('norm_topk_prob', false) ? { epsilon: 1e-20 } : null }),
      shared: readSharedExperts(c, width),
    };
    return {
      ...model,
      layers: Array.from({ length: layerCount }, (_, i) => ({ mixer: attention, ffn: sparse(i) ? moe : dense })),
    };
  },

  names: (config) =>
    llamaNames(config, { block: 'mlp', router: 'gate', experts: separateExperts(), shared: 'shared_experts' }),
};
