/** Token ids to text while they are generated. */
import type { Tokenizer } from './tokenizer.ts';

export interface Detokenizer {
  /** Text that became certain with this id: whole characters only, empty while one is incomplete. */
  push(id: number): string;
  /** What is left at the end; an unfinished character becomes U+FFFD. The detokenizer is used up. */
  flush(): string;
}

/**
 * The texts of all `push` calls and of `flush`, joined, are `tokenizer.decode` of all ids. Cost per id does not grow with their number.
 * @param context ids before the first: with them the text is what follows the context's text, so that a leading blank survives
 * @param skipSpecial leaves special tokens out (default true)
 * @param verbatim keeps every blank; text under a constraint must stay as the constraint allowed it
 */
export function createDetokenizer(
  tokenizer: Tokenizer,
  context: readonly number[] = [],
  { skipSpecial = true, verbatim = false }: { readonly skipSpecial?: boolean; readonly verbatim?: boolean } = {},
): Detokenizer {
  const stream = tokenizer.stream({ skipSpecial, verbatim });
  for (const id of context) stream.push(id);
  return { push: (id) => stream.push(id), flush: () => stream.end() };
}
