/**
 * Laguna: attention with a softplus gate for each head or value, as many heads as each layer lists, one rotation for each type of layer; sigmoid scores
 * with a bias for selection, and a shared expert.
 */
import {
  LIMITS,
  readActivation,
  readBase,
  readDensePrefix,
  readExperts,
  readHeads,
  readLayerTypes,
  readWidth,
  readWindow,
} from '../config/axes.ts';
import type { Activation, DenseFfn, GroupedAttention, MoeFfn } from '../config/model-config.ts';
import { ConfigReader, type Json } from '../config/read.ts';
import { readRope, type RopeRequest } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

/** As transformers has it for files that do not say. */
const ROPE = {
  full_attention: { rope_type: 'default', rope_theta: 500_000, partial_rotary_factor: 0.5 },
  sliding_attention: { rope_type: 'default', rope_theta: 10_000, partial_rotary_factor: 1 },
};

function readRopes(c: ConfigReader, request: RopeRequest): ReturnType<typeof readRope> {
  const says = c.raw('rope_parameters') !== undefined || c.raw('rope_scaling') !== undefined;
  return readRope(says ? c : new ConfigReader({ rope_parameters: ROPE }, c.path), request);
}

const isHeads = (item: Json): item is number =>
  typeof item === 'number' && Number.isInteger(item) && item >= 1 && item <= LIMITS.heads;

function readHeadsByLayer(c: ConfigReader, heads: number, kvHeads: number, layerCount: number): readonly number[] {
  const key = 'num_attention_heads_per_layer';
  const byDefault = Array.from({ length: layerCount }, () => heads);
  const counts = c.list(key, isHeads, 'numbers of heads', byDefault);
  if (counts.length !== layerCount || counts.some((count) => count % kvHeads))
    c.fail(key, `a list of ${layerCount} multiples of num_key_value_heads (${kvHeads})`);
  return counts;
}

function readGate(c: ConfigReader): NonNullable<GroupedAttention['outputGate']> {
  c.only('gating', true, 'per-head', 'per-element');
  return { of: c.raw('gating') === 'per-element' ? 'value' : 'head', by: 'softplus' };
}

function readMoe(c: ConfigReader, activation: Activation): MoeFfn {
  c.only('moe_apply_router_weight_on_input', false);
  c.only('moe_router_logit_softcapping', 0);
  return {
    kind: 'moe',
    ...readExperts(c),
    width: readWidth(c, 'moe_intermediate_size'),
    activation,
    expertBias: false,
    router: softmaxRouter({
      score: 'sigmoid',
      selectionBias: true,
      renormalize: { epsilon: 0 },
      scale: c.number('moe_routed_scaling_factor', { fallback: 1 }),
    }),
    shared: { width: readWidth(c, 'shared_expert_intermediate_size'), gated: false },
  };
}

export const laguna: Family = {
  id: 'laguna',
  modelTypes: ['laguna'],
  architectures: ['LagunaForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'laguna');
    const heads = readHeads(c, model.hidden, 128);
    const counts = readHeadsByLayer(c, heads.heads, heads.kvHeads, layerCount);
    const types = readLayerTypes(c, layerCount, () => 'full_attention');
    const window = types.includes('sliding_attention') ? readWindow(c) : null;
    c.irrelevant('sliding_window'); // without such layers
    const ropes = readRopes(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 500_000, partial: 1 });
    const biased = c.boolean('attention_bias', false);
    const outputGate = readGate(c);
    const activation = readActivation(c);
    const listed = c.raw('mlp_layer_types') !== undefined;
    const sparse = listed ? readDensePrefix(c, layerCount) : (layer: number): boolean => layer > 0;
    const dense: DenseFfn = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation };
    const moe = readMoe(c, activation);
    const layers = types.map((type, i) => ({
      mixer: groupedAttention({ ...heads, heads: counts[i]! }, ropes(type).rope, {
        qkNorm: 'per-head',
        bias: { qkv: biased, o: biased },
        window: type === 'sliding_attention' ? window : null,
        outputGate,
      }),
      ffn: sparse(i) ? moe : dense,
    }));
    return { ...model, layers };
  },

  names: (config) =>
    llamaNames(config, {
      block: 'mlp',
      router: 'gate',
      experts: separateExperts(),
      selectionBias: 'experts.e_score_correction_bias',
      shared: 'shared_expert',
      outputGate: 'g_proj',
    }),
};
