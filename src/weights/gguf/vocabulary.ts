/** `tokenizer.ggml.*`: tokens with what they are, scores or merges, and the ids with a meaning; checked against each other. */
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import type { MetadataValue } from './values.ts';

/** llama.cpp's numbers for what a token is. */
const TYPES = ['undefined', 'normal', 'unknown', 'control', 'user-defined', 'unused', 'byte'] as const;
export type TokenType = (typeof TYPES)[number];

export interface GgufToken {
  readonly id: number;
  readonly text: string;
  readonly type: TokenType;
  readonly score: number;
}

export class Vocabulary {
  readonly file: string;
  readonly tokens: readonly GgufToken[];
  readonly #metadata: ReadonlyMap<string, MetadataValue>;

  /** @throws InvalidCheckpoint ('tokenizer') for lists that do not fit each other */
  constructor(metadata: ReadonlyMap<string, MetadataValue>, file: string) {
    this.#metadata = metadata;
    this.file = file;
    const texts = this.strings('tokens') ?? this.refuse('has no tokenizer.ggml.tokens');
    const types = this.#numbers('token_type', texts.length);
    const scores = this.#numbers('scores', texts.length);
    this.tokens = texts.map((text, id) => ({
      id,
      text,
      type: TYPES[types?.[id] ?? 1] ?? 'undefined',
      score: scores?.[id] ?? 0,
    }));
  }

  refuse(what: string): never {
    throw new InvalidCheckpoint('tokenizer', `${this.file} ${what}`, { file: this.file });
  }

  unsupported(what: string): never {
    throw new UnsupportedModel(`${this.file} ${what}`, { file: this.file });
  }

  #raw(key: string): MetadataValue | undefined {
    return this.#metadata.get(`tokenizer.ggml.${key}`);
  }

  #numbers(key: string, count: number): readonly number[] | null {
    const list = this.#raw(key);
    if (list === undefined) return null;
    if (!Array.isArray(list) || list.length < count || list.some((v) => typeof v !== 'number'))
      return this.refuse(`must have a number for each of its ${count} tokens in tokenizer.ggml.${key}`);
    return list as readonly number[];
  }

  strings(key: string): readonly string[] | null {
    const list = this.#raw(key);
    if (list === undefined) return null;
    if (!Array.isArray(list) || list.some((v) => typeof v !== 'string'))
      return this.refuse(`must have a list of texts in tokenizer.ggml.${key}`);
    return list as readonly string[];
  }

  text(key: string): string | null {
    const value = this.#raw(key);
    return typeof value === 'string' ? value : null;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#raw(key);
    return typeof value === 'boolean' ? value : fallback;
  }

  /** The token that `key` names. */
  named(key: string): GgufToken | null {
    const id = this.#raw(key);
    if (id === undefined) return null;
    const token = typeof id === 'number' ? this.tokens[id] : undefined;
    return token ?? this.refuse(`names the token ${String(id)} in tokenizer.ggml.${key}, of ${this.tokens.length}`);
  }
}
