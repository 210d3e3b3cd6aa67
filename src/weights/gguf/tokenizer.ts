/** The tokenizer of a GGUF file as a tokenizer.json: byte pairs by merges (`gpt2`) or pieces by score (`llama`, SentencePiece). */
import type { Json } from '../../config/read.ts';
import type { JsonObject } from './architectures.ts';
import { PRE_TOKENIZERS, type PreTokenizer } from './pre-tokenizers.ts';
import type { GgufToken, Vocabulary } from './vocabulary.ts';

/** Control tokens and those that users added: matched in text as a whole, before anything is cut. Unused ids have no text. */
const isAdded = ({ type }: GgufToken): boolean => type === 'control' || type === 'unknown' || type === 'user-defined';

function addedToken({ id, text, type }: GgufToken): JsonObject {
  const special = type !== 'user-defined';
  return { id, content: text, special, normalized: false, lstrip: false, rstrip: false, single_word: false };
}

/** Ids by text. The first of equal texts keeps its id: no text leads to the others. */
function idsOf(tokens: readonly GgufToken[]): Map<string, number> {
  const ids = new Map<string, number>();
  for (const { text, id } of tokens) if (!ids.has(text)) ids.set(text, id);
  return ids;
}

/** `<s>` before and `</s>` behind a text that is no chat. */
function affixes(vocabulary: Vocabulary, addBegin: boolean): Json {
  const begin = vocabulary.boolean('add_bos_token', addBegin) ? vocabulary.named('bos_token_id') : null;
  const end = vocabulary.boolean('add_eos_token', false) ? vocabulary.named('eos_token_id') : null;
  if (!begin && !end) return null;
  const special = [begin, end].flatMap((token) => (token ? [token] : []));
  const part = ({ text }: GgufToken): JsonObject => ({ SpecialToken: { id: text, type_id: 0 } });
  return {
    type: 'TemplateProcessing',
    single: [...(begin ? [part(begin)] : []), { Sequence: { id: 'A', type_id: 0 } }, ...(end ? [part(end)] : [])],
    pair: [],
    special_tokens: Object.fromEntries(special.map(({ text, id }) => [text, { id: text, ids: [id], tokens: [text] }])),
  };
}

function bytePairs(vocabulary: Vocabulary): JsonObject {
  const name = vocabulary.text('pre') ?? 'missing';
  const rule: PreTokenizer =
    PRE_TOKENIZERS.get(name) ??
    vocabulary.unsupported(
      `cuts text by the rule "${name.slice(0, 40)}" (tokenizer.ggml.pre), which is not known; known are ${[...PRE_TOKENIZERS.keys()].join(', ')}`,
    );
  const merges = vocabulary.strings('merges') ?? vocabulary.refuse('has no tokenizer.ggml.merges');
  const ids = idsOf(vocabulary.tokens.filter((t) => t.type !== 'unused' && !isAdded(t)));
  return {
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...rule.patterns.map((Regex) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })),
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: affixes(vocabulary, rule.addBegin ?? false),
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(withMerged(vocabulary, ids, merges)),
      merges: [...merges],
      ignore_merges: rule.ignoreMerges ?? false,
    },
  };
}

/** Merges may lead over tokens that are added ones, too: those keep their place in the vocabulary. */
function withMerged(vocabulary: Vocabulary, ids: Map<string, number>, merges: readonly string[]): Map<string, number> {
  const others = idsOf(vocabulary.tokens.filter(isAdded));
  for (const merge of merges) {
    const pair = merge.split(' ');
    for (const text of [...pair, pair.join('')]) {
      const id = ids.has(text) ? undefined : others.get(text);
      if (id !== undefined) ids.set(text, id);
    }
  }
  return ids;
}

const BLANK = '\u2581';

/** All ways to make a piece from two others, by falling score: then merging pairs in this order is what SentencePiece does. */
function mergesByScore(tokens: readonly GgufToken[], ids: ReadonlyMap<string, number>): [string, string][] {
  const byScore = [...tokens].sort((a, b) => b.score - a.score || a.id - b.id);
  return byScore.flatMap(({ text }) => {
    const letters = [...text];
    const found: [string, string][] = [];
    for (let cut = 1; cut < letters.length; cut++) {
      const pair: [string, string] = [letters.slice(0, cut).join(''), letters.slice(cut).join('')];
      if (ids.has(pair[0]) && ids.has(pair[1])) found.push(pair);
    }
    return found.sort((a, b) => ids.get(a[0])! - ids.get(b[0])! || ids.get(a[1])! - ids.get(b[1])!);
  });
}

/** Longest pieces have 16 characters (48 in a few vocabularies); a long one would make as many pairs as it has characters. */
const MAX_PIECE = 256;

function pieces(vocabulary: Vocabulary): JsonObject {
  const long = vocabulary.tokens.find((t) => t.type === 'normal' && t.text.length > MAX_PIECE);
  if (long) vocabulary.refuse(`has a token of ${long.text.length} characters; at most ${MAX_PIECE} are read`);
  const unknown = vocabulary.named('unknown_token_id') ?? vocabulary.tokens.find((t) => t.type === 'unknown') ?? null;
  const normal = vocabulary.tokens.filter((t) => t.type === 'normal' || t.type === 'undefined');
  const bytes = vocabulary.tokens.filter((t) => t.type === 'byte');
  const ids = idsOf([...normal, ...bytes, ...(unknown ? [unknown] : [])]);
  const hasPrefix = vocabulary.boolean('add_space_prefix', true);
  const prefix = hasPrefix ? [{ type: 'Prepend', prepend: BLANK }] : [];
  const strip = hasPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : [];
  return {
    normalizer: {
      type: 'Sequence',
      normalizers: [...prefix, { type: 'Replace', pattern: { String: ' ' }, content: BLANK }],
    },
    pre_tokenizer: null,
    post_processor: affixes(vocabulary, true),
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: BLANK }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...strip,
      ],
    },
    model: {
      type: 'BPE',
      unk_token: unknown?.text ?? null,
      fuse_unk: true,
      byte_fallback: bytes.length > 0,
      vocab: Object.fromEntries(ids),
      merges: mergesByScore(normal, ids),
    },
  };
}

/**
 * @returns what tokenizer.json would hold
 * @throws UnsupportedModel for kinds of tokenizers and rules of cutting that are not run; InvalidCheckpoint for contradictions
 */
export function ggufTokenizer(vocabulary: Vocabulary): JsonObject {
  const kind = vocabulary.text('model');
  const own =
    kind === 'gpt2'
      ? bytePairs(vocabulary)
      : kind === 'llama'
        ? pieces(vocabulary)
        : vocabulary.unsupported(
            `has a tokenizer of kind "${String(kind).slice(0, 40)}" (tokenizer.ggml.model); webmoe runs gpt2 and llama`,
          );
  const added = [...idsOf(vocabulary.tokens.filter(isAdded))].map(([, id]) => addedToken(vocabulary.tokens[id]!));
  return { version: '1.0', truncation: null, padding: null, added_tokens: added, ...own };
}
