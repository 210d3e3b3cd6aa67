/** Phi-3.5-MoE, Phi-mini and Phi-tiny: layer norms and biases everywhere but in the experts, and SparseMixer in place of softmax. */
import { readActivation, readBase, readExperts, readHeads, readWidth, readWindow } from '../config/axes.ts';
import type { LayerConfig, ModelConfig } from '../config/model-config.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

export const phimoe: Family = {
  id: 'phimoe',
  modelTypes: ['phimoe'],
  architectures: ['PhimoeForCausalLM', 'PhiMoEForCausalLM'],

  readConfig(c): ModelConfig {
    const { model, layerCount } = readBase(c, 'phimoe');
    const heads = readHeads(c, model.hidden);
    const { rope } = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 1e6 })(
      'full_attention',
    );
    const biased = c.boolean('attention_bias', false);
    c.irrelevant('input_jitter_noise', 'hidden_dropout'); // while training
    const layer: LayerConfig = {
      mixer: groupedAttention(heads, rope, {
        bias: { qkv: biased, o: biased },
        window: c.raw('sliding_window') === undefined ? null : readWindow(c),
      }),
      ffn: {
        kind: 'moe',
        ...readExperts(c),
        width: readWidth(c, 'intermediate_size'),
        activation: readActivation(c),
        expertBias: false,
        router: softmaxRouter({
          score: { kind: 'sparse-mixer', tolerance: 2 * c.number('router_jitter_noise', { min: 0, fallback: 0.01 }) },
        }),
        shared: null,
      },
    };
    return {
      ...model,
      norm: 'layer-biased',
      head: { bias: c.boolean('lm_head_bias', false), scale: 1 },
      layers: Array.from({ length: layerCount }, () => layer),
    };
  },

  names: (config) =>
    llamaNames(config, { block: 'block_sparse_moe', router: 'gate', experts: separateExperts(['w1', 'w3', 'w2']) }),
};
