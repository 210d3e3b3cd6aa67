/** Cuts text that comes in pieces into sentences, for people who listen: read word by word it could not be followed. */

const END = /[.!?…。！？]["'”’)\]]*\s|\n+/g;
/** A sentence without an end is read after this many characters. */
const LONGEST = 400;

export class Sentences {
  readonly #say: (sentence: string) => void;
  #rest = '';

  constructor(say: (sentence: string) => void) {
    this.#say = say;
  }

  push(text: string): void {
    this.#rest += text;
    const last = [...this.#rest.matchAll(END)].at(-1);
    if (last) this.#cut(last.index + last[0].length);
    else if (this.#rest.length > LONGEST) this.#cut(this.#rest.lastIndexOf(' ') + 1 || this.#rest.length);
  }

  /** Says what is left. */
  finish(): void {
    this.#cut(this.#rest.length);
  }

  #cut(at: number): void {
    const said = this.#rest.slice(0, at).trim();
    this.#rest = this.#rest.slice(at);
    if (said) this.#say(said);
  }
}
