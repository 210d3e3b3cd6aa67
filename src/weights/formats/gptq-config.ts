/** `quantization_config` of GPTQ (AutoGPTQ, GPTQModel, Optimum): bits and groups, for all modules and, in `dynamic`, for some. */
import { ConfigReader, type Json } from '../../config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import { cached } from './config-cache.ts';
import { compilePattern, PatternError } from './target-pattern.ts';

export interface GptqScheme {
  readonly bits: 4 | 8;
  /** null: all weights of a row share a scale. */
  readonly group: number | null;
  /** Columns are in the order of their activations, so that `g_idx` says which group each belongs to. */
  readonly actOrder: boolean;
  /** What is added to a stored zero point: `gptq` stores one less, `gptq_v2` the zero point itself. */
  readonly zeroOffset: 0 | 1;
}

export interface GptqConfig {
  /** @throws InvalidCheckpoint when the config says that the module is not quantised */
  schemeOf(module: string): GptqScheme;
}

const PATH = 'config.json: quantization_config';
const MAX_OVERRIDES = 256;

/** How it was quantised, and with which kernel somebody ran it; nothing of it changes what the stored integers stand for. */
const HISTORY =
  `quant_method damp_percent damp_auto_increment true_sequential static_groups model_name_or_path model_file_base_name
  cache_block_outputs batch_size dataset tokenizer use_cuda_fp16 use_exllama disable_exllama exllama_config max_input_length model_seqlen
  backend pad_token_id block_name_to_quantize module_name_preceding_first_block modules_in_block_to_quantize sym meta act_group_aware mse
  quantizer lm_head hyb_act gptaq v2 rotation is_marlin_format inside_layer_modules group_aware`.split(/\s+/);

function readScheme(c: ConfigReader, base: GptqScheme | null): GptqScheme {
  c.only('bits', 4, 8);
  const bits = c.integer('bits', { min: 4, max: 8, ...(base && { fallback: base.bits }) }) === 4 ? 4 : 8;
  const size = c.integer('group_size', { min: -1, fallback: base ? (base.group ?? -1) : 128 });
  if (size === 0) c.fail('group_size', '-1 or at least 1');
  const actOrder = c.boolean('desc_act', base?.actOrder ?? false);
  c.irrelevant(...HISTORY);
  return { bits, group: size === -1 ? null : size, actOrder, zeroOffset: base?.zeroOffset ?? 1 };
}

interface Override {
  readonly matches: (module: string) => boolean;
  /** null: left alone. */
  readonly scheme: GptqScheme | null;
}

function readOverride(key: string, settings: ConfigReader, base: GptqScheme): Override {
  const isExcluded = key.startsWith('-:');
  const pattern = key.replace(/^[+-]:/, '');
  const scheme = isExcluded ? null : readScheme(settings, base);
  if (!isExcluded) settings.finish();
  try {
    return { matches: compilePattern(pattern), scheme };
  } catch (cause) {
    if (!(cause instanceof PatternError)) throw cause;
    const shown = JSON.stringify(pattern.slice(0, 80));
    throw new UnsupportedModel(`${PATH}: dynamic: the pattern ${shown} ${cause.message}`, { pattern }, { cause });
  }
}

/** @throws UnsupportedModel, InvalidCheckpoint */
function read(quantization: Json): GptqConfig {
  const c = new ConfigReader(quantization, PATH);
  // Marlin and the like store the integers in an order made for one GPU.
  c.only('checkpoint_format', 'gptq', 'gptq_v2');
  c.only('format', 'gptq', 'gptq_v2');
  c.only('is_marlin_format', false);
  c.only('pack_dtype', 'int32');
  c.only('method', 'gptq');
  const isSecond = (c.raw('checkpoint_format') ?? c.raw('format')) === 'gptq_v2';
  const base: GptqScheme = { ...readScheme(c, null), zeroOffset: isSecond ? 0 : 1 };
  const dynamic = c.section('dynamic');
  c.finish();
  const keys = dynamic?.keys() ?? [];
  if (keys.length > MAX_OVERRIDES)
    throw new UnsupportedModel(`${PATH}: dynamic has ${keys.length} patterns; at most ${MAX_OVERRIDES} are read`, {});
  const overrides = keys.map((key) => readOverride(key, dynamic!.section(key) ?? dynamic!.empty(key), base));
  return {
    schemeOf(module) {
      const found = overrides.find((o) => o.matches(module));
      if (!found) return base;
      if (found.scheme) return found.scheme;
      throw new InvalidCheckpoint('quantization', `${module} is quantised, but ${PATH}: dynamic says that it is not`, {
        tensor: module,
      });
    },
  };
}

export const gptqConfig = cached(read);
