/** A tokenizer for the fixtures' vocabulary of 256: id b is the byte b. Any text can be encoded, JSON too. */
import { BYTE_CHARACTERS } from '../../src/text/decoder.ts';
import { text, type Files } from './models.ts';

const TOKENIZER = {
  version: '1.0',
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
  post_processor: null,
  decoder: { type: 'ByteLevel' },
  model: {
    type: 'BPE',
    vocab: Object.fromEntries(BYTE_CHARACTERS.map((character, byte) => [character, byte])),
    merges: [],
  },
};

/** @param config of the tokenizer, as tokenizer_config.json has it */
export const withByteTokens = (files: Files, config: Readonly<Record<string, unknown>> = {}): Files => ({
  ...files,
  'tokenizer.json': text(TOKENIZER),
  'tokenizer_config.json': text(config),
});
