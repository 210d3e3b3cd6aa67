/** Nemotron-H and Nemotron 3 Nano: blocks of one part each, Mamba-2, attention without positions, experts or a dense FFN; none of the FFNs has gates. */
import { LIMITS, readBase, readHeads, readWidth } from '../config/axes.ts';
import type {
  Activation,
  FfnConfig,
  LayerConfig,
  Mamba2,
  MixerConfig,
  ModelConfig,
  MoeFfn,
} from '../config/model-config.ts';
import type { ConfigReader, Json } from '../config/read.ts';
import { NO_ROPE } from '../config/rope.ts';
import { UnsupportedModel } from '../errors.ts';
import { invariant } from '../util/assert.ts';
import {
  stackedRows,
  type Family,
  type GluNames,
  type LayerNames,
  type MatrixName,
  type TensorNames,
} from './family.ts';
import { readStepLimits } from './granitemoehybrid.ts';
import { mambaNames } from './mamba-names.ts';
import { groupedAttention } from './parts.ts';
import { readSigmoidMoe } from './sigmoid-moe.ts';

const ACTIVATION: Activation = { kind: 'relu-squared' };
const NONE: FfnConfig = { kind: 'none' };

/** As `hybrid_override_pattern` calls blocks, and as `layers_block_type` does, in transformers 4 and in 5. */
const BLOCKS: Readonly<Record<string, string>> = {
  M: 'M',
  '*': '*',
  E: 'E',
  '-': '-',
  mamba: 'M',
  linear_attention: 'M',
  attention: '*',
  full_attention: '*',
  moe: 'E',
  mlp: '-',
};

const isString = (item: Json): item is string => typeof item === 'string';

/** Where there are both, the list holds, and the pattern is for older readers. */
const keyOfBlocks = (c: ConfigReader): string =>
  c.raw('hybrid_override_pattern') !== undefined && c.raw('layers_block_type') === undefined
    ? 'hybrid_override_pattern'
    : 'layers_block_type';

function readBlocks(c: ConfigReader): readonly string[] {
  const key = keyOfBlocks(c);
  const pattern = c.raw(key);
  const names = typeof pattern === 'string' ? [...pattern] : c.list(key, isString, 'names of blocks');
  if (names.length === 0 || names.length > LIMITS.layers) c.fail(key, `1 to ${LIMITS.layers} blocks`);
  return names.map((name) => {
    if (Object.hasOwn(BLOCKS, name)) return BLOCKS[name]!;
    throw new UnsupportedModel(`${c.path}: blocks of type "${name}" are not supported (${key})`, {
      path: c.path,
      key,
      found: name,
    });
  });
}

function readMamba(c: ConfigReader): Mamba2 {
  c.only('mamba_hidden_act', 'silu');
  c.only('mamba_proj_bias', false);
  c.only('use_bias', false);
  // How the scan is cut, how training began, what the channels are besides heads times their size, how states are kept elsewhere.
  c.irrelevant('chunk_size', 'time_step_min', 'time_step_max', 'time_step_floor', 'expand', 'mamba_ssm_cache_dtype');
  c.irrelevant('use_mamba_kernels', 'rescale_prenorm_residual', 'residual_in_fp32');
  const heads = c.integer('mamba_num_heads', { max: LIMITS.heads });
  const groups = c.integer('n_groups', { max: heads });
  if (heads % groups) c.fail('n_groups', `a divisor of the ${heads} heads`);
  return {
    kind: 'mamba-2',
    heads,
    headSize: c.integer('mamba_head_dim', { max: LIMITS.headSize }),
    groups,
    states: c.integer('ssm_state_size', { max: LIMITS.states }),
    taps: c.integer('conv_kernel', { max: LIMITS.taps }),
    convBias: c.boolean('use_conv_bias', true),
    stepLimits: readStepLimits(c),
    normGroups: groups,
  };
}

/** The rows of up lie in pairs. */
function readEvenWidth(c: ConfigReader, key: string): number {
  const width = readWidth(c, key);
  if (width % 2) c.fail(key, 'even');
  return width;
}

function readMoe(c: ConfigReader, hidden: number): MoeFfn {
  readEvenWidth(c, 'moe_intermediate_size');
  const latent =
    c.raw('moe_latent_size') === undefined ? {} : { latent: c.integer('moe_latent_size', { max: hidden }) };
  const moe = { ...readSigmoidMoe(c, ACTIVATION), ...latent };
  // However many shared experts there are said to be, they are one of this width.
  return moe.shared
    ? { ...moe, shared: { ...moe.shared, width: readEvenWidth(c, 'moe_shared_expert_intermediate_size') } }
    : moe;
}

const readDense = (c: ConfigReader): FfnConfig => ({
  kind: 'dense',
  width: readEvenWidth(c, 'intermediate_size'),
  activation: ACTIVATION,
});

function refuseAlone(c: ConfigReader, block: number): never {
  const key = keyOfBlocks(c);
  throw new UnsupportedModel(
    `${c.path}: block ${block} is a feed-forward without a token mixer in front of it, which is not supported (${key})`,
    { path: c.path, key },
  );
}

