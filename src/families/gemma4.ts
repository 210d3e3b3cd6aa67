/**
 * The text models of Gemma 4 without per-layer embeddings, dense or MoE: local layers and global ones with larger heads whose values are their keys,
 * v normed, experts beside a dense FFN that has norms of its own, and a router that norms the residual stream for itself.
 */
import {
  LIMITS,
  readBase,
  readExperts,
  readHeads,
  readLayerTypes,
  readWidth,
  readWindow,
  type Heads,
} from '../config/axes.ts';
import type { FfnConfig, GroupedAttention } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import type { Family, LayerNames } from './family.ts';
import { embeddingScale, readCap } from './gemma.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

const ACTIVATION = { kind: 'gelu-tanh' } as const;

/** Of global layers: in keys of their own, or layer by layer. */
function readGlobalHeads(c: ConfigReader, { heads, kvHeads, headSize }: Heads, layer: number): Heads {
  const global = {
    heads,
    kvHeads: c.integer('num_global_key_value_heads', { max: LIMITS.heads, fallback: kvHeads }),
    headSize: c.integer('global_head_dim', { max: LIMITS.headSize, fallback: headSize }),
  };
  const own = c.section('per_layer_config')?.section(String(layer));
  if (!own) return global;
  const read = {
    heads,
    kvHeads: own.integer('num_key_value_heads', { max: LIMITS.heads, fallback: global.kvHeads }),
    headSize: own.integer('head_dim', { max: LIMITS.headSize, fallback: global.headSize }),
  };
  own.finish();
  return read;
}

function readAttention(c: ConfigReader, hidden: number, maxContext: number, layers: number): GroupedAttention[] {
  const local = readHeads(c, hidden, 256);
  const types = readLayerTypes(c, layers, (i) => ((i + 1) % 6 ? 'sliding_attention' : 'full_attention'));
  const window = types.includes('sliding_attention') ? readWindow(c) : null;
  c.irrelevant('sliding_window'); // without sliding layers
  const shares = c.boolean('attention_k_eq_v', false);
  const first = types.indexOf('full_attention');
  const global = first < 0 ? local : readGlobalHeads(c, local, first);
  const ropeOf = (headSize: number): ReturnType<typeof readRope> =>
    readRope(c, { headSize, maxContext, theta: 10_000, partial: 1 });
  return types.map((type): GroupedAttention => {
    const slides = type === 'sliding_attention';
    const heads = slides ? local : global;
    return groupedAttention(heads, ropeOf(heads.headSize)(type).rope, {
      scale: 1,
      qkNorm: 'per-head',
      valueNorm: true,
      valuesAreKeys: shares && !slides,
      window: slides ? window : null,
    });
  });
}

function readFfn(c: ConfigReader): FfnConfig {
  const dense = { width: readWidth(c, 'intermediate_size') };
  if (!c.boolean('enable_moe_block', false)) {
    c.irrelevant('num_experts', 'top_k_experts', 'moe_intermediate_size'); // of experts that are not there
    return { kind: 'dense', ...dense, activation: ACTIVATION };
  }
  return {
    kind: 'moe',
    ...readExperts(c),
    width: readWidth(c, 'moe_intermediate_size'),
    activation: ACTIVATION,
    expertBias: false,
    router: softmaxRouter({ renormalize: { epsilon: 0 }, gains: true, expertScale: true }),
    parallel: dense,
    shared: null,
  };
}

function moeNames(layer: string, names: LayerNames): LayerNames {
  const norm = (name: string): string => `${layer}.${name}.weight`;
  const [gate, up, down] = ['gate_proj', 'up_proj', 'down_proj'].map((name) => `${layer}.mlp.${name}`);
  return {
    ...names,
    ffnNorm: norm('pre_feedforward_layernorm_2'),
    ffn: {
      kind: 'moe',
      router: `${layer}.router.proj`,
      routerBias: null,
      selectionBias: null,
      routerGains: `${layer}.router.scale`,
      expertScale: `${layer}.router.per_expert_scale`,
      experts: [
        {
          kind: 'fused',
          gateUp: `${layer}.experts.gate_up_proj`,
          down: `${layer}.experts.down_proj`,
          gateUpBias: null,
          downBias: null,
          orientation: 'out-in',
          gateRows: 'first-half',
        },
        ...separateExperts()(layer),
      ],
      shared: null,
      sharedGate: null,
      parallel: {
        gate: gate!,
        up: up!,
        down: down!,
        norm: norm('pre_feedforward_layernorm'),
        postNorm: norm('post_feedforward_layernorm_1'),
        expertsPostNorm: norm('post_feedforward_layernorm_2'),
      },
    },
  };
}

export const gemma4: Family = {
  id: 'gemma4',
  modelTypes: ['gemma4_text'],
  architectures: ['Gemma4ForCausalLM'],
  around: ['gemma4'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'gemma4');
    c.only('attention_bias', false);
    c.only('hidden_activation', 'gelu_pytorch_tanh');
    c.only('hidden_size_per_layer_input', 0); // embeddings of each layer's own, in the smallest models
    c.only('num_kv_shared_layers', 0);
    c.only('use_double_wide_mlp', false);
    c.only('use_bidirectional_attention', false, 'vision'); // among the tokens of a picture
    c.irrelevant('vocab_size_per_layer_input', 'cache_implementation'); // of those embeddings; a way to store keys
    const ffn = readFfn(c);
    const attention = readAttention(c, model.hidden, model.maxContext, layerCount);
    return {
      ...model,
      tieEmbeddings: c.boolean('tie_word_embeddings', true),
      postNorms: true,
      embeddingScale: embeddingScale(c, model.hidden),
      head: { ...model.head, ...readCap(c, 'final_logit_softcapping') },
      layers: attention.map((a) => ({ mixer: a, ffn, outScale: true })),
    };
  },

  names(config) {
    const llama = llamaNames(config, {
      block: 'mlp',
      router: 'gate',
      experts: separateExperts(),
      norms: ['input_layernorm', 'post_attention_layernorm', 'pre_feedforward_layernorm', 'post_feedforward_layernorm'],
    });
    return {
      ...llama,
      layer(i) {
        const layer = `model.layers.${i}`;
        const names = { ...llama.layer(i), outScale: `${layer}.layer_scalar` };
        return config.layers[i]!.ffn.kind === 'moe' ? moeNames(layer, names) : names;
      },
    };
  },
};
