/** `quantization_config` of compressed-tensors: which modules are quantised, and how. What would change numbers in another way is refused by name. */
import { ConfigReader, type Json } from '../../config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import { cached } from './config-cache.ts';
import { PER_ROW, WHOLE, type ScaleBlock } from './scaled-fp8.ts';
import { Targets } from './targets.ts';

const PATH = 'config.json: quantization_config';

/** Integers, several in a word or one in a byte. */
export interface IntScheme {
  readonly kind: 'packed' | 'bytes';
  readonly bits: 4 | 8;
  /** Weights of a row that share a scale; null: the whole row, or the whole matrix. */
  readonly group: number | null;
  readonly strategy: 'group' | 'channel' | 'tensor';
  readonly symmetric: boolean;
  /** Columns are assigned to groups by `weight_g_idx`. */
  readonly actOrder: boolean;
}

export interface Fp8Scheme {
  readonly kind: 'fp8';
  readonly strategy: 'tensor' | 'channel' | 'block';
  readonly block: ScaleBlock;
}

export type Scheme = IntScheme | Fp8Scheme | { readonly kind: 'nvfp4' | 'mxfp4' };

export interface CompressedConfig {
  /** @throws InvalidCheckpoint, UnsupportedModel when no group, or more than one, claims the module */
  schemeOf(module: string): Scheme;
}

const isString = (item: Json): item is string => typeof item === 'string';

const FORMATS = [
  'pack-quantized',
  'int-quantized',
  'float-quantized',
  'naive-quantized',
  'nvfp4-pack-quantized',
  'mxfp4-pack-quantized',
] as const;
const STRATEGIES = ['group', 'channel', 'tensor', 'block', 'token', 'tensor_group'] as const;

const unsupported = (weights: ConfigReader, what: string): never => {
  throw new UnsupportedModel(`${weights.path}: ${what}`, { path: weights.path });
};

function readInt(weights: ConfigReader, kind: IntScheme['kind']): IntScheme {
  weights.only('type', 'int');
  weights.only('num_bits', 4, 8);
  weights.only('block_structure');
  // Only with "group" are the columns permuted; the others say in which order the quantiser rounded.
  weights.only('actorder', false, 'weight', 'static', 'group');
  const bits = weights.integer('num_bits', { min: 4, max: 8 }) === 4 ? 4 : 8;
  const group = weights.has('group_size') ? weights.integer('group_size', { min: -1, fallback: -1 }) : -1;
  const strategy = weights.oneOf('strategy', STRATEGIES, group > 0 ? 'group' : 'channel');
  const symmetric = weights.boolean('symmetric', true);
  const actOrder = weights.raw('actorder') === 'group';
  if (strategy === 'block' || strategy === 'token' || strategy === 'tensor_group')
    return unsupported(weights, `strategy "${strategy}" is not supported for integers (only group, channel, tensor)`);
  if (strategy !== 'group') return { kind, bits, group: null, strategy, symmetric, actOrder: false };
  if (group < 1) return unsupported(weights, 'strategy "group" needs a group_size');
  return { kind, bits, group, strategy, symmetric, actOrder };
}

const isSize = (item: Json): item is number => typeof item === 'number' && Number.isInteger(item) && item > 0;

function readFp8(weights: ConfigReader): Fp8Scheme {
  weights.only('type', 'float');
  weights.only('num_bits', 8);
  weights.only('symmetric', true);
  weights.only('actorder');
  weights.irrelevant('group_size');
  const strategy = weights.oneOf('strategy', STRATEGIES, 'tensor');
  const [rows, cols] = weights.list<number>('block_structure', isSize, 'two sizes', []);
  if (strategy === 'tensor') return { kind: 'fp8', strategy, block: WHOLE };
  if (strategy === 'channel') return { kind: 'fp8', strategy, block: PER_ROW };
  if (strategy !== 'block')
    return unsupported(weights, `strategy "${strategy}" is not supported for FP8 (only tensor, channel, block)`);
  if (rows === undefined || cols === undefined) return weights.fail('block_structure', 'two sizes');
  return { kind: 'fp8', strategy, block: { rows, cols } };
}

function readFp4(weights: ConfigReader, kind: 'nvfp4' | 'mxfp4'): Scheme {
  weights.only('type', 'float');
  weights.only('num_bits', 4);
  weights.only('symmetric', true);
  weights.only('strategy', ...(kind === 'nvfp4' ? ['tensor_group'] : ['group']));
  weights.only('group_size', kind === 'nvfp4' ? 16 : 32);
  weights.only('actorder');
  weights.only('block_structure');
  return { kind };
}

