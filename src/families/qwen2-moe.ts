/** Qwen1.5-MoE and Qwen2-MoE: biased q, k, v, a shared expert behind a sigmoid gate, dense layers by step or by list. */
import {
  readActivation,
  readBase,
  readExperts,
  readHeads,
  readLayerTypes,
  readSparseStep,
  readWidth,
  readWindow,
} from '../config/axes.ts';
import type { FfnConfig, GroupedAttention } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

/**
 * The window of each layer. Without `layer_types` a window that is switched on holds for every other layer below `max_window_layers`, as
 * transformers 5 reads these files (its golden values are ours); no published model of the family switches it on.
 */
function readWindows(c: ConfigReader, layerCount: number): readonly (number | null)[] {
  const on = c.boolean('use_sliding_window', false);
  const below = c.integer('max_window_layers', { min: 0, fallback: 28 });
  const types = readLayerTypes(c, layerCount, (i) =>
    on && i % 2 === 0 && i < below ? 'sliding_attention' : 'full_attention',
  );
  const sliding = types.includes('sliding_attention');
  if (sliding && !on) c.fail('use_sliding_window', 'true, because layer_types has sliding layers');
  // Published files carry a window that is switched off.
  if (!sliding) c.irrelevant('sliding_window');
  const window = sliding ? readWindow(c) : null;
  return types.map((type) => (type === 'sliding_attention' ? window : null));
}

export const qwen2Moe: Family = {
  id: 'qwen2-moe',
  modelTypes: ['qwen2_moe'],
  architectures: ['Qwen2MoeForCausalLM', 'Qwen2MoEForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'qwen2-moe');
    const heads = readHeads(c, model.hidden);
    const activation = readActivation(c);
    const windows = readWindows(c, layerCount);
    const ropes = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 });
    const sparse = readSparseStep(c);
    const qkv = c.boolean('qkv_bias', true); // absent from published files, which all have the biases
    const attention = (window: number | null): GroupedAttention =>
      groupedAttention(heads, ropes(window === null ? 'full_attention' : 'sliding_attention').rope, {
        bias: { qkv, o: false },
        window,
      });
    const dense: FfnConfig = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation };
    const moe: FfnConfig = {
      kind: 'moe',
      ...readExperts(c),
      width: readWidth(c, 'moe_intermediate_size'),
      activation,
      expertBias: false,
      router: softmaxRouter({ renormalize: c.boolean('norm_topk_prob', false) ? { epsilon: 0 } : null }),
      shared: { width: readWidth(c, 'shared_expert_intermediate_size'), gated: true },
    };
    return {
      ...model,
      layers: windows.map((window, i) => ({ mixer: attention(window), ffn: sparse(i) ? moe : dense })),
    };
  },

  names: (config) =>
    llamaNames(config, {
      block: 'mlp',
      router: 'gate',
      experts: separateExperts(),
      shared: 'shared_expert',
      sharedGate: 'shared_expert_gate',
    }),
};
