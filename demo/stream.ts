/** Tokens come faster than frames: writes once a frame. */
import type { AnswerView } from './message-view.ts';

export class Stream {
  readonly #answer: AnswerView;
  readonly #write: (change: () => void) => void;
  #text = '';
  #tokens = 0;
  #frame: number | null = null;

  /** @param write around every change of the page */
  constructor(answer: AnswerView, write: (change: () => void) => void) {
    this.#answer = answer;
    this.#write = write;
  }

  push(text: string, tokens: number): void {
    this.#text += text;
    this.#tokens = tokens;
    this.#frame ??= requestAnimationFrame(() => this.#write(() => this.flush()));
  }

  flush(): void {
    if (this.#frame === null) return;
    cancelAnimationFrame(this.#frame);
    this.#frame = null;
    this.#answer.append(this.#text, this.#tokens);
    this.#text = '';
  }
}
