/** The parts of config.json that families share, with the checks that must hold before anything is allocated. */
import { UnsupportedModel } from '../errors.ts';
import type { Activation, MixerConfig, ModelConfig, RouterConfig } from './model-config.ts';
import type { ConfigReader, Json } from './read.ts';

/** Limits of the kernels (E, K) and of good sense: published models stay far below the others. */
export const LIMITS = {
  hidden: 65_536,
  layers: 1024,
  heads: 1024,
  headSize: 1024,
  width: 2 ** 20,
  vocab: 2 ** 20,
  context: 2 ** 27,
  experts: 512,
  inner: 512,
  topK: 32,
  taps: 64,
  states: 1024,
  expand: 64,
} as const;

export type LayerType = 'full_attention' | 'sliding_attention';

const isInteger = (item: Json): item is number => Number.isInteger(item);
const isTokenId = (item: Json): item is number => isInteger(item) && item >= 0 && item < LIMITS.vocab;
const isString = (item: Json): item is string => typeof item === 'string';

/** One id or a list of them; absent gives none. */
export function readTokenIds(config: ConfigReader, key: string): readonly number[] {
  const value = config.raw(key);
  if (value === undefined) return [];
  if (isTokenId(value)) return [value];
  return config.list(key, isTokenId, 'token ids');
}

export const readTokenId = (config: ConfigReader, key: string): number | null =>
  config.raw(key) === undefined ? null : config.integer(key, { min: 0, max: LIMITS.vocab - 1 });

export interface Base {
  /** Everything but the layers. */
  readonly model: Omit<ModelConfig, 'layers'>;
  readonly layerCount: number; // L
}

/**
 * What every decoder has. Families of this project leave the head untied unless the file says so.
 * @param normEps the key of the norms' epsilon
 * @param layers L where `num_hidden_layers` is absent; default: it must be there
 */
export function readBase(
  config: ConfigReader,
  family: string,
  normEps: string | readonly string[] = 'rms_norm_eps',
  layers?: number,
): Base {
  return {
    model: {
      family,
      vocab: config.integer('vocab_size', { max: LIMITS.vocab }),
      hidden: config.integer('hidden_size', { max: LIMITS.hidden }),
      norm: 'rms',
      gainOffset: 0,
      preNorms: true,
      postNorms: false,
      normEps: config.number(normEps, { min: 0 }),
      embeddingScale: 1,
      residualScale: 1,
      head: { bias: false, scale: 1 },
      tieEmbeddings: config.boolean('tie_word_embeddings', false),
      maxContext: config.integer('max_position_embeddings', { max: LIMITS.context }),
      endTokens: readTokenIds(config, 'eos_token_id'),
      beginToken: readTokenId(config, 'bos_token_id'),
    },
    layerCount: config.integer('num_hidden_layers', {
      max: LIMITS.layers,
      ...(layers !== undefined && { fallback: layers }),
    }),
  };
}

/** Granite's multipliers. The softmax scale is `attention`, whatever the size of a head. */
export function readMultipliers(config: ConfigReader): {
  readonly model: Pick<ModelConfig, 'embeddingScale' | 'residualScale' | 'head'>;
  readonly attention: number;
} {
  const multiplier = (key: string): number => config.number(key, { fallback: 1 });
  const logits = multiplier('logits_scaling');
  if (logits === 0) config.fail('logits_scaling', 'a number other than 0, which logits are divided by');
  return {
    model: {
      embeddingScale: multiplier('embedding_multiplier'),
      residualScale: multiplier('residual_multiplier'),
      head: { bias: false, scale: 1 / logits },
    },
    attention: multiplier('attention_multiplier'),
  };
}

export interface Heads {
  readonly heads: number; // H
  readonly kvHeads: number; // Hk
  readonly headSize: number; // A
}

/** `headSize` is for families whose default is not hidden / heads. */
export function readHeads(config: ConfigReader, hidden: number, headSize?: number): Heads {
  const heads = config.integer('num_attention_heads', { max: LIMITS.heads });
  const kvHeads = config.integer('num_key_value_heads', { max: LIMITS.heads, fallback: heads });
  if (heads % kvHeads) config.fail('num_key_value_heads', `a divisor of the ${heads} attention heads`);
  const byDefault = headSize ?? hidden / heads;
  if (config.raw('head_dim') === undefined && !Number.isInteger(byDefault)) {
    config.fail('head_dim', `given, because hidden_size ${hidden} does not divide by ${heads} heads`);
  }
  return { heads, kvHeads, headSize: config.integer('head_dim', { max: LIMITS.headSize, fallback: byDefault }) };
}

const ACTIVATIONS: ReadonlyMap<string, Activation> = new Map<string, Activation>([
  ['silu', { kind: 'silu' }],
  ['swish', { kind: 'silu' }],
  ['gelu_pytorch_tanh', { kind: 'gelu-tanh' }],
  ['gelu_new', { kind: 'gelu-tanh' }],
]);

/** @throws UnsupportedModel naming `hidden_act` */
export function readActivation(config: ConfigReader): Activation {
  config.only('hidden_act', ...ACTIVATIONS.keys());
  return ACTIVATIONS.get(String(config.raw('hidden_act') ?? 'silu'))!;
}

export const readWidth = (config: ConfigReader, key: string): number => config.integer(key, { max: LIMITS.width });

