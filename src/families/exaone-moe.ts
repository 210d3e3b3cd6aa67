/** K-EXAONE: sliding and full layers, of which only the sliding ones know positions, q and k normed per head, and the block of DeepSeek-V3. */
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
import { NO_ROPE, readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { DEEPSEEK_BLOCK, llamaNames } from './llama-names.ts';
import { groupedAttention } from './parts.ts';
import { readSigmoidMoe } from './sigmoid-moe.ts';

export const exaoneMoe: Family = {
  id: 'exaone-moe',
  modelTypes: ['exaone_moe'],
  architectures: ['ExaoneMoeForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'exaone-moe');
    const heads = readHeads(c, model.hidden);
    const activation = readActivation(c);
    const ropes = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 });
    const every = c.integer('sliding_window_pattern', { fallback: 4 });
    const types = readLayerTypes(c, layerCount, (i) => ((i + 1) % every ? 'sliding_attention' : 'full_attention'));
    const window = types.includes('sliding_attention') ? readWindow(c) : null;
    c.irrelevant('sliding_window'); // without sliding layers
    c.irrelevant('num_nextn_predict_layers'); // layers behind the last one that predict further tokens; not read
    const sparse = readDensePrefix(c, layerCount);
    const dense: FfnConfig = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation };
    const moe = readSigmoidMoe(c, activation);
    const layers = types.map((type, i) => {
      const slides = type === 'sliding_attention';
      return {
        mixer: groupedAttention(heads, slides || window === null ? ropes(type).rope : NO_ROPE, {
          qkNorm: 'per-head',
          window: slides ? window : null,
        }),
        ffn: sparse(i) ? moe : dense,
      };
    });
    return { ...model, layers };
  },

  names: (config) => llamaNames(config, { ...DEEPSEEK_BLOCK, selectionBias: 'e_score_correction_bias' }),
};
