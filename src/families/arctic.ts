/** Snowflake Arctic: experts read the stream in front of attention, a dense feed-forward beside them the one behind it. */
import { LIMITS, readActivation, readBase, readExperts, readHeads, readWidth } from '../config/axes.ts';
import type { FfnConfig } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import { softmaxRouter, groupedAttention } from './parts.ts';
import type { Family, GluNames, LayerNames, TensorNames } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';

const W123 = ['w1', 'w3', 'w2'] as const;

const glu = (block: string): GluNames => ({ gate: `${block}.w1`, up: `${block}.w3`, down: `${block}.w2` });

function readFfns(c: ConfigReader, hidden: number): { readonly dense: FfnConfig; readonly moe: FfnConfig } {
  const activation = readActivation(c);
  const width = readWidth(c, 'intermediate_size');
  c.only('parallel_attn_mlp_res', true);
  c.only('use_residual', true);
  if (c.raw('parallel_attn_mlp_res') === undefined) c.fail('parallel_attn_mlp_res', 'true');
  const moe: FfnConfig = {
    kind: 'moe',
    ...readExperts(c),
    width,
    activation,
    expertBias: false,
    router: softmaxRouter({ renormalize: { epsilon: 0 } }),
    reads: 'layer',
    parallel: { width: hidden },
    shared: null,
  };
  return { moe, dense: { kind: 'dense', width, activation } };
}

function layerNames(layer: string, names: LayerNames): LayerNames {
  const { ffn } = names;
  if (ffn.kind !== 'moe') return { ...names, ffn: { kind: 'dense', ...glu(`${layer}.block_sparse_moe.mlp`) } };
  const parallel = { ...glu(`${layer}.residual_mlp`), norm: `${layer}.residual_layernorm.weight` };
  return { ...names, ffn: { ...ffn, parallel } };
}

export const arctic: Family = {
  id: 'arctic',
  modelTypes: ['arctic'],
  architectures: ['ArcticForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'arctic');
    const heads = readHeads(c, model.hidden);
    const { rope } = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 1e6 })(
      'full_attention',
    );
    c.only('sliding_window', null);
    // Of training: experts drop no token when the published code runs the model by itself.
    c.irrelevant('moe_train_capacity_factor', 'moe_eval_capacity_factor', 'moe_min_capacity', 'moe_token_dropping');
    c.irrelevant('enable_expert_tensor_parallelism', 'quantization');
    const frequency = c.integer('moe_layer_frequency', { max: LIMITS.layers, fallback: 2 });
    const { moe, dense } = readFfns(c, model.hidden);
    const mixer = groupedAttention(heads, rope);
    const ffn = (layer: number): FfnConfig => ((layer + 1) % frequency === 0 ? moe : dense);
    return { ...model, layers: Array.from({ length: layerCount }, (_, i) => ({ mixer, ffn: ffn(i) })) };
  },

  names(config): TensorNames {
    const llama = llamaNames(config, { block: 'block_sparse_moe', router: 'gate', experts: separateExperts(W123) });
    return { ...llama, layer: (i) => layerNames(`model.layers.${i}`, llama.layer(i)) };
  },
};
