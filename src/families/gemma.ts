/**
 * Gemma 1, 2 and the text models of Gemma 3, dense: gains stored less one, a scaled embedding; from Gemma 2 on four norms a layer and local layers,
 * in Gemma 2 also scores and logits that are capped.
 */
import {
  readBase,
  readHeads,
  readLayerTypes,
  readWidth,
  readWindow,
  type Heads,
  type LayerType,
} from '../config/axes.ts';
import type { GroupedAttention, ModelConfig, RopeConfig } from '../config/model-config.ts';
import { ConfigReader } from '../config/read.ts';
import { readRope, type RopeRequest } from '../config/rope.ts';
import { bf16ToF32, f32ToBf16 } from '../util/half.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention } from './parts.ts';

/** sqrt(D) in the type of the weights: in bf16 it has eight bits. */
export function embeddingScale(c: ConfigReader, hidden: number): number {
  const type = c.raw('dtype', 'torch_dtype');
  return type === 'bfloat16' ? bf16ToF32(f32ToBf16(Math.fround(hidden ** 0.5))) : hidden ** 0.5;
}

/** Files of transformers 4 have the local layers' theta in a key of its own; a scaling is of the global ones. */
function readRopes(c: ConfigReader, request: RopeRequest): (type: LayerType) => RopeConfig {
  const ropes = readRope(c, request);
  if (c.raw('rope_local_base_freq') === undefined) return (type) => ropes(type).rope;
  const theta = c.number('rope_local_base_freq', { min: 2 });
  const local = readRope(new ConfigReader({ rope_theta: theta }, c.path), request);
  return (type) => (type === 'sliding_attention' ? local(type) : ropes(type)).rope;
}

function gemma3Layers(
  c: ConfigReader,
  heads: Heads,
  maxContext: number,
  layerCount: number,
): readonly GroupedAttention[] {
  const every = c.integer(['sliding_window_pattern', '_sliding_window_pattern'], { fallback: 6 });
  const types = readLayerTypes(c, layerCount, (i) => ((i + 1) % every ? 'sliding_attention' : 'full_attention'));
  const window = types.includes('sliding_attention') ? readWindow(c) : null;
  c.irrelevant('sliding_window', 'cache_implementation'); // without sliding layers; a way to store keys
  c.only('use_bidirectional_attention', false);
  c.only('attn_logit_softcapping');
  const ropes = readRopes(c, { headSize: heads.headSize, maxContext, theta: 1e6 });
  const scale = c.number('query_pre_attn_scalar', { min: 1e-6, fallback: 256 }) ** -0.5;
  return types.map((type) =>
    groupedAttention(heads, ropes(type), {
      scale,
      qkNorm: 'per-head',
      window: type === 'sliding_attention' ? window : null,
    }),
  );
}

function gemma2Layers(
  c: ConfigReader,
  heads: Heads,
  maxContext: number,
  layerCount: number,
): readonly GroupedAttention[] {
  const types = readLayerTypes(c, layerCount, (i) => (i % 2 ? 'full_attention' : 'sliding_attention'));
  const window = c.integer('sliding_window', { fallback: 4096 });
  c.irrelevant('cache_implementation', 'sliding_window_size'); // a way to store keys; the window again
  c.only('use_bidirectional_attention', false);
  const { rope } = readRope(c, { headSize: heads.headSize, maxContext, theta: 10_000 })('full_attention');
  const scale = c.number('query_pre_attn_scalar', { min: 1e-6, fallback: 256 }) ** -0.5;
  const softcap = readCap(c, 'attn_logit_softcapping');
  return types.map((type) =>
    groupedAttention(heads, rope, { scale, ...softcap, window: type === 'sliding_attention' ? window : null }),
  );
}

/** null or absent: not capped. */
export function readCap(c: ConfigReader, key: string): { softcap?: number } {
  return c.raw(key) === undefined ? {} : { softcap: c.number(key, { min: 1e-3 }) };
}

function gemma1Layers(c: ConfigReader, heads: Heads, maxContext: number, layerCount: number): GroupedAttention[] {
  c.only('attn_logit_softcapping');
  const { rope } = readRope(c, { headSize: heads.headSize, maxContext, theta: 10_000 })('full_attention');
  return Array.from({ length: layerCount }, () => groupedAttention(heads, rope));
}

export const gemma: Family = {
  id: 'gemma',
  modelTypes: ['gemma', 'gemma2', 'gemma3_text'],
  architectures: ['GemmaForCausalLM', 'Gemma2ForCausalLM', 'Gemma3ForCausalLM'],

  readConfig(c): ModelConfig {
    const { model, layerCount } = readBase(c, 'gemma');
    const type = String(c.raw('model_type') ?? 'gemma');
    const heads = readHeads(c, model.hidden, 256);
    c.only('attention_bias', false);
    c.only('hidden_act', 'gelu', 'gelu_pytorch_tanh'); // the first release says gelu and means its approximation
    c.only('hidden_activation', 'gelu_pytorch_tanh');
    const layersOf = { gemma2: gemma2Layers, gemma3_text: gemma3Layers }[type] ?? gemma1Layers;
    const attention = layersOf(c, heads, model.maxContext, layerCount);
    const ffn = {
      kind: 'dense',
      width: readWidth(c, 'intermediate_size'),
      activation: { kind: 'gelu-tanh' },
    } as const;
    return {
      ...model,
      tieEmbeddings: c.boolean('tie_word_embeddings', true),
      gainOffset: 1,
      postNorms: type !== 'gemma',
      head: { ...model.head, ...readCap(c, 'final_logit_softcapping') },
      embeddingScale: embeddingScale(c, model.hidden),
      layers: attention.map((a) => ({ mixer: a, ffn })),
    };
  },

  names: (config) =>
    llamaNames(config, {
      block: 'mlp',
      router: 'gate',
      experts: separateExperts(),
      ...(config.postNorms
        ? {
            norms: [
              'input_layernorm',
              'post_attention_layernorm',
              'pre_feedforward_layernorm',
              'post_feedforward_layernorm',
            ] as const,
          }
        : {}),
    }),
};
