/**
 * OLMo 2 and 3, dense, and FlexOlmo, whose experts are feed-forwards that were trained apart: layers norm what they add to the residual stream and not
 * what they read of it; q and k are normed over the whole projection.
 */
import {
  readActivation,
  readBase,
  readExperts,
  readHeads,
  readLayerTypes,
  readWidth,
  readWindow,
  type LayerType,
} from '../config/axes.ts';
import type { FfnConfig, RopeConfig } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope, type RopeRequest } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

const MODEL_TYPES = ['flex_olmo', 'olmo2', 'olmo3'];

/** A `rope_scaling` is of layers with full attention; files of transformers 5 have one for each type. */
function readRopes(c: ConfigReader, request: RopeRequest): (type: LayerType) => RopeConfig {
  const ropes = readRope(c, request);
  if (c.raw('rope_scaling') === undefined) return (type) => ropes(type).rope;
  const theta = c.number('rope_theta', { min: 2, fallback: request.theta });
  const plain = readRope(c.empty('rope_scaling'), { ...request, theta });
  return (type) => (type === 'sliding_attention' ? plain(type) : ropes(type)).rope;
}

function readTypes(c: ConfigReader, isOlmo3: boolean, layerCount: number): readonly LayerType[] {
  if (!isOlmo3) return Array.from({ length: layerCount }, () => 'full_attention');
  return readLayerTypes(c, layerCount, (i) => ((i + 1) % 4 ? 'sliding_attention' : 'full_attention'));
}

const readFfn = (c: ConfigReader, isMoe: boolean): FfnConfig => {
  const width = readWidth(c, 'intermediate_size');
  const activation = readActivation(c);
  if (!isMoe) return { kind: 'dense', width, activation };
  return {
    kind: 'moe',
    ...readExperts(c),
    width,
    activation,
    expertBias: false,
    router: softmaxRouter({ renormalize: c.boolean('norm_topk_prob', false) ? { epsilon: 0 } : null }),
    shared: null,
  };
};

export const olmo2: Family = {
  id: 'olmo2',
  modelTypes: MODEL_TYPES,
  architectures: ['FlexOlmoForCausalLM', 'Olmo2ForCausalLM', 'Olmo3ForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'olmo2');
    const heads = readHeads(c, model.hidden);
    const type = c.raw('model_type') ?? '';
    const types = readTypes(c, type === 'olmo3', layerCount);
    const window = types.includes('sliding_attention') ? readWindow(c) : null;
    c.irrelevant('sliding_window'); // without such layers
    const ropes = readRopes(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 500_000 });
    const biased = c.boolean('attention_bias', false);
    const ffn = readFfn(c, type === 'flex_olmo');
    const layers = types.map((of) => ({
      mixer: groupedAttention(heads, ropes(of), {
        qkNorm: 'full',
        bias: { qkv: biased, o: biased },
        window: of === 'sliding_attention' ? window : null,
      }),
      ffn,
    }));
    return { ...model, preNorms: false, postNorms: true, layers };
  },

  names: (config) =>
    llamaNames(config, {
      block: 'mlp',
      router: 'gate',
      experts: separateExperts(),
      norms: ['post_attention_layernorm', 'post_feedforward_layernorm'],
    }),
};
