/** The language model's config out of that of a model for several media: `text_config`, and what the whole says for it. */
import { InvalidCheckpoint } from '../errors.ts';
import { ConfigReader, type Json } from './read.ts';

type Keys = Readonly<Record<string, Json>>;

/** Said once for the whole model; the inner value, where there is one, has the last word. */
const SHARED = ['quantization_config', 'eos_token_id', 'bos_token_id', 'tie_word_embeddings', 'torch_dtype', 'dtype'];

/** Of the other media: their towers, and the tokens that stand for what they give. */
const OF_OTHER_MEDIA = /(_config|_token_id|_token_index|_token_ids|_tokens_per_image|_layer_index|_feature_layer)$/;

/** What published files call the layers of the language model inside a larger one. */
const ROOTS = /\b(model\.language_model|language_model\.model)\./g;

/** Names of tensors in `quantization_config`, as the language model calls them. */
const renamed = (quantization: Json): Json => JSON.parse(JSON.stringify(quantization).replace(ROOTS, 'model.')) as Json;

/**
 * @param outer config.json
 * @param inner its `text_config`
 * @returns one config, as the language model alone would publish it
 * @throws UnsupportedModel for keys of the whole that nobody knows
 */
export function textConfig(outer: Keys, inner: Json): Json {
  if (inner === null || typeof inner !== 'object' || Array.isArray(inner)) {
    throw new InvalidCheckpoint('config', 'config.json: text_config must be an object', { path: 'config.json' });
  }
  const reader = new ConfigReader(outer);
  reader.irrelevant('text_config', ...SHARED, ...reader.keys().filter((key) => OF_OTHER_MEDIA.test(key)));
  reader.finish();
  const shared = SHARED.filter((key) => (outer[key] ?? null) !== null).map((key) => [key, outer[key]!] as const);
  const whole = { ...Object.fromEntries(shared), ...inner };
  const quantization = whole.quantization_config ?? null;
  return quantization === null ? whole : { ...whole, quantization_config: renamed(quantization) };
}
