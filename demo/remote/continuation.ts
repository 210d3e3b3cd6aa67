/** Going on with an answer at a server: how it is asked for, and how to tell that the server began anew instead. */
import { InvalidRequest, RemoteError } from '../../src/index.ts';
import type { Turn } from '../engine.ts';

/** vLLM's fields, which SGLang, llama.cpp and `webmoe serve` have too. OpenAI's interface has none for it. */
export const CONTINUE = { continue_final_message: true, add_generation_prompt: false } as const;

/** So many characters in common with the beginning of the answer are no chance. */
const TELLING = 24;
/** What servers say to fields that they do not know. */
const REFUSALS: readonly (number | null)[] = [400, 422, 501];

/** It can be asked for again, but not gone on with. */
export class CannotContinue extends InvalidRequest {}

export const continueRefused = (host: string, error: unknown): unknown =>
  error instanceof RemoteError && REFUSALS.includes(error.status)
    ? new CannotContinue(
        `${host} does not go on with an answer from its last word; it can be regenerated. In its own words: ${error.message}`,
        { status: error.status },
      )
    : error;

/**
 * The new text of an answer that is gone on with. A server that does not know the fields may ignore them: then the answer comes again from its
 * beginning, which is held back until it is told apart.
 */
export class Continuation {
  readonly #before: string;
  readonly #host: string;
  #held = '';
  #isOpen = true;

  /** @param prompt its last message is the answer so far */
  constructor(prompt: readonly Turn[], host: string) {
    this.#before = prompt.at(-1)!.content;
    this.#host = host;
  }

  /** @returns what is known to be new. @throws CannotContinue */
  push(text: string): string {
    if (!this.#isOpen) return text;
    this.#held += text;
    if (this.#before.startsWith(this.#held)) return '';
    this.#isOpen = false;
    // The server sends the answer so far once more, and then goes on.
    if (this.#before.length >= TELLING && this.#held.startsWith(this.#before))
      this.#held = this.#held.slice(this.#before.length);
    return this.finish();
  }

  /** @returns the rest. @throws CannotContinue */
  finish(): string {
    if (commonLength(this.#held, this.#before) >= TELLING)
      throw new CannotContinue(
        `${this.#host} began the answer anew instead of going on from its last word; it can be regenerated.`,
        {},
      );
    const rest = this.#held;
    this.#held = '';
    return rest;
  }
}

function commonLength(a: string, b: string): number {
  let n = 0;
  while (n < a.length && a[n] === b[n]) n++;
  return n;
}
