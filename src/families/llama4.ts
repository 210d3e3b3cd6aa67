/**
 * The text models of Llama 4: layers that see a stretch of positions, with RoPE and normed q and k, and layers that see all, without positions and
 * with hotter queries the farther they are; one expert a token, its weight on what it reads.
 */
import { LIMITS, readActivation, readBase, readExperts, readHeads, readWidth } from '../config/axes.ts';
import type { FfnConfig, GroupedAttention, MoeFfn } from '../config/model-config.ts';
import type { ConfigReader, Json } from '../config/read.ts';
import { NO_ROPE, readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { eitherExperts, fusedExperts, llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

const isInteger = (item: Json): item is number => Number.isInteger(item);
const isString = (item: Json): item is string => typeof item === 'string';

function listed<T>(c: ConfigReader, key: string, list: readonly T[], layers: number): readonly T[] {
  if (list.length !== layers) c.fail(key, `a list of num_hidden_layers (${layers}) entries`);
  return list;
}

/** Which layers rotate: `no_rope_layers`, 1 where one does, or all but each `no_rope_layer_interval`-th. */
function readRotating(c: ConfigReader, layers: number): readonly boolean[] {
  const every = c.integer('no_rope_layer_interval', { fallback: 4 });
  const byDefault = Array.from({ length: layers }, (_, i) => Number((i + 1) % every !== 0));
  const found = c.list<number>('no_rope_layers', isInteger, 'numbers', []);
  return listed(c, 'no_rope_layers', found.length ? found : byDefault, layers).map((rotates) => rotates !== 0);
}

function readChunked(c: ConfigReader, rotating: readonly boolean[]): readonly boolean[] {
  const byDefault = rotating.map((rotates) => (rotates ? 'chunked_attention' : 'full_attention'));
  const types = listed(
    c,
    'layer_types',
    c.list<string>('layer_types', isString, 'strings', byDefault),
    rotating.length,
  );
  if (types.some((t) => t !== 'chunked_attention' && t !== 'full_attention'))
    c.fail('layer_types', '"chunked_attention" and "full_attention" only');
  return types.map((type) => type === 'chunked_attention');
}

/** 0, false and null: not tuned. */
function readTemperature(c: ConfigReader): Pick<GroupedAttention, 'temperature'> {
  const scale = c.number('attn_scale', { fallback: 0.1 });
  const every = c.integer('floor_scale', { fallback: 8192 });
  return (c.raw('attn_temperature_tuning') ?? true) ? { temperature: { scale, every } } : {};
}

function readAttention(c: ConfigReader, hidden: number, maxContext: number, layers: number): GroupedAttention[] {
  const heads = readHeads(c, hidden);
  const request = { headSize: heads.headSize, maxContext, theta: 500_000, interleaved: true };
  const { rope } = readRope(c, request)('full_attention');
  const rotating = readRotating(c, layers);
  const chunked = readChunked(c, rotating);
  const chunk = c.raw('attention_chunk_size') === undefined ? null : c.integer('attention_chunk_size');
  const normed = c.boolean('use_qk_norm', true);
  const temperature = readTemperature(c);
  const bias = c.boolean('attention_bias', false);
  return rotating.map((rotates, i) => {
    const sees = chunked[i] && chunk !== null ? { window: chunk, chunked: true } : { window: null };
    const parts = { ...sees, bias: { qkv: bias, o: bias } };
    if (!rotates) return groupedAttention(heads, NO_ROPE, { ...parts, ...temperature });
    const norms = normed ? ({ qkNorm: 'per-head-rotated', qkGains: false } as const) : {};
    return groupedAttention(heads, rope, { ...parts, ...norms });
  });
}

/** `moe_layers`, or each `interleave_moe_layer_step`-th. */
function readSparse(c: ConfigReader): (layer: number) => boolean {
  const step = c.integer('interleave_moe_layer_step', { fallback: 1 });
  const found = c.list<number>('moe_layers', isInteger, 'layer numbers', []);
  return (layer) => (found.length ? found.includes(layer) : (layer + 1) % step === 0);
}

function readMoe(c: ConfigReader): MoeFfn {
  c.only('num_experts_per_tok', 1); // weights on what several experts read would need a row for each
  c.irrelevant('router_jitter_noise'); // while training
  const width = readWidth(c, 'intermediate_size');
  return {
    kind: 'moe',
    ...readExperts(c),
    width,
    activation: readActivation(c),
    expertBias: false,
    router: softmaxRouter({ score: 'sigmoid' }),
    weightsOn: 'input',
    shared: { width, gated: false },
  };
}

export const llama4: Family = {
  id: 'llama4',
  modelTypes: ['llama4_text'],
  architectures: ['Llama4ForCausalLM'],
  around: ['llama4'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'llama4');
    const attention = readAttention(c, model.hidden, model.maxContext, layerCount);
    const sparse = readSparse(c);
    const moe = readMoe(c);
    c.irrelevant('for_llm_compressor'); // how one tool stores the same
    const dense: FfnConfig = {
      kind: 'dense',
      width: c.integer('intermediate_size_mlp', { max: LIMITS.width }),
      activation: moe.activation,
    };
    return { ...model, layers: attention.map((a, i) => ({ mixer: a, ffn: sparse(i) ? moe : dense })) };
  },

  names: (config) =>
    llamaNames(config, {
      block: 'feed_forward',
      denseBlock: 'feed_forward',
      router: 'router',
      experts: eitherExperts(fusedExperts('in-out'), separateExperts()),
      shared: 'shared_expert',
    }),
};
