/** `quantization_config` of compressed-tensors: which modules are packed, and how. What would change numbers in another way is refused by name. */
import { ConfigReader, type Json } from '../../config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import { compilePattern, PatternError } from './target-pattern.ts';

const PATH = 'config.json: quantization_config';

export interface PackedScheme {
  readonly bits: 4 | 8;
  /** Weights of a row that share a scale; null: the whole row, or the whole matrix. */
  readonly group: number | null;
  readonly strategy: 'group' | 'channel' | 'tensor';
  readonly symmetric: boolean;
}

export interface CompressedConfig {
  /** @throws InvalidCheckpoint, UnsupportedModel when no group, or more than one, claims the module */
  schemeOf(module: string): PackedScheme;
}

/** Most regular expressions in one config: each is tried on each packed module. */
const MAX_PATTERNS = 256;

class Targets {
  readonly #names: ReadonlySet<string>;
  readonly #patterns: readonly ((text: string) => boolean)[];

  constructor(targets: readonly string[], where: string) {
    this.#names = new Set(targets.filter((t) => !t.startsWith('re:')));
    const patterns = targets.filter((t) => t.startsWith('re:'));
    if (patterns.length > MAX_PATTERNS)
      throw new UnsupportedModel(`${where} has ${patterns.length} patterns; at most ${MAX_PATTERNS} are read`, {
        where,
      });
    this.#patterns = patterns.map((target) => {
      try {
        return compilePattern(target.slice(3));
      } catch (cause) {
        if (!(cause instanceof PatternError)) throw cause;
        const shown = JSON.stringify(target.slice(0, 80));
        throw new UnsupportedModel(
          `${where}: the pattern ${shown} ${cause.message}`,
          { where, pattern: target.slice(0, 80) },
          { cause },
        );
      }
    });
  }

  /** 0 by its own name, 1 by a pattern, 2 by its class, null not at all: compressed-tensors' order of preference. */
  rank(module: string): 0 | 1 | 2 | null {
    if (this.#names.has(module)) return 0;
    if (this.#patterns.some((matches) => matches(module))) return 1;
    return this.#names.has('Linear') ? 2 : null; // every packed module is a Linear
  }
}

const isString = (item: Json): item is string => typeof item === 'string';

function readWeights(weights: ConfigReader): PackedScheme {
  const unsupported = (what: string): never => {
    throw new UnsupportedModel(`${weights.path}: ${what}`, { path: weights.path });
  };
  weights.only('type', 'int');
  weights.only('num_bits', 4, 8);
  weights.only('dynamic', false);
  weights.only('block_structure');
  // Rounding order of the quantiser; with "group" the columns are permuted and need weight_g_idx.
  weights.only('actorder', false, 'weight', 'static');
  weights.irrelevant('observer', 'observer_kwargs', 'scale_dtype', 'zp_dtype');
  const bits = weights.integer('num_bits', { min: 4, max: 8 }) === 4 ? 4 : 8;
  const group = weights.has('group_size') ? weights.integer('group_size', { min: -1, fallback: -1 }) : -1;
  const strategy = weights.oneOf(
    'strategy',
    ['group', 'channel', 'tensor', 'block', 'token', 'tensor_group'],
    group > 0 ? 'group' : 'channel',
  );
  const symmetric = weights.boolean('symmetric', true);
  weights.finish();
  if (strategy === 'block' || strategy === 'token' || strategy === 'tensor_group')
    return unsupported(`strategy "${strategy}" is not supported (only group, channel, tensor)`);
  if (strategy !== 'group') return { bits, group: null, strategy, symmetric };
  if (group < 1) return unsupported('strategy "group" needs a group_size');
  return { bits, group, strategy, symmetric };
}

interface Group {
  readonly name: string;
  readonly targets: Targets;
  readonly scheme: PackedScheme;
}

function readGroup(config: ConfigReader, name: string, format: Json | undefined): Group | null {
  const targets = config.list<string>('targets', isString, 'module names, classes or re: patterns');
  // Rounded activations give other numbers than the ones we compute.
  config.only('input_activations');
  config.only('output_activations');
  const own = config.raw('format') ?? format;
  const weights = config.section('weights');
  config.finish();
  if (!weights) return null;
  if (own !== 'pack-quantized') {
    throw new UnsupportedModel(
      `${config.path}: format ${JSON.stringify(own)} is not supported (only "pack-quantized")`,
      { path: config.path, format: own },
    );
  }
  return { name, targets: new Targets(targets, `${config.path}: targets`), scheme: readWeights(weights) };
}

/** @throws UnsupportedModel, InvalidCheckpoint */
function read(quantization: Json): CompressedConfig {
  const config = new ConfigReader(quantization, PATH);
  config.irrelevant('quant_method', 'quantization_status', 'global_compression_ratio', 'version', 'run_compressed');
  config.only('kv_cache_scheme');
  config.only('transform_config', {});
  const sparsity = config.section('sparsity_config');
  if (sparsity && sparsity.has('format')) sparsity.only('format', 'dense');
  const format = config.raw('format');
  config.only('format', 'pack-quantized', 'mixed-precision');
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

function pick(groups: readonly Group[], ignored: Targets, module: string): PackedScheme {
  const ranks = groups.map((g) => g.targets.rank(module) ?? 3);
  const best = Math.min(3, ...ranks);
  const chosen = groups.filter((_, i) => ranks[i] === best);
  const [first] = chosen;
  const ignoredBy = ignored.rank(module);
  if (best === 3 || !first || ignoredBy === 0 || ignoredBy === 1) {
    throw new InvalidCheckpoint(
      'quantization',
      `${module} is packed, but quantization_config ${ignoredBy === null ? 'has no group for it' : 'says to ignore it'}`,
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

const configs = new WeakMap<object, CompressedConfig>();

/** @throws UnsupportedModel, InvalidCheckpoint */
export function compressedConfig(quantization: Json): CompressedConfig {
  if (quantization === null || typeof quantization !== 'object') return read(quantization);
  let found = configs.get(quantization);
  if (!found) configs.set(quantization, (found = read(quantization)));
  return found;
}
