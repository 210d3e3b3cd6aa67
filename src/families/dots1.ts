/** dots.llm1: MHA with q and k normalised per head, and the router of DeepSeek-V3. */
import {
  readActivation,
  readBase,
  readDensePrefix,
  readHeads,
  readLayerTypes,
  readWidth,
  readWindow,
} from '../config/axes.ts';
import type { FfnConfig } from '../config/model-config.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { DEEPSEEK_BLOCK, llamaNames } from './llama-names.ts';
import { groupedAttention } from './parts.ts';
import { readSigmoidMoe } from './sigmoid-moe.ts';

export const dots1: Family = {
  id: 'dots1',
  modelTypes: ['dots1'],
  architectures: ['Dots1ForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'dots1');
    const heads = readHeads(c, model.hidden);
    const activation = readActivation(c);
    const ropes = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 });
    c.irrelevant('num_nextn_predict_layers'); // layers behind the last one that predict further tokens; not read
    c.irrelevant('max_window_layers'); // of a window, which layer_types names
    c.only('moe_layer_freq', 1);
    const biased = c.boolean('attention_bias', false);
    const types = readLayerTypes(c, layerCount, () => 'full_attention');
    const window = types.includes('sliding_attention') ? readWindow(c) : null;
    c.irrelevant('sliding_window'); // without sliding layers
    const sparse = readDensePrefix(c, layerCount);
    const dense: FfnConfig = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation };
    const moe = readSigmoidMoe(c, activation);
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

  names: (config) => llamaNames(config, DEEPSEEK_BLOCK),
};
