/** Hunyuan-A13B: q and k normalised after RoPE, renormalised softmax, a shared expert; counts may be lists with a value a layer. */
import { LIMITS, readActivation, readBase, readHeads } from '../config/axes.ts';
import type { MoeFfn } from '../config/model-config.ts';
import type { ConfigReader, Json } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

const isCount = (item: Json): item is number => Number.isInteger(item) && (item as number) >= 0;

/** A count that holds for all layers, or a list with one a layer. */
function perLayer(c: ConfigReader, key: string, most: number, fallback?: number): (layer: number) => number {
  if (!Array.isArray(c.raw(key))) {
    const value = c.integer(key, { min: 0, max: most, ...(fallback === undefined ? {} : { fallback }) });
    return () => value;
  }
  const values = c.list(key, isCount, 'whole numbers');
  return (layer) => {
    const value = values[layer];
    return value === undefined || value > most
      ? c.fail(key, `a list with a number up to ${most} for each layer`)
      : value;
  };
}

/** Of multi-head latent attention, of attention shared between layers and of vision: this family's files carry them, switched off. */
const SWITCHED_OFF = [
  'use_cla',
  'use_mla',
  'position_embedding_xdrope',
  'add_classification_head',
  'group_limited_greedy',
];
const UNUSED =
  `cla_share_factor class_num dense_list pool_type moe_drop_tokens moe_random_routing_dropped_token kv_lora_rank
  q_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim n_group topk_group xdrope_section skip_cls_token num_media_embeds
  org_vocab_size eod_token_id pad_id im_start_id im_end_id im_newline_id text_start_id text_end_id image_token_id mask_init_id
  sep_token_id use_mixed_mlp_moe attention_head_dim num_experts_per_tok`.split(/\s+/);

export const hunyuanV1Moe: Family = {
  id: 'hunyuan-v1-moe',
  modelTypes: ['hunyuan_v1_moe'],
  architectures: ['HunYuanMoEV1ForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'hunyuan-v1-moe');
    const heads = readHeads(
      c,
      model.hidden,
      c.raw('attention_head_dim') === undefined ? undefined : c.integer('attention_head_dim', { max: LIMITS.headSize }),
    );
    const activation = readActivation(c);
    for (const key of SWITCHED_OFF) c.only(key, false);
    c.irrelevant(...UNUSED);
    c.only('use_qk_norm', true);
    c.only('use_rotary_pos_emb', true);
    c.only('norm_type', 'rms');
    c.only('norm_topk_prob', true);
    c.only('routed_scaling_factor', 1);
    c.only('mlp_bias', false);
    c.only('moe_layer_num_skipped', 0);
    const biased = c.boolean('attention_bias', false);
    const { rope } = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 })(
      'full_attention',
    );
    const attention = groupedAttention(heads, rope, {
      qkNorm: 'per-head-rotated',
      bias: { qkv: biased, o: biased },
    });
    const experts = perLayer(
      c,
      c.raw('num_experts') === undefined ? 'num_local_experts' : 'num_experts',
      LIMITS.experts,
    );
    const topK = perLayer(c, 'moe_topk', LIMITS.topK, 1);
    const dense = c.integer('intermediate_size', { max: LIMITS.width });
    const width = perLayer(c, 'moe_intermediate_size', LIMITS.width, dense);
    const shared = perLayer(c, 'num_shared_expert', LIMITS.experts, 1);
    const ffn = (layer: number): MoeFfn => ({
      kind: 'moe',
      experts: experts(layer),
      topK: Math.min(topK(layer), experts(layer)),
      width: width(layer),
      activation,
      expertBias: false,
      router: softmaxRouter({ renormalize: { epsilon: 0 } }),
      shared: shared(layer) > 0 ? { width: shared(layer) * dense, gated: false } : null,
    });
    return { ...model, layers: Array.from({ length: layerCount }, (_, i) => ({ mixer: attention, ffn: ffn(i) })) };
  },

  names: (config) =>
    llamaNames(config, {
      block: 'mlp',
      router: 'gate.wg',
      experts: separateExperts(),
      shared: 'shared_mlp',
      qkNorms: ['query_layernorm', 'key_layernorm'],
    }),
};
