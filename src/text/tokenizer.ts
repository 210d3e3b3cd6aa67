/**
 * Text to token ids and back. Normalizing, pre-tokenizing and merging are the library's (@huggingface/tokenizers); finding added tokens is
 * ours, because it must know which text a stranger wrote; decoding is ours, because it must work on a stream.
 */
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { InvalidRequest, UnsupportedModel } from '../errors.ts';
import { isPlainText, TokenFinder, type AddedToken, type Allowed, type Part, type Span } from './added-tokens.ts';
import { cleanedStream } from './cleanup.ts';
import { createDecoder, type TextStream } from './decoder.ts';
import { field } from './json.ts';
import { createTokenBytes } from './token-bytes.ts';
import { readTokenizerConfig } from './tokenizer-config.ts';
import { readTokenizerFile, refuse } from './tokenizer-file.ts';

export type { AddedToken, Span } from './added-tokens.ts';

export interface EncodeOptions {
  /** Added tokens in the text (`<|im_end|>`) become their ids; false: they are text like any other. Default true. */
  readonly special?: boolean;
  /** Stretches of `text` whose characters never become part of an added token: what somebody typed. In order, not overlapping. */
  readonly literal?: readonly Span[];
  /** Adds what the checkpoint's post-processor puts around a text (`<s>`). Default false; chat templates write it themselves. */
  readonly affixes?: boolean;
}

export interface DecodeOptions {
  /** Leaves special tokens out. Default false. */
  readonly skipSpecial?: boolean;
  /** Every blank stays, also where the checkpoint asks for blanks before punctuation to be taken away. Default false. */
  readonly verbatim?: boolean;
}

export interface IdStream {
  /** Text that is certain after this id. */
  push(id: number): string;
  end(): string;
}

export interface Tokenizer {
  /** @throws InvalidRequest when the text is too long for the library */
  encode(text: string, options?: EncodeOptions): number[];
  /** Ids outside the vocabulary (rows that only pad the embedding) have no text. */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  /** Decodes id by id; everything it returns, joined, is `decode` of all ids. */
  stream(options?: DecodeOptions): IdStream;
  idToToken(id: number): string | undefined;
  tokenToId(token: string): number | undefined;
  /**
   * The bytes that the id stands for in the middle of a text, perhaps part of a character; null for added tokens (other than runs of blanks) and
   * for ids without a token.
   * @throws UnsupportedModel when the decoder gives tokens no bytes of their own
   */
  idToBytes(id: number): Uint8Array | null;
  readonly addedTokens: readonly AddedToken[];
  /** One more than the largest id. */
  readonly vocabSize: number;
}

type Model = NonNullable<Library['model']>;

function build(json: object): Library {
  try {
    return new Library(json, { clean_up_tokenization_spaces: false });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UnsupportedModel(`tokenizer.json: ${reason.slice(0, 200)}`, { file: 'tokenizer.json' }, { cause });
  }
}

const overlaps = (spans: readonly Span[], start: number, end: number): boolean => {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle]!.end <= start) low = middle + 1;
    else high = middle;
  }
  return low < spans.length && spans[low]!.start < end;
};

class Encoder {
  readonly #library: Library;
  readonly #model: Model;
  readonly #controls: ReadonlySet<string>;
  /** Tokens found in the text as it is, and in normalized text. */
  readonly #raw: TokenFinder;
  readonly #normalized: TokenFinder;
  /** The normalized ones again, by the text as it is. */
  readonly #rawNormalized: TokenFinder;

  constructor(library: Library, model: Model, added: readonly AddedToken[]) {
    this.#library = library;
    this.#model = model;
    const normal = (token: AddedToken): boolean => token.normalized && library.normalizer !== null;
    const late = added.filter(normal);
    this.#controls = new Set(added.filter((t) => !isPlainText(t)).map((t) => t.content));
    this.#raw = new TokenFinder(added.filter((t) => !normal(t)).map((t) => [t.content, t]));
    this.#normalized = new TokenFinder(late.map((t) => [library.normalizer?.normalize(t.content) ?? t.content, t]));
    this.#rawNormalized = new TokenFinder(late.map((t) => [t.content, t]));
  }

