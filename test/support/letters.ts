/** A tokenizer for the fixtures' vocabulary of 256: the letters a to p, and 240 of their pairs. Any text of such letters can be encoded. */
import { text, type Files } from './models.ts';

const LETTERS = [...'abcdefghijklmnop'];

/** The text of a token of that tokenizer. */
export const letters = (id: number): string =>
  id < 16 ? LETTERS[id]! : LETTERS[Math.floor((id - 16) / 16)]! + LETTERS[(id - 16) % 16]!;

const TOKENIZER = {
  version: '1.0',
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
  post_processor: null,
  decoder: { type: 'ByteLevel' },
  model: {
    type: 'BPE',
    vocab: Object.fromEntries(Array.from({ length: 256 }, (_, id) => [letters(id), id])),
    merges: Array.from({ length: 240 }, (_, i) => [...letters(i + 16)].join(' ')),
  },
};

/** `files` with that tokenizer and a chat template that writes the messages one after the other. */
export const withLetters = (files: Files, config: Record<string, unknown> = {}): Files => ({
  ...files,
  'tokenizer.json': text(TOKENIZER),
  'tokenizer_config.json': text(config),
  'chat_template.jinja': text('{% for m in messages %}{{ m.content }}{% endfor %}'),
});
