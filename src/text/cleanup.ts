/**
 * `clean_up_tokenization_spaces`: takes the blank away before punctuation and English contractions, over a stream.
 * Each rule's inner characters are among blank ' n v r, so no rule can reach across any other character: text is final up to there.
 */
import type { TextStream } from './decoder.ts';

const RULES = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
] as const;

export const cleanUpSpaces = (text: string): string => RULES.reduce((t, [from, to]) => t.replaceAll(from, to), text);

export function cleanedStream(inner: TextStream): TextStream {
  let held = '';
  return {
    push(token) {
      const fresh = inner.push(token);
      let safe = fresh.length;
      while (safe > 0 && " 'nvr".includes(fresh[safe - 1]!)) safe--;
      if (safe === 0) {
        held += fresh;
        return '';
      }
      const final = held + fresh.slice(0, safe);
      held = fresh.slice(safe);
      return cleanUpSpaces(final);
    },
    end() {
      return cleanUpSpaces(held + inner.end());
    },
  };
}
