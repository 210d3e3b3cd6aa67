/** Switch Transformer: T5's encoder and decoder, whose every other feed-forward sends each token to one expert, up to a capacity. */
import { LIMITS, readTokenId, readTokenIds, readWidth } from '../config/axes.ts';
import type { FfnConfig, GroupedAttention, LayerConfig, MoeFfn } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import type { Family, GluNames, GroupedAttentionNames, LayerNames, MatrixName } from './family.ts';
import { stackedRows } from './family.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

const ACTIVATION = { kind: 'relu-ungated' } as const;
/** T5 has no positions; what the encoder was trained on, where the config does not say. */
const TRAINED_CONTEXT = 512;
const NO_ROPE = { inverseFrequencies: [], amplitude: 1, interleaved: false };

/** Which blocks have experts: of every `step` the second, or all. */
function readSparse(c: ConfigReader, key: string, blocks: number): (block: number) => boolean {
  const sparse = c.integer(key, { min: 0, max: blocks });
  const step = sparse > 0 ? Math.floor(blocks / sparse) : blocks;
  return (block) => step === 1 || block % step === 1;
}

function readMoe(c: ConfigReader): MoeFfn {
  c.only('router_bias', false);
  c.only('router_type', 'tokens_masked');
  c.only('num_selected_experts', 1);
  c.only('batch_prioritized_routing', false);
  // Of training; and padding, of which there is none here.
  c.irrelevant('router_jitter_noise', 'router_z_loss_coef', 'router_ignore_padding_tokens', 'add_router_probs');
  c.irrelevant('router_dtype', 'capacity_factor'); // routing is f32; expert_capacity is what counts
  const width = readWidth(c, 'd_ff');
  if (width % 2) c.fail('d_ff', 'even');
  return {
    kind: 'moe',
    experts: c.integer(['num_experts', 'num_local_experts'], { max: LIMITS.experts }),
    topK: 1,
    width,
    activation: ACTIVATION,
    expertBias: false,
    router: softmaxRouter(),
    capacity: c.integer('expert_capacity'),
    shared: null,
  };
}

/** Attention of the encoder's layers, of the decoder's to itself, and of the decoder's to the text. */
function readAttention(c: ConfigReader): Readonly<Record<'text' | 'self' | 'cross', GroupedAttention>> {
  const heads = c.integer('num_heads', { max: LIMITS.heads });
  const buckets = c.integer('relative_attention_num_buckets', { min: 4, max: 1024, fallback: 32 });
  const furthest = c.integer('relative_attention_max_distance', { max: 65_536, fallback: 128 });
  if (buckets % 2) c.fail('relative_attention_num_buckets', 'even: half are for keys behind the query');
  if (furthest <= buckets / 2) c.fail('relative_attention_max_distance', `above half of the ${buckets} buckets`);
  const headSize = c.integer('d_kv', { max: LIMITS.headSize });
  const plain = groupedAttention({ heads, kvHeads: heads, headSize }, NO_ROPE, { scale: 1 });
  const distanceBias = { buckets, furthest };
  return {
    text: { ...plain, sees: 'step', distanceBias },
    self: { ...plain, distanceBias },
    cross: { ...plain, sees: 'encoded' },
  };
}

function readLayers(c: ConfigReader, encoder: number): LayerConfig[] {
  const decoder = c.integer('num_decoder_layers', { max: LIMITS.layers, fallback: encoder });
  const moe = readMoe(c);
  const ffn = (isSparse: boolean): FfnConfig =>
    isSparse ? moe : { kind: 'dense', width: moe.width, activation: ACTIVATION };
  const { text, self, cross } = readAttention(c);
  const [inEncoder, inDecoder] = [
    readSparse(c, 'num_sparse_encoder_layers', encoder),
    readSparse(c, 'num_sparse_decoder_layers', decoder),
  ];
  c.irrelevant('encoder_sparse_step', 'decoder_sparse_step'); // what follows from those
  return [
    ...Array.from({ length: encoder }, (_, i) => ({ mixer: text, ffn: ffn(inEncoder(i)) })),
    ...Array.from({ length: decoder }, (_, i) => [
      { mixer: self, ffn: { kind: 'none' } as const },
      { mixer: cross, ffn: ffn(inDecoder(i)) },
    ]).flat(),
  ];
}