  encode(text: string, literal: readonly Span[]): number[] {
    const allowed: Allowed = (token, start, end) => isPlainText(token) || !overlaps(literal, start, end);
    const ids: number[] = [];
    this.#raw.split(text, { start: 0, end: text.length }, allowed).forEach((part, index) => {
      if (part.token) ids.push(part.token.id);
      else this.#section(text, part, index, literal, ids);
    });
    return ids;
  }

  /** Text between two tokens: normalized, then searched for the tokens that are written in normalized text. */
  #section(text: string, span: Span, index: number, literal: readonly Span[], ids: number[]): void {
    const source = text.slice(span.start, span.end);
    const typed = overlaps(literal, span.start, span.end);
    const { text: plain, parts } = this.#split(source, () => true);
    if (!typed) return this.#parts(plain, parts, index, false, ids);
    const isControl = (part: Part): boolean => part.token !== null && !isPlainText(part.token);
    const mine: Allowed = (token, start, end) => !isPlainText(token) && !overlaps(literal, start, end);
    const templates = this.#rawNormalized.split(text, span, mine);
    const wanted = templates.filter(isControl).map((part) => part.token?.id);
    const found = parts.filter(isControl).map((part) => part.token?.id);
    if (wanted.length === found.length && wanted.every((id, i) => id === found[i])) {
      return this.#parts(plain, parts, index, true, ids);
    }
    templates.forEach((part, i) => {
      if (part.token) return void ids.push(part.token.id);
      const inner = this.#split(text.slice(part.start, part.end), isPlainText);
      this.#parts(inner.text, inner.parts, index + i, true, ids);
    });
  }

  #split(source: string, allowed: Allowed): { text: string; parts: Part[] } {
    const text = this.#library.normalizer ? this.#library.normalizer.normalize(source) : source;
    return { text, parts: this.#normalized.split(text, { start: 0, end: text.length }, allowed) };
  }

  #parts(text: string, parts: readonly Part[], index: number, typed: boolean, ids: number[]): void {
    parts.forEach((part, i) => {
      if (part.token) ids.push(part.token.id);
      else this.#words(text.slice(part.start, part.end), index + i, typed, ids);
    });
  }

  #words(text: string, index: number, typed: boolean, ids: number[]): void {
    const splitter = this.#library.pre_tokenizer;
    const words = splitter ? splitter.pre_tokenize(text, { section_index: index }) : [text];
    let tokens = this.#model._call(words);
    if (typed && tokens.some((token) => this.#controls.has(token))) tokens = words.flatMap((w) => this.#typedWord(w));
    for (const token of tokens) {
      const id = this.#model.tokens_to_ids.get(token) ?? this.#model.unk_token_id;
      if (id !== undefined) ids.push(id);
    }
  }

  /** Some vocabularies hold `</s>` as a piece that plain text can become; then the word is cut inside it. */
  #typedWord(word: string): string[] {
    const tokens = this.#model._call([word]);
    for (const token of tokens) {
      const at = this.#controls.has(token) ? word.indexOf(token) : -1;
      if (at < 0 || token.length < 2) continue;
      return [...this.#typedWord(word.slice(0, at + 1)), ...this.#typedWord(word.slice(at + 1))];
    }
    return tokens;
  }

  /** Ids that the post-processor puts before and after a text. */
  affixes(): { before: number[]; after: number[] } {
    const mark = '\uE000';
    const out = this.#library.post_processor?.post_process([mark], null, true).tokens ?? [mark];
    const at = out.indexOf(mark);
    const ids = (tokens: readonly string[]): number[] =>
      tokens.map((token) => {
        const id = this.#idOf(token);
        return id ?? refuse(`the post-processor adds ${JSON.stringify(token)}, which is no token`, { token });
      });
    return { before: ids(out.slice(0, at)), after: ids(out.slice(at + 1)) };
  }

  #idOf(token: string): number | undefined {
    for (const finder of [this.#raw, this.#rawNormalized]) {
      const [part] = finder.split(token, { start: 0, end: token.length }, (t) => t.content === token);
      if (part?.token) return part.token.id;
    }
    return this.#model.tokens_to_ids.get(token);
  }
}

/**
 * @param tokenizerJson text of tokenizer.json
 * @param tokenizerConfigJson text of tokenizer_config.json, if there is one
 * @param vocab rows of the embedding, where known
 * @throws InvalidCheckpoint ('tokenizer') when a file is damaged or hostile; UnsupportedModel when webmoe does not run such a tokenizer
 */
export function loadTokenizer(tokenizerJson: string, tokenizerConfigJson: string | null, vocab?: number): Tokenizer {
  const { json, addedTokens } = readTokenizerFile(tokenizerJson, vocab);
  const config = readTokenizerConfig(tokenizerConfigJson);
  const library = build(json);
  const model = library.model;
  if (!model) refuse('there is no model');
  const tokens = model.vocab.slice();
  const ids = new Map(model.tokens_to_ids);
  const special = new Set<number>();
  const controls = new Set<number>();
  for (const token of addedTokens) {
    tokens[token.id] = token.content;
    ids.set(token.content, token.id);
    if (token.special) special.add(token.id);
    if (!isPlainText(token)) controls.add(token.id);
  }
  const contents = new Set(addedTokens.map((t) => t.content));
  const decoder = createDecoder(field(json, 'decoder') ?? null, contents);
  let bytesOf: ((token: string) => Uint8Array) | null = null;
  const encoder = new Encoder(library, model, addedTokens);

  const stream = ({ skipSpecial = false, verbatim = false }: DecodeOptions = {}): IdStream => {
    const inner: TextStream = config.cleanUpSpaces && !verbatim ? cleanedStream(decoder()) : decoder();
    return {
      push(id) {
        const token = tokens[id];
        return token === undefined || (skipSpecial && special.has(id)) ? '' : inner.push(token);
      },
      end: () => inner.end(),
    };
  };

  return {
    encode(text, { special: recognise = true, literal = [], affixes = false } = {}) {
      try {
        const out = encoder.encode(text, recognise ? literal : [{ start: 0, end: text.length }]);
        if (!affixes) return out;
        const { before, after } = encoder.affixes();
        return [...before, ...out, ...after];
      } catch (cause) {
        if (!(cause instanceof RangeError)) throw cause;
        throw new InvalidRequest(`a text of ${text.length} characters is too long for this tokenizer`, {}, { cause });
      }
    },
    decode(list, options = {}) {
      const decoding = stream(options);
      let text = '';
      for (const id of list) text += decoding.push(id);
      return text + decoding.end();
    },
    stream,
    idToToken: (id) => tokens[id],
    tokenToId: (token) => ids.get(token),
    idToBytes(id) {
      const token = tokens[id];
      if (token === undefined || controls.has(id)) return null;
      bytesOf ??= createTokenBytes(field(json, 'decoder') ?? null);
      return bytesOf(token);
    },
    addedTokens,
    vocabSize: tokens.length,
  };
}
