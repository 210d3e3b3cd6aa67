/** Qwen3-Next: three gated delta nets to one gated attention, norms centred on zero, a gated shared expert beside many small ones. */
import {
  LIMITS,
  readActivation,
  readBase,
  readExperts,
  readHeads,
  readMixerTypes,
  readSparseStep,
  readWidth,
} from '../config/axes.ts';
import type { DeltaNet, FfnConfig, GroupedAttention, MixerConfig, ModelConfig } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import { invariant } from '../util/assert.ts';
import type { DeltaNetNames, Family, GroupedAttentionNames, RowsOf, TensorNames } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, SIGMOID_GATE, softmaxRouter } from './parts.ts';

export function readDeltaNet(c: ConfigReader): DeltaNet {
  const heads = c.integer('linear_num_value_heads', { max: LIMITS.heads });
  const keyHeads = c.integer('linear_num_key_heads', { max: LIMITS.heads });
  if (heads % keyHeads) c.fail('linear_num_key_heads', `a divisor of the ${heads} value heads`);
  return {
    kind: 'delta-net',
    heads,
    keyHeads,
    keySize: c.integer('linear_key_head_dim', { max: LIMITS.headSize }),
    valueSize: c.integer('linear_value_head_dim', { max: LIMITS.headSize }),
    taps: c.integer('linear_conv_kernel_dim', { max: LIMITS.taps }),
  };
}

/** `layer_types`, or full attention in one layer of every `full_attention_interval`, the last. */
export function readMixers(
  c: ConfigReader,
  layers: number,
  full: MixerConfig,
  linear: MixerConfig,
): readonly MixerConfig[] {
  const interval = c.integer('full_attention_interval', { fallback: 4 });
  if (c.raw('layer_types') !== undefined) {
    return readMixerTypes(c, layers, { full_attention: full, linear_attention: linear });
  }
  return Array.from({ length: layers }, (_, i) => ((i + 1) % interval === 0 ? full : linear));
}

/** A matrix of `groups` blocks, each with stretches of these lengths: all first stretches, all second ones, and so on. */
function regrouped(of: string, groups: number, lengths: readonly number[]): RowsOf[] {
  const block = lengths.reduce((a, b) => a + b, 0);
  const total = groups * block;
  let at = 0;
  return lengths.flatMap((rows) => {
    const from = at;
    at += rows;
    return Array.from({ length: groups }, (_, g) => ({ of, first: g * block + from, rows, total }));
  });
}

function deltaNetNames(prefix: string, { heads, keyHeads, keySize, valueSize }: DeltaNet): DeltaNetNames {
  const at = (name: string): string => `${prefix}.${name}`;
  const values = (heads / keyHeads) * valueSize;
  return {
    kind: 'delta-net',
    inProj: [
      ...regrouped(at('in_proj_qkvz'), keyHeads, [keySize, keySize, values, values]),
      ...regrouped(at('in_proj_ba'), keyHeads, [heads / keyHeads, heads / keyHeads]),
    ],
    conv: at('conv1d.weight'),
    aLog: at('A_log'),
    stepBias: at('dt_bias'),
    norm: at('norm.weight'),
    outProj: at('out_proj'),
  };
}

/** A head's rows of q_proj are its query and then its gate. */
function gatedAttention(names: GroupedAttentionNames, { heads, headSize }: GroupedAttention): GroupedAttentionNames {
  invariant(typeof names.q === 'string', 'q in stretches already');
  const rows = regrouped(names.q, heads, [headSize, headSize]);
  return { ...names, q: rows.slice(0, heads), gate: rows.slice(heads) };
}

/** The same in every attention layer. */
export const gatedNames = (config: ModelConfig, llama: TensorNames): TensorNames => ({
  ...llama,
  layer(i) {
    const names = llama.layer(i);
    const { mixer: attention } = config.layers[i]!;
    if (attention.kind !== 'grouped' || names.mixer.kind !== 'grouped') return names;
    return { ...names, mixer: gatedAttention(names.mixer, attention) };
  },
});

export const qwen3Next: Family = {
  id: 'qwen3-next',
  modelTypes: ['qwen3_next'],
  architectures: ['Qwen3NextForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'qwen3-next');
    const heads = readHeads(c, model.hidden);
    const { headSize } = heads;
    const activation = readActivation(c);
    const { rope } = readRope(c, { headSize, maxContext: model.maxContext, theta: 10_000, partial: 0.25 })(
      'full_attention',
    );
    c.only('attention_bias', false);
    c.only('use_sliding_window', false);
    const attention = groupedAttention(heads, rope, { qkNorm: 'per-head', outputGate: SIGMOID_GATE });
    const mixers = readMixers(c, layerCount, attention, readDeltaNet(c));
    const sparse = readSparseStep(c);
    const dense: FfnConfig = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation };
    const moe: FfnConfig = {
      kind: 'moe',
      ...readExperts(c),
      width: readWidth(c, 'moe_intermediate_size'),
      activation,
      expertBias: false,
      router: softmaxRouter({ renormalize: c.boolean('norm_topk_prob', true) ? { epsilon: 0 } : null }),
      shared: { width: readWidth(c, 'shared_expert_intermediate_size'), gated: true },
    };
    const layers = mixers.map((mixer, i) => ({ mixer: mixer, ffn: sparse(i) ? moe : dense }));
    return { ...model, gainOffset: 1, layers };
  },

  names(config) {
    const llama = llamaNames(config, {
      block: 'mlp',
      router: 'gate',
      experts: separateExperts(),
      shared: 'shared_expert',
      sharedGate: 'shared_expert_gate',
      recurrent: (layer, mixer) => {
        invariant(mixer.kind === 'delta-net', 'a token mixer of another family');
        return deltaNetNames(`${layer}.linear_attn`, mixer);
      },
    });
    return gatedNames(config, llama);
  },
};
