/** Whether guessing tokens ahead pays, and how many: from how often guesses held and what steps of a few tokens took, against steps of one. */

/** A new value counts this much in the running averages. */
const RATE = 0.1;
/** What a step of one token more is taken to cost until it was measured, as a share of a step of one. */
const FIRST_SLOPE = 0.25;
/** How often a guessed token is taken to be right, the ones before it being right, until some were. */
const FIRST_HELD = 0.6;
/** Tokens a unit of time must become so many times more. */
const LEAST_GAIN = 1.05;
/** Where it does not pay, one guess of so many is tried all the same: texts change. */
const PROBE_EVERY = 24;
const PROBE_TOKENS = 2;

export class SpeculationGovernor {
  #oneMs: number | null = null;
  /** Of a step of T tokens: (1 + slope (T - 1)) times the step of one. */
  #slope = FIRST_SLOPE;
  #held = FIRST_HELD;
  #passedUp = 0;

  /** Tokens that a step with so many guessed tokens gives, for each that as much time gives one by one. */
  gain(guesses: number): number {
    let tokens = 1;
    for (let i = 1, chance = this.#held; i <= guesses; i++, chance *= this.#held) tokens += chance;
    return tokens / (1 + this.#slope * guesses);
  }

  /** How many of `available` guessed tokens are worth a step; 0: none. */
  worth(available: number): number {
    if (available === 0) return 0;
    let best = 0;
    for (let n = 1; n <= available; n++) if (this.gain(n) > Math.max(LEAST_GAIN, this.gain(best))) best = n;
    if (best > 0) return best;
    return ++this.#passedUp >= PROBE_EVERY ? Math.min(PROBE_TOKENS, available) : 0;
  }

  /** A step of one token took so long. */
  learnOne(ms: number): void {
    this.#oneMs = average(this.#oneMs, ms);
  }

  /** @param held how many of the guessed tokens were right */
  learnFew({ guesses, held, ms }: { readonly guesses: number; readonly held: number; readonly ms: number }): void {
    this.#passedUp = 0;
    for (let i = 0; i < Math.min(held + 1, guesses); i++) this.#held = average(this.#held, i < held ? 1 : 0);
    if (this.#oneMs === null) return;
    this.#slope = average(this.#slope, Math.max(0, (ms / this.#oneMs - 1) / guesses));
  }
}

const average = (old: number | null, value: number): number => (old === null ? value : old + RATE * (value - old));
