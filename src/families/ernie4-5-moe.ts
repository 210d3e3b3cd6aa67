/** ERNIE 4.5: interleaved RoPE, a bias for selection on top of softmax scores, weights divided by their sum but at least by a floor. */
import { LIMITS, readActivation, readBase, readExperts, readHeads, readWidth } from '../config/axes.ts';
import type { Activation, MoeFfn } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { DEEPSEEK_BLOCK, llamaNames } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

/** Layers from `moe_layer_start_index` to `moe_layer_end_index` (-1: the last), every `moe_layer_interval`-th. */
function readSparse(c: ConfigReader, layerCount: number): (layer: number) => boolean {
  const start = c.integer('moe_layer_start_index', { min: 0, fallback: 0 });
  const end = c.integer('moe_layer_end_index', { min: -1, fallback: -1 });
  const interval = c.integer('moe_layer_interval', { fallback: 1 });
  const last = end === -1 ? layerCount - 1 : end;
  return (layer) => (layer + 1) % interval === 0 && layer >= start && layer <= last;
}

function readMoe(c: ConfigReader, activation: Activation): MoeFfn {
  const width = readWidth(c, 'moe_intermediate_size');
  const shared = c.integer('moe_num_shared_experts', { min: 0, max: LIMITS.experts, fallback: 0 });
  c.only('moe_gate', 'topk');
  c.only('moe_use_aux_free', true);
  c.irrelevant('moe_capacity'); // of training: tokens are never dropped
  return {
    kind: 'moe',
    ...readExperts(c),
    width,
    activation,
    expertBias: false,
    router: softmaxRouter({
      selectionBias: true,
      renormalize: { least: c.number('moe_norm_min', { min: 0, fallback: 1e-12 }) },
    }),
    shared: shared > 0 ? { width: shared * width, gated: false } : null,
  };
}

export const ernie45Moe: Family = {
  id: 'ernie4-5-moe',
  modelTypes: ['ernie4_5_moe'],
  architectures: ['Ernie4_5_MoeForCausalLM', 'Ernie4_5_MoEForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'ernie4-5-moe');
    const heads = readHeads(c, model.hidden);
    const activation = readActivation(c);
    c.only('use_bias', false);
    c.only('use_rmsnorm', true);
    c.irrelevant('num_nextn_predict_layers'); // heads that predict further tokens; not read
    const rope = readRope(c, {
      headSize: heads.headSize,
      maxContext: model.maxContext,
      theta: 500_000,
      interleaved: true,
    })('full_attention').rope;
    const attention = groupedAttention(heads, rope);
    const sparse = readSparse(c, layerCount);
    const moe = readMoe(c, activation);
    const dense = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation } as const;
    return {
      ...model,
      layers: Array.from({ length: layerCount }, (_, i) => ({ mixer: attention, ffn: sparse(i) ? moe : dense })),
    };
  },

  names: (config) => llamaNames(config, { ...DEEPSEEK_BLOCK, selectionBias: 'moe_statics.e_score_correction_bias' }),
};
