/** Tokenizers for the fixtures' vocabulary of 256, as files of a model. */
import { text, type Files } from './models.ts';

export interface SmallTokenizer {
  /** The text of each of the 256 tokens, in the characters that stand for bytes. */
  readonly tokens: readonly string[];
  readonly merges?: readonly string[];
}

const tokenizerFile = ({ tokens, merges = [] }: SmallTokenizer) => ({
  version: '1.0',
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
  post_processor: null,
  decoder: { type: 'ByteLevel' },
  model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges },
});

/** @param config of the tokenizer, as tokenizer_config.json has it */
export const withTokenizer = (
  files: Files,
  tokenizer: SmallTokenizer,
  config: Readonly<Record<string, unknown>>,
): Files => ({ ...files, 'tokenizer.json': text(tokenizerFile(tokenizer)), 'tokenizer_config.json': text(config) });
