/** AFMoE, published as Trinity: four norms a layer, gated attention, RoPE in sliding layers only, a scaled embedding, a sigmoid router. */
import {
  LIMITS,
  readActivation,
  readBase,
  readExperts,
  readGroups,
  readHeads,
  readLayerTypes,
  readWidth,
  readWindow,
} from '../config/axes.ts';
import type { Activation, FfnConfig, MoeFfn } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { NO_ROPE, readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, SIGMOID_GATE, softmaxRouter } from './parts.ts';

function readMoe(c: ConfigReader, activation: Activation): MoeFfn {
  const width = readWidth(c, 'moe_intermediate_size');
  const shared = c.integer('num_shared_experts', { min: 0, max: LIMITS.experts, fallback: 0 });
  const experts = readExperts(c);
  c.only('score_func', 'sigmoid');
  c.only('num_expert_groups', 1);
  c.only('num_limited_groups', 1);
  return {
    kind: 'moe',
    ...experts,
    width,
    activation,
    expertBias: false,
    router: softmaxRouter({
      score: 'sigmoid',
      selectionBias: true,
      groups: readGroups(c, experts, { rank: 'top2-sum', dropped: 'minus-infinity' }),
      renormalize: c.boolean('route_norm', true) ? { epsilon: 1e-20 } : null,
      scale: c.number('route_scale', { fallback: 1 }),
    }),
    shared: shared > 0 ? { width: shared * width, gated: false } : null,
  };
}

export const afmoe: Family = {
  id: 'afmoe',
  modelTypes: ['afmoe'],
  architectures: ['AfmoeForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'afmoe');
    const heads = readHeads(c, model.hidden);
    const activation = readActivation(c);
    const every = c.integer('global_attn_every_n_layers', { fallback: 4 });
    const types = readLayerTypes(c, layerCount, (i) => ((i + 1) % every ? 'sliding_attention' : 'full_attention'));
    const { rope } = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 })(
      'sliding_attention',
    );
    const window = types.includes('sliding_attention') ? readWindow(c) : null;
    c.irrelevant('sliding_window'); // without sliding layers
    c.irrelevant('load_balance_coeff', 'use_grouped_mm'); // of training, and of one way to compute the same
    c.only('attention_bias', false);
    const prefix = c.integer('num_dense_layers', { min: 0, max: layerCount, fallback: 0 });
    const dense: FfnConfig = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation };
    const moe = readMoe(c, activation);
    const layers = types.map((type, i) => {
      const slides = type === 'sliding_attention';
      const parts = { qkNorm: 'per-head', window: slides ? window : null, outputGate: SIGMOID_GATE } as const;
      return { mixer: groupedAttention(heads, slides ? rope : NO_ROPE, parts), ffn: i < prefix ? dense : moe };
    });
    const embeddingScale = c.boolean('mup_enabled', false) ? model.hidden ** 0.5 : 1;
    return { ...model, embeddingScale, postNorms: true, layers };
  },

  names: (config) =>
    llamaNames(config, {
      block: 'mlp',
      router: 'router.gate',
      experts: separateExperts(),
      selectionBias: 'expert_bias',
      shared: 'shared_experts',
      outputGate: 'gate_proj',
      norms: ['input_layernorm', 'post_attention_layernorm', 'pre_mlp_layernorm', 'post_mlp_layernorm'],
    }),
};
