/** Jamba: Mamba with attention in every few layers, no positions at all, and experts in every few. */
import { LIMITS, readActivation, readBase, readExperts, readHeads, readWidth } from '../config/axes.ts';
import type { FfnConfig, Mamba1 } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { NO_ROPE } from '../config/rope.ts';
import { invariant } from '../util/assert.ts';
import type { Family, TensorNames } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { mambaNames } from './mamba-names.ts';
import { groupedAttention, softmaxRouter } from './parts.ts';

function readMamba(c: ConfigReader, hidden: number): Mamba1 {
  c.only('mamba_proj_bias', false);
  return {
    kind: 'mamba-1',
    channels: c.integer('mamba_expand', { max: LIMITS.expand, fallback: 2 }) * hidden,
    states: c.integer('mamba_d_state', { max: LIMITS.states, fallback: 16 }),
    taps: c.integer('mamba_d_conv', { max: LIMITS.taps, fallback: 4 }),
    convBias: c.boolean('mamba_conv_bias', true),
    rank: c.raw('mamba_dt_rank') === 'auto' ? Math.ceil(hidden / 16) : c.integer('mamba_dt_rank', { max: hidden }),
  };
}

/** Layers i with i % period == offset. */
function readPeriod(c: ConfigReader, kind: 'attn' | 'expert', byDefault: number): (layer: number) => boolean {
  const period = c.integer(`${kind}_layer_period`, { fallback: byDefault });
  const offset = c.integer(`${kind}_layer_offset`, { min: 0, max: period - 1, fallback: byDefault / 2 });
  return (layer) => layer % period === offset;
}

export const jamba: Family = {
  id: 'jamba',
  modelTypes: ['jamba'],
  architectures: ['JambaForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'jamba');
    const activation = readActivation(c);
    const attention = groupedAttention(readHeads(c, model.hidden), NO_ROPE);
    const mamba = readMamba(c, model.hidden);
    const attends = readPeriod(c, 'attn', 8);
    const sparse = readPeriod(c, 'expert', 2);
    // How transformers computes the scan, and how many logits of a prompt.
    c.irrelevant(
      'use_mamba_kernels',
      'use_mambapy',
      'use_associative_scan',
      'num_logits_to_keep',
      'calc_logits_for_entire_prompt',
    );
    c.only('sliding_window', null);
    const width = readWidth(c, 'intermediate_size');
    const dense: FfnConfig = { kind: 'dense', width, activation };
    const { experts, topK } = readExperts(c);
    const moe: FfnConfig = {
      kind: 'moe',
      experts,
      topK,
      width,
      activation,
      expertBias: false,
      router: softmaxRouter(),
      shared: null,
    };
    const layers = Array.from({ length: layerCount }, (_, i) => ({
      mixer: attends(i) ? attention : mamba,
      ffn: experts > 1 && sparse(i) ? moe : dense,
    }));
    return { ...model, layers };
  },

  names(config): TensorNames {
    const block = 'feed_forward';
    const llama = llamaNames(config, {
      block,
      router: 'router',
      experts: separateExperts(),
      recurrent: (layer, mixer) => {
        invariant(mixer.kind === 'mamba-1', 'a token mixer of another family');
        return mambaNames(`${layer}.mamba`, mixer);
      },
    });
    return {
      ...llama,
      finalNorm: 'model.final_layernorm.weight',
      layer(i) {
        const layer = `model.layers.${i}`;
        const { ffn, ...names } = llama.layer(i);
        const at = (name: string): string => `${layer}.${block}.${name}_proj`;
        const dense = { kind: 'dense', gate: at('gate'), up: at('up'), down: at('down') } as const;
        return { ...names, ffnNorm: `${layer}.pre_ff_layernorm.weight`, ffn: ffn.kind === 'moe' ? ffn : dense };
      },
    };
  },
};
