/** M2M-100, and NLLB-200 in its dense sizes: an encoder and a decoder that translate, with layer norms, biases everywhere, and sinusoids for positions. */
import { LIMITS, readTokenId, readTokenIds, readWidth } from '../config/axes.ts';
import type { FfnConfig, GroupedAttention, LayerConfig, ModelConfig } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import type { Family, GluNames, GroupedAttentionNames, LayerNames, MatrixName, TensorNames } from './family.ts';
import { stackedRows } from './family.ts';
import { groupedAttention } from './parts.ts';

export const ACTIVATION = { kind: 'relu-ungated' } as const;
const NO_ROPE = { inverseFrequencies: [], amplitude: 1, interleaved: false };

type Stack = 'encoder' | 'decoder';

/** The feed-forward of a stack's blocks, of the width that the config gives it. */
export type StackFfn = (stack: Stack, block: number, width: number) => FfnConfig;

export const denseFfn = (width: number): FfnConfig => ({ kind: 'dense', width, activation: ACTIVATION, bias: true });

interface StackConfig {
  readonly stack: Stack;
  readonly blocks: number;
  readonly attention: GroupedAttention;
  readonly width: number;
}

function readStack(c: ConfigReader, stack: Stack, hidden: number): StackConfig {
  const blocks = c.integer(`${stack}_layers`, { max: LIMITS.layers });
  const heads = c.integer(`${stack}_attention_heads`, { max: LIMITS.heads });
  if (hidden % heads) c.fail(`${stack}_attention_heads`, `a divisor of d_model, ${hidden}`);
  const width = readWidth(c, `${stack}_ffn_dim`);
  if (width % 2) c.fail(`${stack}_ffn_dim`, 'even');
  c.irrelevant(`${stack}_layerdrop`);
  const bias = { qkv: true, o: true };
  const attention = groupedAttention({ heads, kvHeads: heads, headSize: hidden / heads }, NO_ROPE, { bias });
  return { stack, blocks, attention, width };
}

function layersOf({ stack, blocks, attention, width }: StackConfig, ffn: StackFfn): LayerConfig[] {
  const all = Array.from({ length: blocks }, (_, block) => ffn(stack, block, width));
  if (stack === 'encoder') return all.map((ffn) => ({ mixer: { ...attention, sees: 'step' }, ffn }));
  return all.flatMap((ffn): LayerConfig[] => [
    { mixer: attention, ffn: { kind: 'none' } },
    { mixer: { ...attention, sees: 'encoded' }, ffn },
  ]);
}

/** Everything that models of this body have alike. @param family its id */
export function readTranslator(c: ConfigReader, family: string, ffn: StackFfn): ModelConfig {
  c.only('is_encoder_decoder', true);
  c.only('activation_function', 'relu');
  c.only('tie_word_embeddings', true);
  // Of training, of transformers' way to generate, and how many blocks the encoder has, once more.
  c.irrelevant('dropout', 'activation_dropout', 'init_std', 'gradient_checkpointing', 'num_hidden_layers');
  c.irrelevant('max_length', 'num_beams', 'early_stopping', 'add_cross_attention');
  const hidden = c.integer('d_model', { min: 4, max: LIMITS.hidden });
  if (hidden % 2) c.fail('d_model', 'even: half of it are sines');
  const [encoder, decoder] = [readStack(c, 'encoder', hidden), readStack(c, 'decoder', hidden)];
  const endTokens = readTokenIds(c, 'eos_token_id');
  const firstToken = readTokenId(c, 'forced_bos_token_id');
  return {
    family,
    vocab: c.integer('vocab_size', { max: LIMITS.vocab }),
    hidden,
    layers: [...layersOf(encoder, ffn), ...layersOf(decoder, ffn)],
    encoder: {
      layers: encoder.blocks,
      startToken: readTokenId(c, 'decoder_start_token_id') ?? 2,
      ...(firstToken !== null && { firstToken }),
    },
    norm: 'layer-biased',
    gainOffset: 0,
    preNorms: true,
    postNorms: false,
    normEps: 1e-5,
    embeddingScale: c.boolean('scale_embedding', true) ? Math.sqrt(hidden) : 1,
    sinusoids: { offset: (readTokenId(c, 'pad_token_id') ?? 1) + 1 },
    residualScale: 1,
    head: { bias: false, scale: 1 },
    tieEmbeddings: true,
    maxContext: c.integer('max_position_embeddings', { max: LIMITS.context }),
    endTokens,
    beginToken: readTokenId(c, 'bos_token_id'),
  };
}

/** What the parts of a block are called that differ from one release to the other. */
export interface BlockNames {
  readonly cross: string;
  readonly crossNorm: string;
  readonly ffnNorm: string;
  readonly ffn: (block: string, ffn: FfnConfig) => LayerNames['ffn'];
}

function attention(at: string): GroupedAttentionNames {
  const [q, k, v, o] = ['q', 'k', 'v', 'out'].map((name) => `${at}.${name}_proj`) as [string, string, string, string];
  return { kind: 'grouped', q, k, v, o, qNorm: null, kNorm: null, sinks: null };
}

/** The halves of `fc1` stand for gate and up. */
export function halves(at: string, width: number): GluNames<MatrixName> {
  const [gate, up] = stackedRows(`${at}fc1`, [width / 2, width / 2]);
  return { gate, up, down: `${at}fc2` };
}

/** Of layer `index`: a block of the encoder, or half of one of the decoder. */
function layerNames({ encoder, layers }: ModelConfig, names: BlockNames, index: number): LayerNames {
  const inEncoder = index < encoder!.layers;
  const half = inEncoder ? 0 : (index - encoder!.layers) % 2;
  const at = inEncoder ? index : (index - encoder!.layers - half) / 2;
  const block = `model.${inEncoder ? 'encoder' : 'decoder'}.layers.${at}`;
  const { ffn } = layers[index]!;
  return {
    mixer: attention(`${block}.${half === 0 ? 'self_attn' : names.cross}`),
    mixerNorm: `${block}.${half === 0 ? 'self_attn_layer_norm' : names.crossNorm}.weight`,
    ...(ffn.kind === 'none' ? { ffn } : { ffn: names.ffn(block, ffn), ffnNorm: `${block}.${names.ffnNorm}.weight` }),
  };
}

export const translatorNames = (config: ModelConfig, names: BlockNames): TensorNames => ({
  embed: 'model.shared',
  finalNorm: 'model.decoder.layer_norm.weight',
  encoderNorm: 'model.encoder.layer_norm.weight',
  head: null,
  layer: (index) => layerNames(config, names, index),
  ofLayer: (tensor) => /^model\.(en|de)coder\.layers\.\d+\./.test(tensor),
  // The same matrix stored again, and sinusoids.
  ignored: (tensor) => /^model\.(en|de)coder\.embed_|^lm_head\./.test(tensor),
});

export const m2m100: Family = {
  id: 'm2m-100',
  modelTypes: ['m2m_100'],
  architectures: ['M2M100ForConditionalGeneration'],

  readConfig: (c) => readTranslator(c, 'm2m-100', (_stack, _block, width) => denseFfn(width)),

  names: (config) =>
    translatorNames(config, {
      cross: 'encoder_attn',
      crossNorm: 'encoder_attn_layer_norm',
      ffnNorm: 'final_layer_norm',
      ffn: (block, ffn) => ({ kind: 'dense', ...halves(`${block}.`, ffn.kind === 'dense' ? ffn.width : 0) }),
    }),
};
