/** Guesses how a text goes on from what it said before: after the same last tokens, the same again. */

/** The shortest match that a guess is made from. */
const LEAST = 2;

export class PromptLookup {
  readonly #ngram: number;
  readonly #tokens: number[] = [];
  /** By the tokens of a match: where the text went on after it, the latest time. */
  readonly #after = new Map<string, number>();

  /** @param ngram tokens of the longest match, at least 2 */
  constructor(tokens: Iterable<number>, ngram = 3) {
    this.#ngram = ngram;
    for (const id of tokens) this.push(id);
  }

  get length(): number {
    return this.#tokens.length;
  }

  push(id: number): void {
    for (let n = LEAST; n <= this.#ngram; n++) {
      const key = this.#lastTokens(n);
      if (key) this.#after.set(key, this.#tokens.length);
    }
    this.#tokens.push(id);
  }

  /** Up to `most` tokens that may come next; none where the last ones are new. A guess that reaches the end of the text goes on with itself. */
  draft(most: number): number[] {
    for (let n = this.#ngram; n >= LEAST; n--) {
      const key = this.#lastTokens(n);
      const from = key && this.#after.get(key);
      if (from) return this.#from(from, most);
    }
    return [];
  }

  #from(start: number, most: number): number[] {
    const all = this.#tokens;
    const guess: number[] = [];
    for (let i = start; guess.length < most; i++) guess.push(i < all.length ? all[i]! : guess[i - all.length]!);
    return guess;
  }

  #lastTokens(n: number): string | null {
    return this.#tokens.length < n ? null : this.#tokens.slice(-n).join(' ');
  }
}
