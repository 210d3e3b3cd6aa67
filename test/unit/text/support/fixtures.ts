/** The shipped tokenizer and tiny synthetic ones of each kind. */
import { readFileSync } from 'node:fs';
import { BYTE_CHARACTERS } from '../../../../src/text/decoder.ts';

const shippedFile = (name: string): string =>
  readFileSync(new URL(`../../../../models/smolmoe-135m-instruct/${name}`, import.meta.url), 'utf8');

export const shipped = {
  tokenizerJson: shippedFile('tokenizer.json'),
  tokenizerConfig: shippedFile('tokenizer_config.json'),
  jinja: shippedFile('chat_template.jinja'),
};

export interface AddedJson {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
  readonly normalized?: boolean;
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  readonly single_word?: boolean;
}

/** Vocabulary and merges that build each of `words` letter by letter from the left. */
function pairsOf(
  words: readonly string[],
  letters: readonly string[],
): { vocab: Record<string, number>; merges: string[] } {
  const vocab: Record<string, number> = {};
  const merges = new Set<string>();
  const add = (token: string): void => void (vocab[token] ??= Object.keys(vocab).length);
  letters.forEach(add);
  for (const word of words) {
    const parts = Array.from(word);
    for (let i = 1; i < parts.length; i++) {
      const [left, right] = [parts.slice(0, i).join(''), parts[i]!];
      add(right);
      add(left + right);
      merges.add(`${left} ${right}`);
    }
  }
  return { vocab, merges: [...merges] };
}

/** GPT-2 style: every byte a token, a few words. */
export function byteLevelJson(
  options: { added?: readonly AddedJson[]; normalizer?: object | null; preTokenizer?: object } = {},
): object {
  const { vocab, merges } = pairsOf(['hello', 'Ġworld', 'Ġthe', 'think', '123'], BYTE_CHARACTERS);
  const first = Object.keys(vocab).length;
  const added = options.added ?? [
    { id: first, content: '<|start|>', special: true },
    { id: first + 1, content: '<|end|>', special: true, rstrip: true },
    { id: first + 2, content: '<think>', special: false, normalized: false },
    { id: first + 3, content: '    ', special: false, normalized: true },
    { id: first + 4, content: '｜fin｜', special: true },
  ];
  return {
    version: '1.0',
    added_tokens: added,
    normalizer: options.normalizer === undefined ? { type: 'NFC' } : options.normalizer,
    pre_tokenizer: options.preTokenizer ?? { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', unk_token: null, vocab, merges },
  };
}

/** Llama and Mixtral style: marks for blanks, bytes as `<0xNN>`. */
export function sentencePieceJson(scheme: 'normalizer' | 'first' | 'never' = 'normalizer'): object {
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);
  const letters = ['<unk>', '<s>', '</s>', ...bytes, '▁', ..."abcdefghijklmnopqrstuvwxyz.,!?'[]/INST"];
  const { vocab, merges } = pairsOf(['▁hello', '▁world', 'hello', 'the', '▁é'], [...new Set(letters)]);
  const mark = { type: 'Replace', pattern: { String: '▁' }, content: ' ' };
  const chain = [mark, { type: 'ByteFallback' }, { type: 'Fuse' }];
  return {
    version: '1.0',
    added_tokens: ['<unk>', '<s>', '</s>'].map((content, id) => ({ id, content, special: true, normalized: false })),
    normalizer:
      scheme === 'normalizer'
        ? {
            type: 'Sequence',
            normalizers: [
              { type: 'Prepend', prepend: '▁' },
              { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
            ],
          }
        : null,
    pre_tokenizer:
      scheme === 'normalizer' ? null : { type: 'Metaspace', replacement: '▁', prepend_scheme: scheme, split: false },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: scheme === 'never' ? chain : [...chain, { type: 'Strip', content: ' ', start: 1, stop: 0 }],
    },
    model: { type: 'BPE', unk_token: '<unk>', fuse_unk: true, byte_fallback: true, vocab, merges },
  };
}

/** XLM-R style: pieces with scores; `</s>` is a piece, which plain text could become. */
export function unigramJson(): object {
  const pieces: [string, number][] = [
    ['<s>', 0],
    ['</s>', 0],
    ['<unk>', 0],
    ['▁', -2],
    ['▁hello', -3],
    ['hello', -4],
    ['▁world', -3],
    ...Array.from('abcdefghijklmnopqrstuvwxyz<>/|.', (c): [string, number] => [c, -6]),
  ];
  return {
    version: '1.0',
    added_tokens: [0, 1, 2].map((id) => ({ id, content: pieces[id]![0], special: true, normalized: false })),
    normalizer: { type: 'NFKC' },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
    post_processor: null,
    decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
    model: { type: 'Unigram', unk_id: 2, vocab: pieces },
  };
}
