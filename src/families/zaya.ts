/**
 * ZAYA1: compressed convolutional attention, gains and biases wherever a layer joins the residual stream, and a router that carries a state from layer to
 * layer and may skip the experts.
 */
import { LIMITS, readActivation, readBase, readExperts, readHeads, readWidth, readWindow } from '../config/axes.ts';
import type { GroupedAttention, ModelConfig, MoeFfn } from '../config/model-config.ts';
import { ConfigReader, type Json } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import { invariant } from '../util/assert.ts';
import type { Family, JoinNames, LayerNames, TensorNames } from './family.ts';
import { fusedExperts, llamaNames } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

/** What transformers calls layers, and what they are called elsewhere. */
const TYPES = { hybrid: 'full_attention', hybrid_sliding: 'sliding_attention' } as const;
type ZayaType = keyof typeof TYPES;
const isType = (item: Json): item is ZayaType => typeof item === 'string' && item in TYPES;

/** Workgroup memory holds a router's state. */
const MOST_STATE = 2048;

/** As transformers has it for files that do not say. */
const ROPE: Json = {
  hybrid: { rope_type: 'default', rope_theta: 5_000_000, partial_rotary_factor: 0.5 },
  hybrid_sliding: { rope_type: 'default', rope_theta: 10_000, partial_rotary_factor: 0.5 },
};

/** By type of layer; the published file has, besides, a `rope_type` that nothing reads. */
function readRopes(c: ConfigReader, types: readonly ZayaType[], request: { headSize: number; maxContext: number }) {
  const given = c.section('rope_parameters') ?? new ConfigReader(ROPE, c.path);
  given.only('rope_type', 'default');
  const named = Object.keys(TYPES) as ZayaType[];
  const byType = Object.fromEntries(named.map((type) => [TYPES[type], given.raw(type) ?? null]));
  given.finish();
  const rope = readRope(new ConfigReader({ rope_parameters: byType }, c.path), {
    ...request,
    theta: 10_000,
    partial: 1,
  });
  return types.map((type) => rope(TYPES[type]).rope);
}

function readTypes(c: ConfigReader, layerCount: number): readonly ZayaType[] {
  const key = 'layer_types';
  const types = c.list(key, isType, '"hybrid" and "hybrid_sliding"', new Array<ZayaType>(layerCount).fill('hybrid'));
  if (types.length !== layerCount) c.fail(key, `a list of num_hidden_layers (${layerCount}) entries`);
  return types;
}

function readMixers(c: ConfigReader, { hidden, maxContext }: ModelSizes, layerCount: number): GroupedAttention[] {
  c.only('attention_bias', false);
  c.only('cca_time0', 2);
  c.only('cca_time1', 2);
  const heads = readHeads(c, hidden, 128);
  if ((heads.kvHeads * heads.headSize) % 2) c.fail('head_dim', 'even, for half of v is of the token before');
  const types = readTypes(c, layerCount);
  const window = types.includes('hybrid_sliding') ? readWindow(c) : null;
  c.irrelevant('sliding_window'); // without such layers
  const ropes = readRopes(c, types, { headSize: heads.headSize, maxContext });
  return types.map((type, i) =>
    groupedAttention(heads, ropes[i]!, { convolved: true, window: type === 'hybrid_sliding' ? window : null }),
  );
}

type ModelSizes = Pick<ModelConfig, 'hidden' | 'maxContext'>;

/** The last of the router's classes is to skip. */
function readMoe(c: ConfigReader): MoeFfn {
  c.only('num_experts_per_tok', 1);
  const { experts } = readExperts(c);
  if (experts >= LIMITS.experts) c.fail('num_experts', `less than ${LIMITS.experts}: to skip is a class more`);
  return {
    kind: 'moe',
    experts: experts + 1,
    topK: 1,
    nulls: 1,
    width: readWidth(c, 'moe_intermediate_size'),
    activation: readActivation(c),
    expertBias: false,
    router: softmaxRouter({ selectionBias: true, state: c.integer('router_hidden_size', { max: MOST_STATE }) }),
    shared: null,
  };
}

const joinNames = (at: string): JoinNames => ({
  gain: `${at}.hidden_states_scale`,
  bias: `${at}.hidden_states_bias`,
  stream: { gain: `${at}.residual_scale`, bias: `${at}.residual_bias` },
});

function layerNames(layer: string, names: LayerNames, isFirst: boolean): LayerNames {
  const { mixer, ffn } = names;
  invariant(mixer.kind === 'grouped' && ffn.kind === 'moe', 'a layer of another family');
  const projection = (name: string): string => `${layer}.self_attn.qkv_proj.${name}`;
  const gate = `${layer}.mlp.gate`;
  return {
    ...names,
    mixerJoin: joinNames(`${layer}.post_attention_residual_scale`),
    ffnJoin: joinNames(`${layer}.post_mlp_residual_scale`),
    mixer: {
      ...mixer,
      q: projection('q_proj'),
      k: projection('k_proj'),
      v: projection('v_proj_current'),
      convolution: {
        channels: projection('conv_qk_depthwise'),
        heads: projection('conv_qk_grouped'),
        lengths: `${layer}.self_attn.qk_norm.temp`,
        delayed: projection('v_proj_delayed'),
      },
    },
    ffn: {
      ...ffn,
      routerState: {
        down: `${gate}.down_proj`,
        before: isFirst ? null : `${gate}.router_states_scale`,
        norm: `${gate}.router_mlp.norm.weight`,
        first: `${gate}.router_mlp.fc1`,
        second: `${gate}.router_mlp.fc2`,
      },
    },
  };
}

export const zaya: Family = {
  id: 'zaya',
  modelTypes: ['zaya'],
  architectures: ['ZayaForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'zaya');
    c.only('lm_head_bias', false);
    const mixers = readMixers(c, model, layerCount);
    const ffn = readMoe(c);
    return { ...model, joinGains: true, layers: mixers.map((mixer) => ({ mixer, ffn })) };
  },

  names(config): TensorNames {
    const llama = llamaNames(config, {
      block: 'mlp',
      router: 'gate.router_mlp.out_proj',
      experts: fusedExperts('out-in'),
      selectionBias: 'gate.balancing_biases',
    });
    return {
      ...llama,
      embedJoin: { gain: 'model.input_hidden_states_scale', bias: 'model.input_hidden_states_bias' },
      layer: (i) => layerNames(`model.layers.${i}`, llama.layer(i), i === 0),
    };
  },
};