function readScheme(weights: ConfigReader, format: (typeof FORMATS)[number]): Scheme {
  if (format === 'pack-quantized') return readInt(weights, 'packed');
  if (format === 'int-quantized') return readInt(weights, 'bytes');
  if (format === 'float-quantized') return readFp8(weights);
  if (format !== 'naive-quantized') return readFp4(weights, format === 'nvfp4-pack-quantized' ? 'nvfp4' : 'mxfp4');
  return weights.raw('type') === 'float' ? readFp8(weights) : readInt(weights, 'bytes');
}

function readWeights(weights: ConfigReader, format: (typeof FORMATS)[number]): Scheme {
  weights.only('dynamic', false);
  weights.irrelevant('observer', 'observer_kwargs', 'scale_dtype', 'zp_dtype');
  const scheme = readScheme(weights, format);
  weights.finish();
  return scheme;
}

interface Group {
  readonly name: string;
  readonly targets: Targets;
  readonly scheme: Scheme;
}

function readGroup(config: ConfigReader, name: string, format: Json | undefined): Group | null {
  const targets = config.list<string>('targets', isString, 'module names, classes or re: patterns');
  // Activations are not rounded here: what comes out is nearer to the model that was quantised.
  config.irrelevant('input_activations');
  config.only('output_activations');
  const own = config.raw('format') ?? format;
  const weights = config.section('weights');
  config.finish();
  if (!weights) return null;
  const known = FORMATS.find((f) => f === own);
  if (!known) {
    const supported = FORMATS.map((f) => `"${f}"`).join(', ');
    throw new UnsupportedModel(`${config.path}: format ${JSON.stringify(own)} is not supported (only ${supported})`, {
      path: config.path,
      format: own,
    });
  }
  return { name, targets: new Targets(targets, `${config.path}: targets`), scheme: readWeights(weights, known) };
}

/** @throws UnsupportedModel, InvalidCheckpoint */
function read(quantization: Json): CompressedConfig {
  const config = new ConfigReader(quantization, PATH);
  config.irrelevant('quant_method', 'quantization_status', 'global_compression_ratio', 'version', 'run_compressed');
  config.irrelevant('kv_cache_scheme'); // keys and values are not rounded either
  config.only('transform_config', {});
  const sparsity = config.section('sparsity_config');
  if (sparsity && sparsity.has('format')) sparsity.only('format', 'dense');
  const format = config.raw('format');
  config.only('format', ...FORMATS, 'mixed-precision');
  const ignored = new Targets(
    config.list<string>('ignore', isString, 'module names or re: patterns', []),
    `${PATH}: ignore`,
  );
  const sections = config.section('config_groups');
  config.finish();
  if (!sections) throw new InvalidCheckpoint('quantization', `${PATH} has no config_groups`, { path: PATH });
  const groups: Group[] = [];
  for (const name of sections.keys()) {
    const group = readGroup(sections.section(name) ?? sections.fail(name, 'an object'), name, format);
    if (group) groups.push(group);
  }
  return { schemeOf: (module) => pick(groups, ignored, module) };
}

function pick(groups: readonly Group[], ignored: Targets, module: string): Scheme {
  const ranks = groups.map((g) => g.targets.rank(module) ?? 3);
  const best = Math.min(3, ...ranks);
  const chosen = groups.filter((_, i) => ranks[i] === best);
  const [first] = chosen;
  const ignoredBy = ignored.rank(module);
  if (best === 3 || !first || ignoredBy === 0 || ignoredBy === 1) {
    throw new InvalidCheckpoint(
      'quantization',
      `${module} is quantised, but quantization_config ${ignoredBy === null ? 'has no group for it' : 'says to ignore it'}`,
      { tensor: module },
    );
  }
  if (chosen.some((g) => JSON.stringify(g.scheme) !== JSON.stringify(first.scheme))) {
    const names = chosen.map((g) => g.name);
    throw new UnsupportedModel(
      `${module} is claimed by several groups of quantization_config that disagree: ${names.join(', ')}`,
      { tensor: module, groups: names },
    );
  }
  return first.scheme;
}

/** @throws UnsupportedModel, InvalidCheckpoint */
export const compressedConfig = cached(read);
