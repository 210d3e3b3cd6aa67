/** nomic-embed-text-v2-moe: an encoder alone, norms behind every add, of whose blocks every few send each token to two experts. */
import { LIMITS, readWidth } from '../config/axes.ts';
import type { FfnConfig, GroupedAttention } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import { stackedRows, type Family, type LayerNames } from './family.ts';
import { halves } from './m2m-100.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

const ACTIVATION = { kind: 'gelu-ungated' } as const;

interface Shape {
  readonly hidden: number;
  readonly maxContext: number;
}

function readAttention(c: ConfigReader, { hidden, maxContext }: Shape): GroupedAttention {
  const heads = c.integer('n_head', { max: LIMITS.heads });
  if (hidden % heads) c.fail('n_head', `a divisor of n_embd, ${hidden}`);
  const headSize = hidden / heads;
  c.only('causal', false);
  c.only('qkv_proj_bias', true);
  c.only('scale_attn_weights', true);
  c.only('scale_attn_by_inverse_layer_idx', false);
  c.only('rotary_emb_fraction', 1);
  c.only('rotary_emb_interleaved', false);
  c.only('rotary_emb_scale_base');
  c.only('rotary_scaling_factor');
  const theta = c.number('rotary_emb_base', { min: 2 });
  const { rope } = readRope(c, { headSize, maxContext, theta })('full_attention');
  return {
    ...groupedAttention({ heads, kvHeads: heads, headSize }, rope, { bias: { qkv: true, o: true } }),
    sees: 'step',
  };
}

function readFfns(c: ConfigReader): (layer: number) => FfnConfig {
  c.only('activation_function', 'gelu');
  c.only('mlp_fc1_bias', true);
  c.only('mlp_fc2_bias', true);
  c.only('ffn_div', 1);
  c.only('num_shared_experts', 0);
  c.only('expert_choice_router', false);
  c.only('moe_normalize_expert_weights', false);
  const width = readWidth(c, 'n_inner');
  if (width % 2) c.fail('n_inner', 'even');
  const experts = c.integer(['num_experts', 'num_local_experts'], { max: LIMITS.experts });
  const every = c.integer('moe_every_n_layers', { min: 2, max: LIMITS.layers });
  const moe: FfnConfig = {
    kind: 'moe',
    experts,
    topK: c.integer('moe_top_k', { max: Math.min(experts, LIMITS.topK) }),
    width,
    activation: ACTIVATION,
    expertBias: false,
    sumBias: true,
    router: softmaxRouter(),
    shared: null,
  };
  const dense: FfnConfig = { kind: 'dense', width, activation: ACTIVATION, bias: true };
  return (layer) => (layer % every === 1 ? moe : dense);
}

/** Of training, of how the published code computes, and of heads that these files do not have. */
function ignoreRest(c: ConfigReader): void {
  c.irrelevant('attn_pdrop', 'embd_pdrop', 'resid_pdrop', 'moe_resid_pdrop', 'moe_impl', 'max_trained_positions');
  c.irrelevant('fused_bias_fc', 'fused_dropout_add_ln', 'use_flash_attn', 'use_xentropy', 'reorder_and_upcast_attn');
  c.irrelevant('pad_vocab_size_multiple', 'dense_seq_output', 'last_layer_subset', 'bos_token_id', 'eos_token_id');
  c.irrelevant('summary_activation', 'summary_first_dropout', 'summary_proj_to_labels', 'summary_type');
  c.irrelevant('summary_use_proj', 'tie_word_embeddings');
}

function ffnNames(block: string, ffn: FfnConfig): LayerNames['ffn'] {
  const at = `${block}.mlp`;
  if (ffn.kind !== 'moe') return { kind: 'dense', ...halves(`${at}.`, ffn.kind === 'dense' ? ffn.width : 0) };
  const experts = `${at}.experts.mlp`;
  return {
    kind: 'moe',
    router: `${at}.router.layer`,
    routerBias: null,
    selectionBias: null,
    experts: [{ kind: 'flat', gate: `${experts}.w1`, up: `${experts}.w1`, down: `${experts}.w2` }],
    sumBias: `${at}.experts.bias`,
    shared: null,
    sharedGate: null,
  };
}

/** The norm in front of block `index` is the one behind the block before, or behind the embedding. */
const normBefore = (index: number): string =>
  index === 0 ? 'emb_ln.weight' : `encoder.layers.${index - 1}.norm2.weight`;

export const nomicBert: Family = {
  id: 'nomic-bert',
  modelTypes: ['nomic_bert'],
  architectures: ['NomicBertModel'],

  readConfig(c) {
    c.only('prenorm', false);
    c.only('parallel_block', false);
    c.only('parallel_block_tied_norm', false);
    c.only('use_rms_norm', false);
    c.only('add_pooling_layer', false);
    c.only('type_vocab_size', 1);
    ignoreRest(c);
    const hidden = c.integer('n_embd', { max: LIMITS.hidden });
    const maxContext = c.integer('n_positions', { max: LIMITS.context });
    const layerCount = c.integer('n_layer', { max: LIMITS.layers });
    const mixer = readAttention(c, { hidden, maxContext });
    const ffn = readFfns(c);
    return {
      family: 'nomic-bert',
      vocab: c.integer('vocab_size', { max: LIMITS.vocab }),
      hidden,
      layers: Array.from({ length: layerCount }, (_, i) => ({ mixer, ffn: ffn(i) })),
      encoder: { layers: layerCount },
      norm: 'layer-biased',
      gainOffset: 0,
      preNorms: true,
      postNorms: false,
      normedStream: true,
      normEps: c.number('layer_norm_epsilon', { min: 0 }),
      embeddingScale: 1,
      tokenType: true,
      residualScale: 1,
      head: { bias: false, scale: 1 },
      tieEmbeddings: true,
      maxContext,
      endTokens: [],
      beginToken: null,
    };
  },

  names: ({ layers }) => ({
    embed: 'embeddings.word_embeddings',
    tokenType: 'embeddings.token_type_embeddings.weight',
    finalNorm: normBefore(layers.length),
    head: null,
    layer(index) {
      const block = `encoder.layers.${index}`;
      const { mixer, ffn } = layers[index]!;
      const size = mixer.kind === 'grouped' ? mixer.heads * mixer.headSize : 0;
      const [q, k, v] = stackedRows(`${block}.attn.Wqkv`, [size, size, size]);
      return {
        mixer: { kind: 'grouped', q, k, v, o: `${block}.attn.out_proj`, qNorm: null, kNorm: null, sinks: null },
        mixerNorm: normBefore(index),
        ffn: ffnNames(block, ffn),
        ffnNorm: `${block}.norm1.weight`,
      };
    },
    ofLayer: (tensor) => /^encoder\.layers\.\d+\./.test(tensor),
    ignored: () => false,
  }),
};
