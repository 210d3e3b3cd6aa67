/** The shipped model's vocabulary, and small ones of given tokens. */
import { prepareVocabulary, type Vocabulary } from '../../../../../src/text/grammar/index.ts';
import { loadTokenizer } from '../../../../../src/text/tokenizer.ts';
import { shipped } from '../../support/fixtures.ts';

export const shippedTokenizer = loadTokenizer(shipped.tokenizerJson, shipped.tokenizerConfig);
export const shippedEnd = shippedTokenizer.tokenToId('<|im_end|>')!;
export const shippedVocabulary = prepareVocabulary(shippedTokenizer, [shippedEnd]);

const encoder = new TextEncoder();

export interface Small {
  readonly vocabulary: Vocabulary;
  readonly tokens: readonly (Uint8Array | null)[];
  readonly end: number;
}

/** Ids in the order given; after them the added tokens, an id without a token, and the end token. */
export function smallVocabulary(tokens: readonly (string | Uint8Array)[], added: readonly string[] = []): Small {
  const bytes = tokens.map((token) => (typeof token === 'string' ? encoder.encode(token) : token));
  const end = tokens.length + added.length + 1;
  const flags = { special: false, normalized: false, lstrip: false, rstrip: false, singleWord: false };
  const tokenizer = {
    vocabSize: end + 1,
    addedTokens: [
      ...added.map((content, i) => ({ id: tokens.length + i, content, ...flags })),
      { id: end, content: '<end>', ...flags, special: true },
    ],
    idToBytes: (id: number): Uint8Array | null => bytes[id] ?? null,
  };
  const all = Array.from({ length: end + 1 }, (_, id) => bytes[id] ?? null);
  return { vocabulary: prepareVocabulary(tokenizer, [end]), tokens: all, end };
}

export const allBytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
