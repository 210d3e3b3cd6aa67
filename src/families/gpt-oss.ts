/** gpt-oss: biases everywhere, attention sinks, sliding and full layers in turn, and a clamped SwiGLU over the softmax of the chosen. */
import { readBase, readExperts, readHeads, readLayerTypes, readWidth, readWindow } from '../config/axes.ts';
import type { MoeFfn } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import type { ExpertStorage, Family } from './family.ts';
import { fusedExperts, llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention } from './parts.ts';

function readMoe(c: ConfigReader): MoeFfn {
  c.only('hidden_act', 'silu'); // the activation below is the family's own
  return {
    kind: 'moe',
    ...readExperts(c),
    width: readWidth(c, 'intermediate_size'),
    activation: {
      kind: 'clamped-swiglu',
      alpha: c.number('swiglu_alpha', { min: 0, fallback: 1.702 }),
      limit: c.number('swiglu_limit', { min: 0, fallback: 7 }),
    },
    expertBias: true,
    router: {
      score: 'softmax-chosen',
      logitBias: true,
      selectionBias: false,
      groups: null,
      renormalize: null,
      scale: 1,
    },
    shared: null,
  };
}

/**
 * All experts in one tensor: plain ones [E, in, out], MXFP4 `_blocks` and `_scales` [E, out, in]; gate and up rows alternate in both.
 * Quantised by others, one tensor an expert and projection.
 */
const experts = (block: string): readonly ExpertStorage[] => [
  ...fusedExperts('in-out', { gateRows: 'even', biased: true })(block),
  ...separateExperts()(block),
];

export const gptOss: Family = {
  id: 'gpt-oss',
  modelTypes: ['gpt_oss'],
  architectures: ['GptOssForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'gpt-oss');
    const heads = readHeads(c, model.hidden, 64);
    const types = readLayerTypes(c, layerCount, (i) => (i % 2 === 0 ? 'sliding_attention' : 'full_attention'));
    const ropes = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 150_000 });
    c.irrelevant('initial_context_length'); // the vendor's name for the rope scaling's original_max_position_embeddings
    const window = types.includes('sliding_attention') ? readWindow(c) : null;
    c.irrelevant('sliding_window'); // without sliding layers
    const biased = c.boolean('attention_bias', true);
    const ffn = readMoe(c);
    const layers = types.map((type) => {
      const attention = groupedAttention(heads, ropes(type).rope, {
        bias: { qkv: biased, o: biased },
        window: type === 'sliding_attention' ? window : null,
        sinks: true,
      });
      return { mixer: attention, ffn };
    });
    return { ...model, layers };
  },

  names: (config) => llamaNames(config, { block: 'mlp', router: 'router', experts }),
};
