/** The few things that tokenizer_config.json says and nothing else does. */
import { InvalidCheckpoint } from '../errors.ts';
import { field, isObject, parseJson, type Json, type JsonObject } from './json.ts';

export interface TokenizerConfig {
  /** Blanks before punctuation are taken away from decoded text. */
  readonly cleanUpSpaces: boolean;
  /** `bos_token`, `eos_token`... as text, for the chat template. */
  readonly namedTokens: Readonly<Record<string, string>>;
  /** One template, or several by name. */
  readonly chatTemplate: Json;
}

const LIMITS = { chars: 16 * 2 ** 20, depth: 64, containers: 1_000_000 };
const NAMED = ['bos_token', 'eos_token', 'unk_token', 'pad_token', 'sep_token', 'cls_token', 'mask_token'] as const;

function refuse(reason: string): never {
  throw new InvalidCheckpoint('tokenizer', `tokenizer_config.json ${reason}`, { file: 'tokenizer_config.json' });
}

function namedTokens(json: JsonObject): Record<string, string> {
  const named: Record<string, string> = {};
  for (const key of NAMED) {
    const value = field(json, key);
    const content = isObject(value) ? field(value, 'content') : value;
    if (typeof content === 'string') named[key] = content;
  }
  return named;
}

/** @throws InvalidCheckpoint ('tokenizer') when the file is no JSON object or too large */
export function readTokenizerConfig(source: string | null): TokenizerConfig {
  const json = source === null ? {} : parseJson(source, LIMITS, refuse);
  if (!isObject(json)) refuse('must hold an object');
  return {
    cleanUpSpaces: field(json, 'clean_up_tokenization_spaces') === true,
    namedTokens: namedTokens(json),
    chatTemplate: field(json, 'chat_template') ?? null,
  };
}
