/** Qwen3-MoE (and Marco): q and k normalised per head, no shared expert, dense layers by step or by list. */
import {
  readActivation,
  readBase,
  readExperts,
  readHeads,
  readSparseStep,
  readWidth,
  readWindow,
} from '../config/axes.ts';
import type { FfnConfig } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

/** One window for all layers, when it is switched on. */
function readOneWindow(c: ConfigReader): number | null {
  // Qwen2 had sliding layers up to here; published Qwen3 files still carry the key, and no implementation reads it.
  c.irrelevant('max_window_layers');
  if (c.boolean('use_sliding_window', false)) return readWindow(c);
  c.irrelevant('sliding_window');
  return null;
}

export const qwen3Moe: Family = {
  id: 'qwen3-moe',
  modelTypes: ['qwen3_moe'],
  architectures: ['Qwen3MoeForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'qwen3-moe');
    // Of the coder models.
    c.only('qkv_bias', false);
    c.only('use_qk_norm', true);
    c.only('shared_expert_intermediate_size', 0);
    const heads = readHeads(c, model.hidden);
    const activation = readActivation(c);
    const sparse = readSparseStep(c);
    const biased = c.boolean('attention_bias', false);
    const { rope } = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 })(
      'full_attention',
    );
    const attention = groupedAttention(heads, rope, {
      qkNorm: 'per-head',
      bias: { qkv: biased, o: biased },
      window: readOneWindow(c),
    });
    const dense: FfnConfig = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation };
    const moe: FfnConfig = {
      kind: 'moe',
      ...readExperts(c),
      width: readWidth(c, 'moe_intermediate_size'),
      activation,
      expertBias: false,
      router: softmaxRouter({ renormalize: c.boolean('norm_topk_prob', false) ? { epsilon: 0 } : null }),
      shared: null,
    };
    return {
      ...model,
      layers: Array.from({ length: layerCount }, (_, i) => ({ mixer: attention, ffn: sparse(i) ? moe : dense })),
    };
  },

  names: (config) => llamaNames(config, { block: 'mlp', router: 'gate', experts: separateExperts() }),
};
