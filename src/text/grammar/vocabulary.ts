/** A model's tokens, sorted so that the ones that may come next are found without trying each: made once a model. */
import { TokenFinder } from '../added-tokens.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { buildTrie, childOf, type Trie } from './trie.ts';

/** Symbols of a constraint are bytes and, from here on, added tokens: 256 + id. */
export const FIRST_ADDED = 256;

export interface Vocabulary {
  /** V: one more than the largest id that has a logit. */
  readonly size: number;
  readonly endTokens: readonly number[];
  readonly added: TokenFinder;
  /** All tokens that have bytes. */
  readonly all: Trie;
  /** Those that are no runs: with a quote, a backslash, a control character or part of a character. */
  readonly rest: Trie;
  /** Tokens of whole characters that a JSON string holds as they are. */
  readonly runs: Runs;
  /** 1 where a token of this one byte exists. */
  readonly singles: Uint8Array;
  /** A token as the symbols that a constraint sees. */
  symbolsOf(id: number): Iterable<number>;
}

export interface Runs {
  /** Ids in order of length; those of n characters are [starts[n], starts[n + 1]). */
  readonly ids: Int32Array;
  readonly starts: Int32Array;
  /** Characters (code points) of the longest. */
  readonly longest: number;
  /** [ceil(V / 32)] */
  readonly mask: Uint32Array;
}

export const wordsOf = (size: number): number => Math.ceil(size / 32);
export const setBit = (bits: Uint32Array, id: number): void => void (bits[id >>> 5]! |= 1 << (id & 31));

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @returns characters of a run, 0 for what is none; `key` has one UTF-16 unit a byte */
function runLength(key: string, bytes: Uint8Array): number {
  if (/^[ !#-[\]-\x7f]+$/.test(key)) return key.length;
  if (/["\\]/.test(key) || bytes.some((byte) => byte < 0x20)) return 0;
  try {
    return Array.from(strict.decode(bytes)).length;
  } catch {
    return 0;
  }
}

function collectRuns(lengths: Uint16Array): Runs {
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0);
  const starts = new Int32Array(longest + 2);
  for (const n of lengths) if (n > 0) starts[n + 1]!++;
  for (let n = 1; n < starts.length; n++) starts[n]! += starts[n - 1]!;
  const ids = new Int32Array(starts.at(-1)!);
  const next = starts.slice();
  const mask = new Uint32Array(wordsOf(lengths.length));
  lengths.forEach((n, id) => {
    if (n === 0) return;
    ids[next[n]!++] = id;
    setBit(mask, id);
  });
  return { ids, starts, longest, mask };
}

/**
 * @param endTokens ids that end an answer: allowed where the text may end, and nowhere else
 * @param size V, rows of the logits; default: the tokenizer's. Ids without a token are never allowed
 * @throws UnsupportedModel when the tokens have no bytes of their own
 */
export function prepareVocabulary(
  tokenizer: Pick<Tokenizer, 'idToBytes' | 'addedTokens' | 'vocabSize'>,
  endTokens: readonly number[],
  size: number = tokenizer.vocabSize,
): Vocabulary {
  const ends = new Set(endTokens);
  const keys: [string, number][] = [];
  const lengths = new Uint16Array(size);
  const singles = new Uint8Array(256);
  for (let id = 0; id < Math.min(size, tokenizer.vocabSize); id++) {
    const bytes = ends.has(id) ? null : tokenizer.idToBytes(id);
    if (!bytes?.length) continue;
    const key = String.fromCharCode(...bytes);
    keys.push([key, id]);
    lengths[id] = runLength(key, bytes);
    if (bytes.length === 1) singles[bytes[0]!] = 1;
  }
  keys.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const added = tokenizer.addedTokens.filter((t) => t.id < size && !ends.has(t.id) && !tokenizer.idToBytes(t.id));
  return {
    size,
    endTokens,
    added: new TokenFinder(added.map((token) => [token.content, token])),
    all: buildTrie(keys, size),
    rest: buildTrie(
      keys.filter(([, id]) => lengths[id] === 0),
      size,
    ),
    runs: collectRuns(lengths),
    singles,
    symbolsOf: (id) => tokenizer.idToBytes(id) ?? [FIRST_ADDED + id],
  };
}

/** @returns [n + 1] fewest tokens that spell symbols [i, n), Infinity where none do */
export function spellingCosts({ all }: Vocabulary, symbols: readonly number[]): number[] {
  const costs = new Array<number>(symbols.length + 1).fill(Infinity);
  costs[symbols.length] = 0;
  for (let i = symbols.length - 1; i >= 0; i--) {
    if (symbols[i]! >= FIRST_ADDED) costs[i] = 1 + costs[i + 1]!;
    let node = -1;
    for (let j = i; j < symbols.length && (node = childOf(all, node, symbols[j]!)) >= 0; j++) {
      if (all.tokens[node]! >= 0) costs[i] = Math.min(costs[i]!, 1 + costs[j + 1]!);
    }
  }
  return costs;
}
