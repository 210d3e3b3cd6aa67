/** config.json and generation_config.json as text -> what the engine needs to know. Nothing here allocates by what a file claims. */
import type { Family, TensorNames } from '../families/family.ts';
import { findModel } from '../families/index.ts';
import { readTokenId, readTokenIds } from './axes.ts';
import { parseJson } from './json.ts';
import type { ModelConfig } from './model-config.ts';
import { ConfigReader, type Json } from './read.ts';

export interface LoadedConfig {
  readonly family: Family;
  readonly config: ModelConfig;
  readonly names: TensorNames;
  /** `quantization_config` as it stands; null for plain weights. weights/formats reads it. */
  readonly quantization: Json | null;
  /** The language model is part of one for several media: its tensors are called as weights/text-model.ts says. */
  readonly isNested: boolean;
}

/**
 * @param text config.json
 * @throws InvalidCheckpoint ('config') for what no model can be: damaged JSON, impossible or contradictory values
 * @throws UnsupportedModel naming the model type, the value or the keys that webmoe does not run
 */
export function readModelConfig(text: string): LoadedConfig {
  const json = parseJson(text, 'config.json');
  const { family, config: own, isNested } = findModel(json);
  const reader = new ConfigReader(own);
  const config = family.readConfig(reader);
  const quantization = readQuantization(reader);
  reader.finish();
  return { family, config, names: family.names(config), quantization, isNested };
}

/** MLX names its settings `quantization`, repeats them as `quantization_config`, and says no method in either. */
function readQuantization(reader: ConfigReader): Json | null {
  const own = reader.raw('quantization_config') ?? null;
  const mlx = reader.raw('quantization');
  if (mlx === undefined || typeof mlx !== 'object' || Array.isArray(mlx)) return mlx ?? own;
  return { quant_method: 'mlx', ...mlx };
}

/** What a checkpoint asks of sampling. null: the file does not say. */
export interface GenerationDefaults {
  /** null: the file does not say, config.json's hold. */
  readonly endTokens: readonly number[] | null;
  readonly beginToken: number | null;
  readonly doSample: boolean | null;
  readonly temperature: number | null;
  readonly topK: number | null;
  readonly topP: number | null;
  readonly minP: number | null;
  readonly repetitionPenalty: number | null;
  readonly maxNewTokens: number | null;
  /** What a decoder beside an encoder writes first. */
  readonly firstToken: number | null;
  /** Keys with a value that nothing here reads, for `inspect` to show. */
  readonly ignored: readonly string[];
}

const SAMPLING_KEYS = new Set(
  `eos_token_id bos_token_id do_sample temperature top_k top_p min_p repetition_penalty max_new_tokens forced_bos_token_id`.split(
    ' ',
  ),
);
/** Bookkeeping; saying that it is ignored would help nobody. */
const BOOKKEEPING = new Set(
  `pad_token_id transformers_version _from_model_config use_cache output_attentions output_hidden_states chat_format
  max_length cache_implementation return_dict_in_generate`.split(/\s+/),
);

/**
 * Unknown keys are no error here, unlike in config.json: the file holds wishes about sampling, which a request may override anyway, and
 * never changes what the model computes. They are listed in `ignored`.
 * @param text generation_config.json
 * @throws InvalidCheckpoint ('config') for damaged JSON and for values of the wrong type or range
 */
export function readGenerationConfig(text: string): GenerationDefaults {
  const path = 'generation_config.json';
  const c = new ConfigReader(parseJson(text, path), path);
  const given = <T>(key: string, read: () => T): T | null => (c.raw(key) === undefined ? null : read());
  const number = (key: string, min: number): number | null => given(key, () => c.number(key, { min }));
  const share = (key: string): number | null => {
    const value = number(key, 0);
    return value !== null && value > 1 ? c.fail(key, 'from 0 to 1') : value;
  };
  const repetitionPenalty = number('repetition_penalty', 0);
  if (repetitionPenalty === 0) c.fail('repetition_penalty', 'more than 0');
  return {
    endTokens: given('eos_token_id', () => readTokenIds(c, 'eos_token_id')),
    beginToken: readTokenId(c, 'bos_token_id'),
    doSample: given('do_sample', () => c.boolean('do_sample')),
    temperature: number('temperature', 0),
    topK: given('top_k', () => c.integer('top_k', { min: 0 })),
    topP: share('top_p'),
    minP: share('min_p'),
    repetitionPenalty,
    maxNewTokens: given('max_new_tokens', () => c.integer('max_new_tokens')),
    firstToken: readTokenId(c, 'forced_bos_token_id'),
    ignored: c.keys().filter((k) => c.raw(k) !== undefined && !SAMPLING_KEYS.has(k) && !BOOKKEEPING.has(k)),
  };
}
