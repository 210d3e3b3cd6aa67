/** Which tokens end an answer. */
import { InvalidCheckpoint } from '../errors.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface EndTokenSources {
  /** generation_config.json: eos_token_id. */
  readonly generation?: readonly number[];
  /** config.json: eos_token_id. */
  readonly config?: readonly number[];
  /** tokenizer_config.json: eos_token, as text. */
  readonly tokenizerEnd?: string | null;
  /** Ids must be below it. */
  readonly vocab: number;
}

/**
 * The first source that names any, in this order: generation_config.json (it lists them all), config.json, the tokenizer's end token.
 * @returns ids without repeats, in the order of the file; empty when no file names one
 * @throws InvalidCheckpoint ('config') for an id outside the vocabulary
 */
export function endTokens(sources: EndTokenSources, tokenizer: Pick<Tokenizer, 'tokenToId'> | null): readonly number[] {
  const named = [sources.generation ?? [], sources.config ?? []].find((ids) => ids.length > 0);
  const last = sources.tokenizerEnd ? tokenizer?.tokenToId(sources.tokenizerEnd) : undefined;
  const ids = named ?? (last === undefined ? [] : [last]);
  for (const id of ids) {
    if (!Number.isInteger(id) || id < 0 || id >= sources.vocab) {
      throw new InvalidCheckpoint('config', `end token ${id} is not in the vocabulary of ${sources.vocab}`, {
        key: 'eos_token_id',
        id,
      });
    }
  }
  return [...new Set(ids)];
}
