/** The messages in a part of the page that scrolls, and follows an answer as long as the reader has not scrolled up. */
import { h } from './dom.ts';

/** Closer to the end than this, in pixels, and the page follows the answer. */
const FOLLOW_WITHIN = 64;

export class ScrollingLog {
  readonly element: HTMLElement;
  readonly #resized: ResizeObserver;
  #atEnd = true;

  constructor(content: HTMLElement) {
    this.element = h('section', { class: 'log', 'aria-label': 'Conversation', tabindex: 0 }, content);
    this.element.addEventListener('scroll', () => (this.#atEnd = this.#isNearEnd));
    // What stands over the log comes and goes, formulas and colours come late: the end stays in sight if it was.
    this.#resized = new ResizeObserver(() => {
      if (this.#atEnd) this.toEnd();
    });
    this.#resized.observe(this.element);
    this.#resized.observe(content);
  }

  set isBusy(busy: boolean) {
    this.element.setAttribute('aria-busy', String(busy));
  }

  toEnd(): void {
    this.element.scrollTop = this.element.scrollHeight;
  }

  /** From the top, where a view with a title begins to be read. */
  toTitle(): void {
    this.element.scrollTop = 0;
    this.element.querySelector<HTMLElement>('h1[tabindex]')?.focus();
  }

  /** Changes the log and stays at its end, unless the reader has scrolled up. */
  following(change: () => void): void {
    const follows = this.#isNearEnd;
    change();
    if (follows) this.toEnd();
  }

  get #isNearEnd(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < FOLLOW_WITHIN;
  }

  dispose(): void {
    this.#resized.disconnect();
  }
}
