/** DeepSeek-V3, R1 and the small models of its shape (Moonlight, Kimi K2, GigaChat3, Kanana-2): latent attention and a sigmoid router with groups. */
import { readActivation, readBase, readDensePrefix, readWidth } from '../config/axes.ts';
import type { FfnConfig } from '../config/model-config.ts';
import type { Family } from './family.ts';
import { DEEPSEEK_TRAINING_KEYS, readLatentAttention } from './latent-attention.ts';
import { DEEPSEEK_BLOCK, llamaNames } from './llama-names.ts';
import { readSigmoidMoe } from './sigmoid-moe.ts';

export const deepseekV3: Family = {
  id: 'deepseek-v3',
  modelTypes: ['deepseek_v3', 'kimi_k2'],
  architectures: ['DeepseekV3ForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'deepseek-v3');
    const activation = readActivation(c);
    c.irrelevant(...DEEPSEEK_TRAINING_KEYS);
    c.irrelevant('num_nextn_predict_layers'); // layers behind the last one that predict further tokens; not read
    c.only('moe_layer_freq', 1);
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
