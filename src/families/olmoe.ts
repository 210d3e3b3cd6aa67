/** OLMoE: q and k normalised over the whole projection, optional clamp of q, k, v; softmax over all experts, weights as they are. */
import { readActivation, readBase, readExperts, readHeads, readWidth } from '../config/axes.ts';
import type { LayerConfig } from '../config/model-config.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

export const olmoe: Family = {
  id: 'olmoe',
  modelTypes: ['olmoe'],
  architectures: ['OlmoeForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'olmoe');
    const heads = readHeads(c, model.hidden);
    const { rope } = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 })(
      'full_attention',
    );
    const biased = c.boolean('attention_bias', false);
    const layer: LayerConfig = {
      mixer: groupedAttention(heads, rope, {
        qkNorm: 'full',
        clip: c.raw('clip_qkv') === undefined ? null : c.number('clip_qkv', { min: 0 }),
        bias: { qkv: biased, o: biased },
      }),
      ffn: {
        kind: 'moe',
        ...readExperts(c),
        width: readWidth(c, 'intermediate_size'),
        activation: readActivation(c),
        expertBias: false,
        router: softmaxRouter({ renormalize: c.boolean('norm_topk_prob', false) ? { epsilon: 0 } : null }),
        shared: null,
      },
    };
    return { ...model, layers: Array.from({ length: layerCount }, () => layer) };
  },

  names: (config) => llamaNames(config, { block: 'mlp', router: 'gate', experts: separateExperts() }),
};
