/** LFM2-MoE: gated short convolutions with some attention in between, sigmoid routing with a bias for selection, a few dense layers first. */
import { LIMITS, readBase, readExperts, readHeads, readMixerTypes, readWidth } from '../config/axes.ts';
import type { FfnConfig, MixerConfig, MoeFfn } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import { invariant } from '../util/assert.ts';
import type { Family, LayerNames, TensorNames } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

const SILU = { kind: 'silu' } as const;

function readMoe(c: ConfigReader): MoeFfn {
  return {
    kind: 'moe',
    ...readExperts(c),
    width: readWidth(c, 'moe_intermediate_size'),
    activation: SILU,
    expertBias: false,
    router: softmaxRouter({
      score: 'sigmoid',
      selectionBias: c.boolean('use_expert_bias', true),
      renormalize: c.boolean('norm_topk_prob', true) ? { epsilon: 1e-6 } : null,
      scale: c.number('routed_scaling_factor', { fallback: 1 }),
    }),
    shared: null,
  };
}

/** Projections are numbered: w1 is gate, w3 up, w2 down. */
const W123 = ['w1', 'w3', 'w2'] as const;

function layerNames(layer: string, { mixer, ffn }: LayerNames): LayerNames {
  const block = `${layer}.feed_forward`;
  const norms = { mixerNorm: `${layer}.operator_norm.weight`, ffnNorm: `${layer}.ffn_norm.weight` };
  const at = (name: string): string => `${layer}.self_attn.${name}`;
  return {
    ...norms,
    mixer:
      mixer.kind === 'grouped'
        ? { ...mixer, o: at('out_proj'), qNorm: at('q_layernorm.weight'), kNorm: at('k_layernorm.weight') }
        : mixer,
    ffn:
      ffn.kind === 'moe'
        ? { ...ffn, selectionBias: ffn.selectionBias && `${block}.expert_bias` }
        : { kind: 'dense', gate: `${block}.w1`, up: `${block}.w3`, down: `${block}.w2` },
  };
}

export const lfm2Moe: Family = {
  id: 'lfm2-moe',
  modelTypes: ['lfm2_moe'],
  architectures: ['Lfm2MoeForCausalLM'],

  readConfig(c) {
    const base = readBase(c, 'lfm2-moe', 'norm_eps');
    const tied = c.raw('tie_word_embeddings') === undefined ? 'tie_embedding' : 'tie_word_embeddings';
    const model = { ...base.model, tieEmbeddings: c.boolean(tied, true) };
    c.irrelevant('tie_embedding'); // the older name
    const heads = readHeads(c, model.hidden);
    const { headSize } = heads;
    const { rope } = readRope(c, { headSize, maxContext: model.maxContext, theta: 1_000_000 })('full_attention');
    const attention = groupedAttention(heads, rope, { qkNorm: 'per-head' });
    c.only('conv_bias', false);
    const convolution: MixerConfig = { kind: 'short-conv', taps: c.integer('conv_L_cache', { max: LIMITS.taps }) };
    const types = readMixerTypes(c, base.layerCount, { full_attention: attention, conv: convolution });
    const firstSparse = c.integer('num_dense_layers', { min: 0, max: base.layerCount });
    const dense: FfnConfig = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation: SILU };
    const moe = readMoe(c);
    return { ...model, layers: types.map((mixer, i) => ({ mixer: mixer, ffn: i < firstSparse ? dense : moe })) };
  },

  names(config): TensorNames {
    const llama = llamaNames(config, {
      block: 'feed_forward',
      router: 'gate',
      experts: separateExperts(W123),
      recurrent: (layer, mixer) => {
        invariant(mixer.kind === 'short-conv', 'a token mixer of another family');
        const conv = `${layer}.conv`;
        return {
          kind: 'short-conv',
          inProj: `${conv}.in_proj`,
          conv: `${conv}.conv.weight`,
          outProj: `${conv}.out_proj`,
        };
      },
    });
    return {
      ...llama,
      finalNorm: 'model.embedding_norm.weight',
      layer: (i) => layerNames(`model.layers.${i}`, llama.layer(i)),
    };
  },
};
