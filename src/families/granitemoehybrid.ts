/** Granite 4: Mamba-2 with attention in every few layers, mostly without positions; otherwise Granite 3, or dense where there are no experts. */
import {
  LIMITS,
  readActivation,
  readBase,
  readHeads,
  readMixerTypes,
  readMultipliers,
  readWidth,
} from '../config/axes.ts';
import type { FfnConfig, Mamba2, MixerConfig, RopeConfig } from '../config/model-config.ts';
import type { ConfigReader, Json } from '../config/read.ts';
import { NO_ROPE, readRope } from '../config/rope.ts';
import { invariant } from '../util/assert.ts';
import type { Family } from './family.ts';
import { GRANITE_NAMING, readGraniteMoe, sharedNames } from './granitemoe.ts';
import { llamaNames } from './llama-names.ts';
import { mambaNames } from './mamba-names.ts';
import { groupedAttention } from './parts.ts';

/** JSON has no infinity: transformers 5 writes it as an object. */
type Limit = number | { readonly __float__: 'Infinity' };
const isLimit = (item: Json): item is Limit & Json =>
  typeof item === 'number' ||
  (item !== null && typeof item === 'object' && !Array.isArray(item) && item.__float__ === 'Infinity');
const limitOf = (limit: Limit): number => (typeof limit === 'number' ? limit : Infinity);

/** The least and the largest step, (0, infinity) by default. */
export function readStepLimits(c: ConfigReader): readonly [number, number] {
  const limits = c.list<Limit>('time_step_limit', isLimit, 'two numbers', [0, Infinity]);
  if (limits.length !== 2) c.fail('time_step_limit', 'a list of two numbers');
  return [limitOf(limits[0]!), limitOf(limits[1]!)];
}

function readMamba(c: ConfigReader, hidden: number): Mamba2 {
  c.only('mamba_proj_bias', false);
  c.irrelevant('mamba_chunk_size'); // how others cut the scan
  const heads = c.integer('mamba_n_heads', { max: LIMITS.heads, fallback: 128 });
  const channels = c.integer('mamba_expand', { max: LIMITS.expand, fallback: 2 }) * hidden;
  const byDefault = c.raw('mamba_d_head') === undefined || c.raw('mamba_d_head') === 'auto';
  const headSize = byDefault ? channels / heads : c.integer('mamba_d_head', { max: LIMITS.headSize });
  if (heads * headSize !== channels) c.fail('mamba_d_head', `${channels} / mamba_n_heads (${channels / heads})`);
  const groups = c.integer('mamba_n_groups', { max: heads, fallback: 1 });
  if (heads % groups) c.fail('mamba_n_groups', `a divisor of the ${heads} heads`);
  return {
    kind: 'mamba-2',
    heads,
    headSize,
    groups,
    states: c.integer('mamba_d_state', { max: LIMITS.states, fallback: 256 }),
    taps: c.integer('mamba_d_conv', { max: LIMITS.taps, fallback: 4 }),
    convBias: c.boolean('mamba_conv_bias', true),
    stepLimits: readStepLimits(c),
    normGroups: 1,
  };
}

function readPositions(c: ConfigReader, headSize: number, maxContext: number): RopeConfig {
  if (c.oneOf('position_embedding_type', ['rope', 'nope'], 'nope') === 'rope') {
    return readRope(c, { headSize, maxContext, theta: 10_000 })('full_attention').rope;
  }
  c.irrelevant('rope_theta', 'rope_scaling', 'rope_parameters');
  return NO_ROPE;
}

function readFfn(c: ConfigReader): FfnConfig {
  if (c.integer('num_local_experts', { min: 0, fallback: 0 }) > 0) return readGraniteMoe(c);
  c.irrelevant('num_experts_per_tok', 'intermediate_size'); // of experts that are not there
  return { kind: 'dense', width: readWidth(c, 'shared_intermediate_size'), activation: readActivation(c) };
}

export const graniteMoeHybrid: Family = {
  id: 'granitemoehybrid',
  modelTypes: ['granitemoehybrid'],
  architectures: ['GraniteMoeHybridForCausalLM'],

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'granitemoehybrid');
    const heads = readHeads(c, model.hidden);
    const multipliers = readMultipliers(c);
    const rope = readPositions(c, heads.headSize, model.maxContext);
    const biased = c.boolean('attention_bias', false);
    const attention = groupedAttention(heads, rope, { scale: multipliers.attention, bias: { qkv: biased, o: biased } });
    c.irrelevant('init_method'); // how training began
    c.only('normalization_function', 'rmsnorm');
    const mamba = readMamba(c, model.hidden);
    // As transformers 4 calls them, and as 5 does.
    const mixers: Record<string, MixerConfig> = {
      attention,
      full_attention: attention,
      mamba,
      linear_attention: mamba,
    };
    const ffn = readFfn(c);
    const layers = readMixerTypes(c, layerCount, mixers).map((mixer) => ({ mixer: mixer, ffn }));
    return { ...model, ...multipliers.model, layers };
  },

  names(config) {
    const llama = llamaNames(config, {
      ...GRANITE_NAMING,
      recurrent: (layer, mixer) => {
        invariant(mixer.kind === 'mamba-2', 'a token mixer of another family');
        return mambaNames(`${layer}.mamba`, mixer);
      },
    });
    return {
      ...llama,
      layer(i) {
        const names = llama.layer(i);
        const { ffn } = config.layers[i]!;
        if (ffn.kind !== 'dense') return names;
        return { ...names, ffn: { kind: 'dense', ...sharedNames(`model.layers.${i}`, ffn.width) } };
      },
    };
  },
};
