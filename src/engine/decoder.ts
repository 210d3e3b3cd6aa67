/** Brings the tokens of one answer after the first: one a step, with steps that run ahead; or several, where a guess of what comes pays. */
import type { Answer } from './answer.ts';
import type { Session } from './session.ts';
import type { DrawnToken, DrawParams } from './session/draw.ts';
import type { SpeculationGovernor } from './speculation/governor.ts';
import { PromptLookup } from './speculation/lookup.ts';
import type { Speculation } from './speculation/options.ts';

export interface DecoderOptions {
  /** null: no guesses. */
  readonly speculation: Speculation | null;
  readonly governor: SpeculationGovernor;
  /** Steps that may be on the GPU behind the one whose token is waited for. */
  readonly ahead: number;
}

export class Decoder {
  readonly #answer: Answer;
  readonly #options: DecoderOptions;
  readonly #lookup: PromptLookup | null;
  /** Drawn by a step that guessed, and not yet asked for. */
  readonly #drawn: DrawnToken[] = [];

  constructor(answer: Answer, options: DecoderOptions) {
    this.#answer = answer;
    this.#options = options;
    const { speculation } = options;
    this.#lookup = speculation && new PromptLookup(answer.prompt, speculation.ngram);
  }

  get guesses(): boolean {
    return this.#lookup !== null;
  }

  /** The token after `last`, which the answer has taken. Run again, on another session, when a device was lost under it. */
  async next(session: Session, last: number, signal: AbortSignal): Promise<DrawnToken> {
    this.#hear(last);
    const known = this.#drawn.shift();
    if (known) return known;
    const sampling = this.#answer.draw();
    const guesses = this.#guesses(session, sampling);
    if (guesses.length === 0) return this.#step(session, last, sampling, signal, this.#options.ahead);
    // Those that ran ahead come first.
    if (session.inFlight > 0) return this.#step(session, last, sampling, signal, 0);
    return this.#guess(session, last, guesses, sampling);
  }

  /** Once a token, however often it is asked what follows it. */
  #hear(last: number): void {
    const { prompt, generated } = this.#answer;
    if (this.#lookup && this.#lookup.length < prompt.length + generated) this.#lookup.push(last);
  }

  #guesses(session: Session, sampling: DrawParams): readonly number[] {
    const { speculation, governor } = this.#options;
    const { remaining } = this.#answer;
    const lookup = this.#lookup;
    if (!speculation || !lookup) return [];
    if (!session.mayGuess(sampling)) return [];
    const guesses = lookup.draft(Math.min(speculation.most, session.mostGuesses, remaining - 1));
    return speculation.isGoverned ? guesses.slice(0, governor.worth(guesses.length)) : guesses;
  }

  async #guess(session: Session, last: number, guesses: readonly number[], sampling: DrawParams): Promise<DrawnToken> {
    const startedAt = performance.now();
    const [first, ...others] = await session.guess(last, guesses, sampling);
    const ms = performance.now() - startedAt;
    this.#options.governor.learnFew({ guesses: guesses.length, held: others.length, ms });
    this.#drawn.push(...others);
    return first!;
  }

  async #step(
    session: Session,
    last: number,
    sampling: DrawParams,
    signal: AbortSignal,
    ahead: number,
  ): Promise<DrawnToken> {
    const startedAt = performance.now();
    const drawn = await session.step(last, sampling, signal, Math.min(ahead, this.#answer.remaining - 1));
    this.#options.governor.learnOne(performance.now() - startedAt);
    return drawn;
  }
}