/** Names that different releases give one number; where several are there, they must agree. */
function aliased(config: ConfigReader, keys: readonly string[]): { key: string; value: number } {
  const key = keys.find((k) => config.raw(k) !== undefined) ?? keys[0]!;
  const value = config.integer(key);
  for (const other of keys) {
    if ((config.raw(other) ?? value) !== value) config.fail(other, `the same as ${key} (${value})`);
  }
  return { key, value };
}

function within(config: ConfigReader, { key, value }: { key: string; value: number }, most: number): number {
  if (value <= most) return value;
  throw new UnsupportedModel(`${config.path}: ${key} = ${value} is not supported (at most ${most})`, {
    path: config.path,
    key,
    found: value,
  });
}

/** E and K. */
export function readExperts(config: ConfigReader): { experts: number; topK: number } {
  const experts = within(
    config,
    aliased(config, [
      'num_experts',
      'num_local_experts',
      'n_routed_experts',
      'moe_num_experts',
      'moe_num_primary_experts',
    ]),
    LIMITS.experts,
  );
  const chosen = aliased(config, [
    'num_experts_per_tok',
    'experts_per_token',
    'num_experts_per_token',
    'moe_topk',
    'moe_k',
    'moe_top_k',
    'top_k_experts',
    'moe_num_active_primary_experts',
  ]);
  if (chosen.value > experts) config.fail(chosen.key, `at most the number of experts (${experts})`);
  return { experts, topK: within(config, chosen, LIMITS.topK) };
}

type Groups = NonNullable<RouterConfig['groups']>;

/** `n_group` and `topk_group`; null where the mask would drop nothing. */
export function readGroups(
  config: ConfigReader,
  { experts, topK }: { experts: number; topK: number },
  how: Pick<Groups, 'rank' | 'dropped'>,
): Groups | null {
  const count = config.integer('n_group', { fallback: 1 });
  const keep = config.integer('topk_group', { fallback: 1 });
  if (experts % count) config.fail('n_group', `a divisor of the ${experts} experts`);
  if (keep > count) config.fail('topk_group', `at most n_group (${count})`);
  const size = experts / count;
  if (keep * size < topK) config.fail('topk_group', `enough for ${topK} experts per token (groups hold ${size})`);
  if (keep === count) return null;
  if (how.rank === 'top2-sum' && size < 2) config.fail('n_group', 'small enough for two experts in a group');
  return { count, keep, ...how };
}

/** `layer_types`, or what the family says of layer i when the key is absent. */
export function readLayerTypes(
  config: ConfigReader,
  layerCount: number,
  byDefault: (layer: number) => LayerType,
): readonly LayerType[] {
  if (config.raw('layer_types') === undefined) return Array.from({ length: layerCount }, (_, i) => byDefault(i));
  const types = config.list('layer_types', isString, 'strings');
  if (types.length !== layerCount) config.fail('layer_types', `a list of num_hidden_layers (${layerCount}) entries`);
  return types.map((type) => {
    if (type === 'full_attention' || type === 'sliding_attention') return type;
    throw new UnsupportedModel(`${config.path}: layers of type "${type}" are not supported (layer_types)`, {
      path: config.path,
      key: 'layer_types',
      found: type,
    });
  });
}

/** The token mixer of each layer, as `layer_types` lists them by name. @throws UnsupportedModel for a name that is not in `mixers` */
export function readMixerTypes(
  config: ConfigReader,
  layerCount: number,
  mixers: Readonly<Record<string, MixerConfig>>,
): readonly MixerConfig[] {
  const types = config.list('layer_types', isString, 'strings');
  if (types.length !== layerCount) config.fail('layer_types', `a list of num_hidden_layers (${layerCount}) entries`);
  return types.map((type) => {
    if (Object.hasOwn(mixers, type)) return mixers[type]!;
    throw new UnsupportedModel(`${config.path}: layers of type "${type}" are not supported (layer_types)`, {
      path: config.path,
      key: 'layer_types',
      found: type,
    });
  });
}

/** The window of a sliding layer. */
export const readWindow = (config: ConfigReader): number => config.integer('sliding_window', { max: LIMITS.context });

/** Which layers are Mixture-of-Experts: all but the first `first_k_dense_replace`, or as `mlp_layer_types` lists. */
export function readDensePrefix(config: ConfigReader, layerCount: number): (layer: number) => boolean {
  if (config.raw('mlp_layer_types') === undefined) {
    const dense = config.integer('first_k_dense_replace', { min: 0, max: layerCount });
    return (layer) => layer >= dense;
  }
  // Newer files list the layers and may keep the old key for old readers.
  config.irrelevant('first_k_dense_replace');
  const types = config.list('mlp_layer_types', isString, '"dense" and "sparse"');
  if (types.length !== layerCount) config.fail('mlp_layer_types', `a list of ${layerCount} entries`);
  if (types.some((t) => t !== 'dense' && t !== 'sparse')) config.fail('mlp_layer_types', '"dense" and "sparse" only');
  return (layer) => types[layer] === 'sparse';
}

/** Which layers are Mixture-of-Experts in Qwen: every `decoder_sparse_step`-th, except those of `mlp_only_layers`. */
export function readSparseStep(config: ConfigReader): (layer: number) => boolean {
  const step = config.integer('decoder_sparse_step', { fallback: 1 });
  const dense = new Set(config.list<number>('mlp_only_layers', isInteger, 'layer numbers', []));
  return (layer) => !dense.has(layer) && (layer + 1) % step === 0;
}