/** A layer is a block that mixes tokens, and the feed-forward behind it where there is one. */
function paired(
  c: ConfigReader,
  blocks: readonly string[],
  mixers: Readonly<Record<string, MixerConfig>>,
  ffns: Readonly<Record<string, FfnConfig>>,
): LayerConfig[] {
  const layers: LayerConfig[] = [];
  blocks.forEach((block, i) => {
    const mixer = mixers[block];
    const last = mixer ? { mixer, ffn: NONE } : layers.pop();
    if (last?.ffn.kind !== 'none') refuseAlone(c, i);
    layers.push(mixer ? last : { ...last, ffn: ffns[block]! });
  });
  return layers;
}

const halves = (block: string, width: number): GluNames<MatrixName> => {
  const [gate, up] = stackedRows(`${block}.up_proj`, [width / 2, width / 2]);
  return { gate, up, down: `${block}.down_proj` };
};

function mixerNames(at: string, mixer: MixerConfig): LayerNames['mixer'] {
  if (mixer.kind === 'mamba-2') return mambaNames(at, mixer);
  invariant(mixer.kind === 'grouped', 'a token mixer of another family');
  const [q, k, v, o] = ['q', 'k', 'v', 'o'].map((name) => `${at}.${name}_proj`) as [string, string, string, string];
  return { kind: 'grouped', q, k, v, o, qNorm: null, kNorm: null, sinks: null };
}

function ffnNames(at: string, ffn: FfnConfig): LayerNames['ffn'] {
  if (ffn.kind === 'none') return ffn;
  if (ffn.kind === 'dense') return { kind: 'dense', ...halves(at, ffn.width) };
  return {
    kind: 'moe',
    router: `${at}.gate`,
    routerBias: null,
    selectionBias: `${at}.gate.e_score_correction_bias`,
    experts: [{ kind: 'separate', expert: (e) => halves(`${at}.experts.${e}`, ffn.width) }],
    ...(ffn.latent && { latent: { down: `${at}.fc1_latent_proj`, up: `${at}.fc2_latent_proj` } }),
    shared: ffn.shared && halves(`${at}.shared_experts`, ffn.shared.width),
    sharedGate: null,
  };
}

/** By layer the number of its first block, and at the end how many there are. */
function firstBlocks({ layers }: ModelConfig): number[] {
  const firsts = [0];
  for (const { ffn } of layers) firsts.push(firsts.at(-1)! + (ffn.kind === 'none' ? 1 : 2));
  return firsts;
}

export const nemotronH: Family = {
  id: 'nemotron-h',
  modelTypes: ['nemotron_h'],
  architectures: ['NemotronHForCausalLM'],

  readConfig(c) {
    const blocks = readBlocks(c);
    const { model, layerCount } = readBase(
      c,
      'nemotron-h',
      ['layer_norm_epsilon', 'norm_eps', 'rms_norm_eps'],
      blocks.length,
    );
    if (layerCount !== blocks.length) c.fail('num_hidden_layers', `the number of blocks (${blocks.length})`);
    c.only('mlp_hidden_act', 'relu2');
    c.only('mlp_bias', false);
    c.only('attention_bias', false);
    c.only('sliding_window', null);
    // Of positions, which attention here has none of; of training; of further heads that predict tokens; of how transformers computes.
    c.irrelevant('rope_theta', 'partial_rotary_factor', 'rope_parameters', 'rope_scaling', 'hidden_dropout');
    c.irrelevant('num_nextn_predict_layers', 'mtp_layers_block_type', 'mtp_hybrid_override_pattern');
    c.irrelevant('num_logits_to_keep', 'moe_shared_expert_overlap');
    const mixers = { M: readMamba(c), '*': groupedAttention(readHeads(c, model.hidden), NO_ROPE) };
    const layers = paired(c, blocks, mixers, {
      ...(blocks.includes('E') && { E: readMoe(c, model.hidden) }),
      ...(blocks.includes('-') && { '-': readDense(c) }),
    });
    // Of feed-forwards that no block is.
    c.irrelevant(
      'intermediate_size',
      'moe_intermediate_size',
      'moe_shared_expert_intermediate_size',
      'moe_latent_size',
    );
    c.irrelevant('n_routed_experts', 'num_local_experts', 'n_shared_experts', 'num_experts_per_tok', 'norm_topk_prob');
    c.irrelevant('n_group', 'topk_group', 'routed_scaling_factor');
    return { ...model, layers };
  },

  names(config): TensorNames {
    const firsts = firstBlocks(config);
    const blockOf = (tensor: string): number => Number(/^backbone\.layers\.(\d+)\./.exec(tensor)?.[1] ?? -1);
    return {
      embed: 'backbone.embeddings',
      finalNorm: 'backbone.norm_f.weight',
      head: config.tieEmbeddings ? null : 'lm_head',
      layer(i) {
        const { mixer, ffn } = config.layers[i]!;
        const [first, second] = [firsts[i]!, firsts[i]! + 1].map((block) => `backbone.layers.${block}`) as [
          string,
          string,
        ];
        return {
          mixerNorm: `${first}.norm.weight`,
          mixer: mixerNames(`${first}.mixer`, mixer),
          ...(ffn.kind === 'none' ? {} : { ffnNorm: `${second}.norm.weight` }),
          ffn: ffnNames(`${second}.mixer`, ffn),
        };
      },
      ofLayer: (tensor) => blockOf(tensor) >= 0 && blockOf(tensor) < firsts.at(-1)!,
      ignored: (tensor) => tensor.startsWith('mtp.') || (config.tieEmbeddings && tensor.startsWith('lm_head.')),
    };
  },
};
