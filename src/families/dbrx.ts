/** DBRX: nested configs, layer norms without bias, q, k, v as one clamped matrix, and each projection of all experts as one. */
import { LIMITS, readExperts, readTokenId, readTokenIds, readWidth, type Heads } from '../config/axes.ts';
import type { GroupedAttention, ModelConfig, MoeFfn } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import { stackedRows, type Family, type LayerNames } from './family.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

/** nn.LayerNorm's default; no config carries it. */
const NORM_EPS = 1e-5;

function readModel(c: ConfigReader): Omit<ModelConfig, 'layers'> {
  return {
    family: 'dbrx',
    vocab: c.integer('vocab_size', { max: LIMITS.vocab }),
    hidden: c.integer('d_model', { max: LIMITS.hidden }),
    norm: 'layer',
    gainOffset: 0,
    preNorms: true,
    postNorms: false,
    normEps: NORM_EPS,
    embeddingScale: 1,
    residualScale: 1,
    head: { bias: false, scale: 1 },
    tieEmbeddings: c.boolean('tie_word_embeddings', false),
    maxContext: c.integer('max_seq_len', { max: LIMITS.context }),
    endTokens: readTokenIds(c, 'eos_token_id'),
    beginToken: readTokenId(c, 'bos_token_id'),
  };
}

function readAttention(c: ConfigReader, { hidden, maxContext }: Omit<ModelConfig, 'layers'>): GroupedAttention {
  const own = c.section('attn_config') ?? c.empty('attn_config');
  const count = c.integer('n_heads', { max: LIMITS.heads });
  if (hidden % count) c.fail('n_heads', `a divisor of d_model (${hidden})`);
  const heads: Heads = {
    heads: count,
    kvHeads: own.integer('kv_n_heads', { max: LIMITS.heads, fallback: 1 }),
    headSize: hidden / count,
  };
  if (count % heads.kvHeads) own.fail('kv_n_heads', `a divisor of the ${count} heads`);
  c.irrelevant('num_key_value_heads'); // transformers' copy of kv_n_heads
  const theta = own.number('rope_theta', { min: 2, fallback: 10_000 });
  const { rope } = readRope(c, { headSize: heads.headSize, maxContext, theta })('full_attention');
  const clip = own.raw('clip_qkv') === undefined ? null : own.number('clip_qkv', { min: 0 });
  own.irrelevant('attn_pdrop', 'model_type');
  own.finish();
  return groupedAttention(heads, rope, { clip });
}

function readMoe(c: ConfigReader): MoeFfn {
  const own = c.section('ffn_config') ?? c.empty('ffn_config');
  const normalize = own.raw('moe_normalize_expert_weights');
  own.only('moe_normalize_expert_weights', 1); // the p of a p-norm
  const act = own.section('ffn_act_fn');
  act?.only('name', 'silu');
  act?.finish();
  const moe: MoeFfn = {
    kind: 'moe',
    ...readExperts(own),
    width: readWidth(own, 'ffn_hidden_size'),
    activation: { kind: 'silu' },
    expertBias: false,
    router: softmaxRouter({ renormalize: normalize === undefined ? null : { epsilon: 0 } }),
    shared: null,
  };
  own.irrelevant('moe_jitter_eps', 'moe_loss_weight', 'uniform_expert_assignment', 'model_type', 'hidden_size');
  own.finish();
  return moe;
}

function layerNames(layer: string, { heads, kvHeads, headSize }: GroupedAttention): LayerNames {
  const block = `${layer}.norm_attn_norm`;
  const rows = [heads * headSize, kvHeads * headSize, kvHeads * headSize] as const;
  const [q, k, v] = stackedRows(`${block}.attn.Wqkv`, rows);
  const experts = `${layer}.ffn.experts.mlp`;
  return {
    mixerNorm: `${block}.norm_1.weight`,
    ffnNorm: `${block}.norm_2.weight`,
    mixer: {
      kind: 'grouped',
      q,
      k,
      v,
      o: `${block}.attn.out_proj`,
      qNorm: null,
      kNorm: null,
      sinks: null,
    },
    ffn: {
      kind: 'moe',
      router: `${layer}.ffn.router.layer`,
      routerBias: null,
      selectionBias: null,
      experts: [{ kind: 'flat', gate: `${experts}.w1`, up: `${experts}.v1`, down: `${experts}.w2` }],
      shared: null,
      sharedGate: null,
    },
  };
}

export const dbrx: Family = {
  id: 'dbrx',
  modelTypes: ['dbrx'],
  architectures: ['DbrxForCausalLM'],

  readConfig(c) {
    const model = readModel(c);
    const layer = { mixer: readAttention(c, model), ffn: readMoe(c) };
    c.irrelevant('emb_pdrop', 'resid_pdrop'); // while training
    const layerCount = c.integer('n_layers', { max: LIMITS.layers });
    return { ...model, layers: Array.from({ length: layerCount }, () => layer) };
  },

  names: (config) => {
    const layerOf = (tensor: string): number => Number(/^transformer\.blocks\.(\d+)\./.exec(tensor)?.[1] ?? -1);
    return {
      embed: 'transformer.wte',
      finalNorm: 'transformer.norm_f.weight',
      head: config.tieEmbeddings ? null : 'lm_head',
      layer: (index) => layerNames(`transformer.blocks.${index}`, config.layers[index]!.mixer as GroupedAttention),
      ofLayer: (tensor) => layerOf(tensor) >= 0 && layerOf(tensor) < config.layers.length,
      ignored: (tensor) => tensor.endsWith('.inv_freq'),
    };
  },
};
