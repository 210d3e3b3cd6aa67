/**
 * Checked reading of config.json. Every key must be read, or declared irrelevant; what is left over is refused by name, so that a new
 * feature of a model is never silently ignored.
 */
import { InvalidCheckpoint, UnsupportedModel } from '../errors.ts';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Keys that change nothing about the numbers of inference, in any family. */
const IRRELEVANT = new Set(
  `_name_or_path architectures auto_map dtype torch_dtype transformers_version use_cache initializer_range attention_dropout
  attn_implementation _attn_implementation _attn_implementation_autoset output_attentions output_hidden_states output_router_logits router_aux_loss_coef
  pad_token_id sep_token_id return_dict is_decoder id2label label2id quantization_config model_type pretraining_tp
  tokenizer_class experts_implementation _experts_implementation unsloth_fixed unsloth_version`.split(/\s+/),
);

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
};

export class ConfigReader {
  readonly #values: ReadonlyMap<string, Json>;
  readonly #seen = new Set<string>();
  readonly path: string;

  constructor(json: Json, path = 'config.json') {
    if (json === null || typeof json !== 'object' || Array.isArray(json)) {
      throw new InvalidCheckpoint('config', `${path} must be an object, found ${shown(json)}`, { path });
    }
    this.path = path;
    this.#values = new Map(Object.entries(json));
  }

  fail(key: string, expected: string): never {
    const found = this.#values.get(key);
    throw new InvalidCheckpoint('config', `${this.path}: ${key} must be ${expected}, found ${shown(found)}`, {
      path: this.path,
      key,
      found,
    });
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  /** The raw value of the first of `keys` that is present and not null. */
  raw(...keys: string[]): Json | undefined {
    for (const key of keys) this.#seen.add(key);
    for (const key of keys) {
      const value = this.#values.get(key);
      if (value !== undefined && value !== null) return value;
    }
    return undefined;
  }

  #keyOf(keys: readonly string[]): string {
    return keys.find((k) => (this.#values.get(k) ?? null) !== null) ?? keys[0]!;
  }

  /** An integer of at least `min`; the first of several alias keys. Without `fallback` the key must be there. */
  integer(
    keys: string | readonly string[],
    { min = 1, max = 2 ** 31 - 1, fallback }: { min?: number; max?: number; fallback?: number } = {},
  ): number {
    const all = typeof keys === 'string' ? [keys] : keys;
    const value = this.raw(...all) ?? fallback;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      this.fail(this.#keyOf(all), `a whole number from ${min} to ${max}`);
    }
    return value;
  }

  number(
    keys: string | readonly string[],
    { min = -Infinity, fallback }: { min?: number; fallback?: number } = {},
  ): number {
    const all = typeof keys === 'string' ? [keys] : keys;
    const value = this.raw(...all) ?? fallback;
    if (typeof value !== 'number' || !Number.isFinite(value) || value < min) {
      this.fail(this.#keyOf(all), min === -Infinity ? 'a number' : `a number of at least ${min}`);
    }
    return value;
  }

  boolean(key: string, fallback?: boolean): boolean {
    const value = this.raw(key) ?? fallback;
    if (typeof value !== 'boolean') this.fail(key, 'true or false');
    return value;
  }

  oneOf<T extends string>(key: string, allowed: readonly T[], fallback?: T): T {
    const value = this.raw(key) ?? fallback;
    if (!allowed.includes(value as T)) this.fail(key, `one of ${allowed.map((a) => `"${a}"`).join(', ')}`);
    return value as T;
  }

  /** A list whose items pass `check`; absent gives `fallback`. */
  list<T>(
    key: string,
    check: (item: Json) => item is T & Json,
    expected: string,
    fallback?: readonly T[],
  ): readonly T[] {
    const value = this.raw(key);
    if (value === undefined && fallback) return fallback;
    if (!Array.isArray(value) || !value.every(check)) this.fail(key, `a list of ${expected}`);
    return value as unknown as readonly T[];
  }

  /** A nested object, or undefined when absent or null. Call `finish` on it too. */
  section(key: string): ConfigReader | undefined {
    const value = this.raw(key);
    return value === undefined ? undefined : new ConfigReader(value, `${this.path}: ${key}`);
  }

  /** An object without keys, for sections that may be left out. */
  empty(key: string): ConfigReader {
    return new ConfigReader({}, `${this.path}: ${key}`);
  }

  /** Keys that are there, in the order of the file. */
  keys(): readonly string[] {
    return [...this.#values.keys()];
  }

  /** Keys that exist in published files of this family and do not matter here; say why beside the call. */
  irrelevant(...keys: string[]): void {
    for (const key of keys) this.#seen.add(key);
  }

  /** A key that we run only with these values (absent and null are fine). */
  only(key: string, ...allowed: readonly Json[]): void {
    const value = this.raw(key);
    if (value !== undefined && !allowed.some((a) => JSON.stringify(a) === JSON.stringify(value))) {
      throw new UnsupportedModel(
        `${this.path}: ${key} = ${shown(value)} is not supported (only ${allowed.map(shown).join(' or ')})`,
        {
          path: this.path,
          key,
          found: value,
        },
      );
    }
  }

  /** Keys that nobody read, in the order of the file. */
  unread(): readonly string[] {
    return this.keys().filter((k) => !this.#seen.has(k) && !IRRELEVANT.has(k));
  }

  /** @throws UnsupportedModel naming every key that nobody read */
  finish(): void {
    const left = this.unread();
    if (left.length) {
      throw new UnsupportedModel(`${this.path} has keys that this model family does not know: ${left.join(', ')}`, {
        path: this.path,
        keys: left,
      });
    }
  }
}
