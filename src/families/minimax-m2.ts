/** MiniMax-M2: q and k normalised over the whole projection, half a head rotates, sigmoid router with a bias for selection. */
import { LIMITS, readActivation, readBase, readExperts, readHeads, readWidth } from '../config/axes.ts';
import type { LayerConfig } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

/** Keys of heads that predict further tokens, and of attention that the released models do not have. */
function settled(c: ConfigReader, layerCount: number): void {
  c.irrelevant('num_mtp_modules', 'mtp_transformer_layers', 'use_mtp', 'layernorm_full_attention_beta');
  c.irrelevant('layernorm_linear_attention_beta', 'layernorm_mlp_beta', 'router_jitter_noise', 'output_router_logits');
  c.only('qk_norm_type', 'per_layer');
  c.only('use_qk_norm', true);
  c.only('use_routing_bias', true);
  c.only('scoring_func', 'sigmoid');
  c.only('shared_intermediate_size', 0);
  c.only('shared_moe_mode', 'sigmoid');
  c.only('sliding_window');
  c.only(
    'attn_type_list',
    Array.from({ length: layerCount }, () => 1),
  );
}

export const minimaxM2: Family = {
  id: 'minimax-m2',
  modelTypes: ['minimax_m2'],
  architectures: ['MiniMaxM2ForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'minimax-m2');
    const heads = readHeads(c, model.hidden);
    settled(c, layerCount);
    const rotary = c.integer('rotary_dim', { max: LIMITS.headSize, fallback: heads.headSize });
    const { rope } = readRope(c, {
      headSize: heads.headSize,
      maxContext: model.maxContext,
      theta: 5e6,
      partial: rotary / heads.headSize,
    })('full_attention');
    const layer: LayerConfig = {
      mixer: groupedAttention(heads, rope, { qkNorm: 'full' }),
      ffn: {
        kind: 'moe',
        ...readExperts(c),
        width: readWidth(c, 'intermediate_size'),
        activation: readActivation(c),
        expertBias: false,
        router: softmaxRouter({ score: 'sigmoid', selectionBias: true, renormalize: { epsilon: 0 } }),
        shared: null,
      },
    };
    return { ...model, layers: Array.from({ length: layerCount }, () => layer) };
  },

  names: (config) =>
    llamaNames(config, {
      block: 'block_sparse_moe',
      router: 'gate',
      experts: separateExperts(['w1', 'w3', 'w2']),
      selectionBias: 'e_score_correction_bias',
      extraLayers: true,
    }),
};
