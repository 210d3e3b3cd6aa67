/** GLM-4.7-Flash: latent attention and router of DeepSeek-V3, with keys of its own for what is dense. */
import { readActivation, readBase, readDensePrefix, readWidth } from '../config/axes.ts';
import type { FfnConfig } from '../config/model-config.ts';
import type { Family } from './family.ts';
import { DEEPSEEK_TRAINING_KEYS, readLatentAttention } from './latent-attention.ts';
import { DEEPSEEK_BLOCK, llamaNames } from './llama-names.ts';
import { readSigmoidMoe } from './sigmoid-moe.ts';

export const glm4MoeLite: Family = {
  id: 'glm4-moe-lite',
  modelTypes: ['glm4_moe_lite'],
  architectures: ['Glm4MoeLiteForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'glm4-moe-lite');
    const activation = readActivation(c);
    c.irrelevant(...DEEPSEEK_TRAINING_KEYS, 'num_nextn_predict_layers', 'moe_layer_freq');
    c.only('partial_rotary_factor', 1);
    const attention = readLatentAttention(c, model.maxContext, c.boolean('rope_interleave', true));
    const sparse = readDensePrefix(c, layerCount);
    const dense: FfnConfig = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation };
    const moe = readSigmoidMoe(c, activation);
    return {
      ...model,
      layers: Array.from({ length: layerCount }, (_, i) => ({ mixer: attention, ffn: sparse(i) ? moe : dense })),
    };
  },

  names: (config) => llamaNames(config, DEEPSEEK_BLOCK),
};
