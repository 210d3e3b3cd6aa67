/** A tokenizer for the fixtures' vocabulary of 256: the letters a to p, and 240 of their pairs. Any text of such letters can be encoded. */
import { text, type Files } from './models.ts';
import { withTokenizer, type SmallTokenizer } from './small-tokenizer.ts';

const LETTERS = [...'abcdefghijklmnop'];

/** The text of a token of that tokenizer. */
export const letters = (id: number): string =>
  id < 16 ? LETTERS[id]! : LETTERS[Math.floor((id - 16) / 16)]! + LETTERS[(id - 16) % 16]!;

const TOKENIZER: SmallTokenizer = {
  tokens: Array.from({ length: 256 }, (_, id) => letters(id)),
  merges: Array.from({ length: 240 }, (_, i) => [...letters(i + 16)].join(' ')),
};

/** `files` with that tokenizer and a chat template that writes the messages one after the other. */
export const withLetters = (files: Files, config: Record<string, unknown> = {}): Files => ({
  ...withTokenizer(files, TOKENIZER, config),
  'chat_template.jinja': text('{% for m in messages %}{{ m.content }}{% endfor %}'),
});
