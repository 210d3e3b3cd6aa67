/** Mixtral and its merges: GQA, softmax over all experts, always renormalised, no shared expert. */
import { readActivation, readBase, readExperts, readHeads, readWidth, readWindow } from '../config/axes.ts';
import type { LayerConfig } from '../config/model-config.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';

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
      mixer: {
        kind: 'grouped',
        ...heads,
        scale: heads.headSize ** -0.5,
        qkNorm: 'none',
        clip: null,
        bias: { qkv: false, o: false },
        window: c.raw('sliding_window') === undefined ? null : readWindow(c),
        sinks: false,
        rope,
      },
      ffn: {
        kind: 'moe',
        ...readExperts(c),
        width: readWidth(c, 'intermediate_size'),
        activation: readActivation(c),
        expertBias: false,
        router: {
          score: 'softmax',
          logitBias: false,
          selectionBias: false,
          groups: null,
          renormalize: { epsilon: 0 },
          scale: 1,
        },
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
