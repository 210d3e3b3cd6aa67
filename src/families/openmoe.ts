/** OpenMoE: gates with a gate of their own, a dense feed-forward behind the experts of every so many layers, products of q and k as they are. */
import { LIMITS, readBase, readHeads, readWidth } from '../config/axes.ts';
import type { FfnConfig } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import type { Family, LayerNames, TensorNames } from './family.ts';
import { llamaNames } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

function readFfns(c: ConfigReader): { readonly dense: FfnConfig; readonly moe: FfnConfig } {
  c.only('hidden_act', 'swiglu');
  c.only('mlp_gated', true);
  if (c.raw('hidden_act') === undefined) c.fail('hidden_act', '"swiglu"');
  const width = readWidth(c, 'intermediate_size');
  if (width % 2) c.fail('intermediate_size', 'even');
  const experts = c.integer(['num_experts', 'num_local_experts'], { max: LIMITS.experts });
  const topK = c.integer('router_topk', { max: Math.min(experts, LIMITS.topK), fallback: 2 });
  const activation = { kind: 'double-gate' } as const;
  const moe: FfnConfig = {
    kind: 'moe',
    experts,
    topK,
    width,
    activation,
    expertBias: false,
    router: softmaxRouter(),
    parallel: { width, behind: true },
    shared: null,
  };
  return { moe, dense: { kind: 'dense', width, activation } };
}

/** Of training, and of how the published code spreads a model over machines. */
function ignoreTraining(c: ConfigReader): void {
  c.irrelevant('dropout_rate', 'label_smoothing', 'z_loss_factor', 'router_aux_loss_factor', 'router_z_loss_factor');
  c.irrelevant('router_noisy_policy', 'router_capacity_factor_train', 'expert_parallel', 'enable_kernel');
  c.irrelevant('enable_comm_overlap', 'enable_hierarchical_alltoall', 'enable_load_balance');
  c.irrelevant('load_balance_tolerance', 'load_balance_beam_width', 'load_balance_group_swap_factor');
  // No token is dropped here: what the published code drops depends on the tokens behind it, and on how a prompt is cut.
  c.irrelevant('router_capacity_factor_eval', 'router_min_capacity', 'router_drop_tks');
  c.irrelevant('layer_norm_epsilon'); // norms are RMS norms, with an epsilon of their own
}

function layerNames(layer: string, names: LayerNames): LayerNames {
  const { ffn } = names;
  if (ffn.kind !== 'moe') return names;
  const at = `${layer}.extra_mlp`;
  const extra = { gate: `${at}.gate_proj`, up: `${at}.up_proj`, down: `${at}.down_proj` };
  return { ...names, ffn: { ...ffn, parallel: { ...extra, norm: `${layer}.pre_extra_mlp_layernorm.weight` } } };
}

export const openmoe: Family = {
  id: 'openmoe',
  modelTypes: ['openmoe'],
  borrowedTypes: ['llama'],
  architectures: ['OpenMoeForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'openmoe');
    const heads = readHeads(c, model.hidden);
    const { rope } = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 })(
      'full_attention',
    );
    c.only('rope_theta', 10_000); // the published code has no other
    c.only('attention_bias', false);
    ignoreTraining(c);
    const interval = c.integer('moe_layer_interval', { max: LIMITS.layers });
    const { moe, dense } = readFfns(c);
    const mixer = groupedAttention(heads, rope, { scale: 1 });
    const ffn = (layer: number): FfnConfig => ((layer + 1) % interval === 0 ? moe : dense);
    return { ...model, layers: Array.from({ length: layerCount }, (_, i) => ({ mixer, ffn: ffn(i) })) };
  },

  names(config): TensorNames {
    const llama = llamaNames(config, {
      block: 'mlp',
      router: 'gate_weight',
      experts: (block) => {
        const at = `${block}.experts`;
        return [{ kind: 'double', gate: `${at}.wi_gate`, up: `${at}.wi_up`, down: `${at}.wo` }];
      },
    });
    return { ...llama, layer: (i) => layerNames(`model.layers.${i}`, llama.layer(i)) };
  },
};
