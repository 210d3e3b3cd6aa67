/** SmallThinker: a router that reads what its layer reads, in front of attention, so that experts are known early; experts gated by ReLU. */
import { LIMITS, readBase, readExperts, readHeads, readWidth } from '../config/axes.ts';
import type { FfnConfig } from '../config/model-config.ts';
import type { ConfigReader, Json } from '../config/read.ts';
import { NO_ROPE, readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

const isFlag = (item: Json): item is 0 | 1 => item === 0 || item === 1;

/** One flag a layer. */
function readLayout(c: ConfigReader, key: string, layers: number, byDefault: 0 | 1): readonly (0 | 1)[] {
  const flags = c.list(
    key,
    isFlag,
    '0 and 1',
    Array.from({ length: layers }, () => byDefault),
  );
  if (flags.length !== layers) c.fail(key, `a list of num_hidden_layers (${layers}) entries`);
  return flags;
}

export const smallThinker: Family = {
  id: 'smallthinker',
  modelTypes: ['smallthinker'],
  architectures: ['SmallThinkerForCausalLM', 'SmallthinkerForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'smallthinker');
    const heads = readHeads(c, model.hidden);
    const { rope } = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 })(
      'full_attention',
    );
    const rotates = readLayout(c, 'rope_layout', layerCount, 1);
    const slides = readLayout(c, 'sliding_window_layout', layerCount, 0);
    const window = c.integer('sliding_window_size', { max: LIMITS.context, fallback: 4096 });
    if (readLayout(c, 'moe_layer_layout', layerCount, 1).includes(0))
      c.fail('moe_layer_layout', 'experts in all layers');
    c.only('moe_enable_early_router', true);
    c.only('moe_enable_secondary_experts', false);
    c.irrelevant('moe_secondary_expert_size', 'moe_num_secondary_experts', 'moe_use_swiglu'); // of the second kind
    c.only('hidden_act', 'relu', 'silu'); // files name the one of a second kind of experts; those that run are gated by ReLU
    const softmax = c.boolean('moe_primary_router_apply_softmax', false);
    const norms = c.boolean('norm_topk_prob', true);
    const ffn: FfnConfig = {
      kind: 'moe',
      ...readExperts(c),
      width: readWidth(c, 'moe_ffn_hidden_size'),
      activation: { kind: 'relu' },
      expertBias: false,
      router: softmax
        ? softmaxRouter({ score: 'softmax-chosen' })
        : softmaxRouter({ score: 'sigmoid', renormalize: norms ? { epsilon: 0 } : null }),
      routerInput: 'layer',
      shared: null,
    };
    const layers = rotates.map((turns, i) => ({
      mixer: groupedAttention(heads, turns ? rope : NO_ROPE, { window: slides[i] ? window : null }),
      ffn,
    }));
    return { ...model, layers };
  },

  names: (config) =>
    llamaNames(config, {
      block: 'block_sparse_moe',
      router: 'primary_router',
      experts: separateExperts(['gate', 'up', 'down']),
    }),
};
