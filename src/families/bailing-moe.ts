/**
 * Bailing, published as Ling and Ring. Version 1: softmax router; version 2: norms of q and k, half a head rotates, the router of DeepSeek-V3.
 * Both: q, k, v as one matrix, and names of their own.
 */
import { LIMITS, readActivation, readBase, readExperts, readGroups, readHeads, readWidth } from '../config/axes.ts';
import { stackedRows, type Family, type LayerNames } from './family.ts';
import type { FfnConfig, GroupedAttention, ModelConfig, MoeFfn } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import { DEEPSEEK_BLOCK, llamaNames } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

function readRouter(c: ConfigReader, experts: { experts: number; topK: number }): MoeFfn['router'] {
  const scale = c.number('routed_scaling_factor', { fallback: 1 });
  const normalized = c.boolean('norm_topk_prob', true);
  if (c.oneOf('score_function', ['softmax', 'sigmoid'], 'softmax') === 'softmax') {
    c.only('moe_router_enable_expert_bias', false);
    c.only('n_group', 1, 0);
    c.only('topk_group', 1, 0);
    return softmaxRouter({ renormalize: normalized ? { epsilon: 0 } : null, scale });
  }
  return softmaxRouter({
    score: 'sigmoid',
    selectionBias: c.boolean('moe_router_enable_expert_bias', false),
    groups: readGroups(c, experts, { rank: 'top2-sum', dropped: 'minus-infinity' }),
    renormalize: normalized ? { epsilon: 1e-20 } : null,
    scale,
  });
}

function readMoe(c: ConfigReader, activation: MoeFfn['activation']): MoeFfn {
  const width = readWidth(c, 'moe_intermediate_size');
  const shared = c.integer('num_shared_experts', { min: 0, max: LIMITS.experts, fallback: 0 });
  const experts = readExperts(c);
  c.irrelevant('moe_shared_expert_intermediate_size'); // the width of one, as that of the others
  return {
    kind: 'moe',
    ...experts,
    width,
    activation,
    expertBias: false,
    router: readRouter(c, experts),
    shared: shared > 0 ? { width: shared * width, gated: false } : null,
  };
}

/** Dropout, heads that predict further tokens, training. */
const IRRELEVANT = `embedding_dropout output_dropout num_nextn_predict_layers mtp_loss_scaling_factor max_window_layers
  use_sliding_window sliding_window router_dtype first_k_dense_replace_list ep_size moe_router_topk_scaling_factor
  rope_interleave`.split(/\s+/);

const withOwnNames = (config: ModelConfig, index: number, names: LayerNames): LayerNames => {
  const attention = config.layers[index]!.mixer as GroupedAttention;
  const { heads, kvHeads, headSize } = attention;
  const at = `model.layers.${index}.attention`;
  const rows = [heads * headSize, kvHeads * headSize, kvHeads * headSize] as const;
  const [q, k, v] = stackedRows(`${at}.query_key_value`, rows);
  const normed = attention.qkNorm !== 'none';
  return {
    ...names,
    mixer: {
      kind: 'grouped',
      q,
      k,
      v,
      o: `${at}.dense`,
      qNorm: normed ? `${at}.query_layernorm.weight` : null,
      kNorm: normed ? `${at}.key_layernorm.weight` : null,
      sinks: null,
    },
  };
};

export const bailingMoe: Family = {
  id: 'bailing-moe',
  modelTypes: ['bailing_moe', 'bailing_moe_v2'],
  architectures: ['BailingMoeForCausalLM', 'BailingMoeV2ForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'bailing-moe');
    const heads = readHeads(c, model.hidden);
    const activation = readActivation(c);
    c.irrelevant(...IRRELEVANT);
    c.only('norm_head', false);
    c.only('norm_softmax', false);
    c.only('use_rmsnorm', true);
    const o = c.boolean('use_bias', false);
    const { rope } = readRope(c, {
      headSize: heads.headSize,
      maxContext: model.maxContext,
      theta: 10_000,
      partial: 1,
    })('full_attention');
    const attention = groupedAttention(heads, rope, {
      qkNorm: c.boolean('use_qk_norm', false) ? 'per-head' : 'none',
      bias: { qkv: c.boolean('use_qkv_bias', false), o },
    });
    const prefix = c.integer('first_k_dense_replace', { min: 0, max: layerCount, fallback: 0 });
    const moe = readMoe(c, activation);
    const dense: FfnConfig = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation };
    return {
      ...model,
      layers: Array.from({ length: layerCount }, (_, i) => ({ mixer: attention, ffn: i < prefix ? dense : moe })),
    };
  },

  names: (config) => {
    const names = llamaNames(config, { ...DEEPSEEK_BLOCK, selectionBias: 'gate.expert_bias' });
    const layer = (index: number): LayerNames => withOwnNames(config, index, names.layer(index));
    return { ...names, embed: 'model.word_embeddings', layer };
  },
};