function attentionNames(part: string, biasOf: string | null): GroupedAttentionNames {
  const [q, k, v, o] = ['q', 'k', 'v', 'o'].map((name) => `${part}.${name}`) as [string, string, string, string];
  const distanceBias = biasOf === null ? {} : { distanceBias: `${biasOf}.relative_attention_bias.weight` };
  return { kind: 'grouped', q, k, v, o, qNorm: null, kNorm: null, sinks: null, ...distanceBias };
}

/** The halves of `wi` stand for gate and up. */
function mlp(at: string, width: number): GluNames<MatrixName> {
  const [gate, up] = stackedRows(`${at}.wi`, [width / 2, width / 2]);
  return { gate, up, down: `${at}.wo` };
}

function ffnNames(block: string, ffn: FfnConfig): Pick<LayerNames, 'ffn' | 'ffnNorm'> {
  if (ffn.kind === 'none') return { ffn };
  const at = `${block}.mlp`;
  const ffnNorm = `${block}.layer_norm.weight`;
  if (ffn.kind === 'dense') return { ffnNorm, ffn: { kind: 'dense', ...mlp(at, ffn.width) } };
  return {
    ffnNorm,
    ffn: {
      kind: 'moe',
      router: `${at}.router.classifier`,
      routerBias: null,
      selectionBias: null,
      experts: [{ kind: 'separate', expert: (e) => mlp(`${at}.experts.expert_${e}`, ffn.width) }],
      shared: null,
      sharedGate: null,
    },
  };
}

/** Of layer `index`: a block of the encoder, or half of one of the decoder. */
function layerNames(encoder: number, index: number, ffn: FfnConfig): LayerNames {
  const isText = index < encoder;
  const stack = isText ? 'encoder' : 'decoder';
  const half = isText ? 0 : (index - encoder) % 2;
  const block = `${stack}.block.${isText ? index : (index - encoder - half) / 2}`;
  const own = `${block}.layer.${half}`;
  return {
    mixerNorm: `${own}.layer_norm.weight`,
    mixer:
      half === 0
        ? attentionNames(`${own}.SelfAttention`, `${stack}.block.0.layer.0.SelfAttention`)
        : attentionNames(`${own}.EncDecAttention`, null),
    ...ffnNames(`${block}.layer.${half + 1}`, ffn),
  };
}

export const switchTransformers: Family = {
  id: 'switch',
  modelTypes: ['switch_transformers'],
  architectures: ['SwitchTransformersForConditionalGeneration'],

  readConfig(c) {
    c.only('is_encoder_decoder', true);
    c.only('dense_act_fn', 'relu');
    c.only('feed_forward_proj', 'relu');
    c.only('is_gated_act', false);
    c.only('tie_word_embeddings', true);
    // Of training and of other tasks, and what a decoder always has.
    c.irrelevant('dropout_rate', 'initializer_factor', 'task_specific_params', 'output_past', 'gradient_checkpointing');
    c.irrelevant('add_cross_attention');
    const hidden = c.integer('d_model', { max: LIMITS.hidden });
    const encoder = c.integer('num_layers', { max: LIMITS.layers });
    const padding = readTokenId(c, 'pad_token_id') ?? 0;
    return {
      family: 'switch',
      vocab: c.integer('vocab_size', { max: LIMITS.vocab }),
      hidden,
      layers: readLayers(c, encoder),
      encoder: { layers: encoder, startToken: readTokenId(c, 'decoder_start_token_id') ?? padding },
      norm: 'rms',
      gainOffset: 0,
      preNorms: true,
      postNorms: false,
      normEps: c.number('layer_norm_epsilon', { min: 0, fallback: 1e-6 }),
      embeddingScale: 1,
      residualScale: 1,
      head: { bias: false, scale: hidden ** -0.5 },
      tieEmbeddings: true,
      maxContext: c.integer('n_positions', { max: LIMITS.context, fallback: TRAINED_CONTEXT }),
      endTokens: readTokenIds(c, 'eos_token_id'),
      beginToken: readTokenId(c, 'bos_token_id'),
    };
  },

  names: ({ encoder, layers }) => ({
    embed: 'shared',
    finalNorm: 'decoder.final_layer_norm.weight',
    encoderNorm: 'encoder.final_layer_norm.weight',
    head: null,
    layer: (index) => layerNames(encoder!.layers, index, layers[index]!.ffn),
    ofLayer: (tensor) => /^(en|de)coder\.block\.\d+\./.test(tensor),
    ignored: (tensor) =>
      // The same matrix stored again, and a table that no release reads.
      /^(encoder|decoder)\.embed_tokens\.|^lm_head\./.test(tensor) ||
      /^decoder\.block\.\d+\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$/.test(tensor),
  }),
};
