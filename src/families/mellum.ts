/** Mellum2: the block of Qwen3-MoE, with full and sliding layers that rotate each in their own way. */
import {
  readActivation,
  readBase,
  readDensePrefix,
  readExperts,
  readHeads,
  readLayerTypes,
  readWidth,
  readWindow,
} from '../config/axes.ts';
import type { FfnConfig } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

const readSparse = (c: ConfigReader, layerCount: number): ((layer: number) => boolean) =>
  c.raw('mlp_layer_types') === undefined ? () => true : readDensePrefix(c, layerCount);

export const mellum: Family = {
  id: 'mellum',
  modelTypes: ['mellum'],
  architectures: ['MellumForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'mellum');
    const heads = readHeads(c, model.hidden);
    const activation = readActivation(c);
    const types = readLayerTypes(c, layerCount, () => 'full_attention');
    const ropes = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 500_000 });
    const window = types.includes('sliding_attention') ? readWindow(c) : null;
    c.irrelevant('sliding_window', 'use_sliding_window', 'max_window_layers'); // layer_types says which layers have one
    const biased = c.boolean('attention_bias', false);
    const sparse = readSparse(c, layerCount);
    const dense: FfnConfig = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation };
    const moe: FfnConfig = {
      kind: 'moe',
      ...readExperts(c),
      width: readWidth(c, 'moe_intermediate_size'),
      activation,
      expertBias: false,
      router: softmaxRouter({ renormalize: c.boolean('norm_topk_prob', true) ? { epsilon: 0 } : null }),
      shared: null,
    };
    const layers = types.map((type, i) => ({
      mixer: groupedAttention(heads, ropes(type).rope, {
        qkNorm: 'per-head',
        bias: { qkv: biased, o: biased },
        window: type === 'sliding_attention' ? window : null,
      }),
      ffn: sparse(i) ? moe : dense,
    }));
    return { ...model, layers };
  },

  names: (config) => llamaNames(config, { block: 'mlp', router: 'gate', experts: separateExperts() }),
};
