/** Mixtral and its merges: GQA, softmax over all experts, always renormalised, no shared expert. */
import { readActivation, readBase, readExperts, readHeads, readWidth, readWindow } from '../config/axes.ts';
import type { LayerConfig } from '../config/model-config.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

export const mixtral: Family = {
  id: 'mixtral',
  modelTypes: ['mixtral'],
  architectures: ['MixtralForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'mixtral');
    const heads = readHeads(c, model.hidden);
    const { rope } = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 1e6 })(
      'full_attention',
    );
    c.irrelevant('router_jitter_noise'); // noise while training
    const layer: LayerConfig = {
      mixer: groupedAttention(heads, rope, {
        window: c.raw('sliding_window') === undefined ? null : readWindow(c),
      }),
      ffn: {
        kind: 'moe',
        ...readExperts(c),
        width: readWidth(c, 'intermediate_size'),
        activation: readActivation(c),
        expertBias: false,
        router: softmaxRouter({ renormalize: { epsilon: 0 } }),
        shared: null,
      },
    };
    return { ...model, layers: Array.from({ length: layerCount }, () => layer) };
  },

  names: (config) =>
    llamaNames(config, {
      block: 'block_sparse_moe',
      router: 'gate',
      experts: separateExperts(['w1', 'w3', 'w2']),
    }),
};
