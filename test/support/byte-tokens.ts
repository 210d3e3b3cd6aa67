/** A tokenizer for the fixtures' vocabulary of 256: id b is the byte b. Any text can be encoded, JSON too. */
import { BYTE_CHARACTERS } from '../../src/text/decoder.ts';
import type { Files } from './models.ts';
import { withTokenizer } from './small-tokenizer.ts';

/** @param config of the tokenizer, as tokenizer_config.json has it */
export const withByteTokens = (files: Files, config: Readonly<Record<string, unknown>> = {}): Files =>
  withTokenizer(files, { tokens: BYTE_CHARACTERS }, config);
