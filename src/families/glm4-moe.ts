/** GLM-4.5: GQA with a partly rotated head, optional q and k norms, and the router of DeepSeek-V3. */
import { readActivation, readBase, readDensePrefix, readHeads, readWidth } from '../config/axes.ts';
import type { FfnConfig } from '../config/model-config.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { DEEPSEEK_BLOCK, llamaNames } from './llama-names.ts';
import { groupedAttention } from './parts.ts';
import { readSigmoidMoe } from './sigmoid-moe.ts';

export const glm4Moe: Family = {
  id: 'glm4-moe',
  modelTypes: ['glm4_moe'],
  architectures: ['Glm4MoeForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'glm4-moe');
    const heads = readHeads(c, model.hidden);
    const activation = readActivation(c);
    const { rope } = readRope(c, {
      headSize: heads.headSize,
      maxContext: model.maxContext,
      theta: 10_000,
      partial: 0.5,
    })('full_attention');
    c.irrelevant('num_nextn_predict_layers'); // layers behind the last one that predict further tokens; not read
    const attention = groupedAttention(heads, rope, {
      qkNorm: c.boolean('use_qk_norm', false) ? 'per-head' : 'none',
      bias: { qkv: c.boolean('attention_bias', false), o: false },
    });
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
