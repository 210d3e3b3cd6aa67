/** When an element draws a trace that grows with every token: so often that eyes can follow, and not where nobody sees it. */

/** Each drawing takes time from the model, which on one machine computes with the same cores. */
export const LIVE_MS = 250;

export class Pace {
  readonly #host: Element;
  readonly #draw: () => void;
  readonly #watch = globalThis.IntersectionObserver
    ? new IntersectionObserver((entries) => this.#seen(entries.at(-1)!.isIntersecting), { rootMargin: '50%' })
    : null;
  /** Until it is known. */
  #isSeen = true;
  /** Something was left out while it was not seen. */
  #isBehind = false;
  #drawnAt = -Infinity;
  #later: ReturnType<typeof setTimeout> | null = null;

  /** @param draw draws all that there is by then */
  constructor(host: Element, draw: () => void) {
    this.#host = host;
    this.#draw = draw;
  }

  start(): void {
    this.#watch?.observe(this.#host);
  }

  stop(): void {
    this.#watch?.disconnect();
    if (this.#later !== null) clearTimeout(this.#later);
    this.#later = null;
    this.#isSeen = true;
  }

  /** Whether to draw what came, `ms` after the last time at the earliest. If not, it is drawn when that time has come, or the host comes into view. */
  isDue(ms: number): boolean {
    if (!this.#isSeen) this.#isBehind = true;
    const wait = ms - (performance.now() - this.#drawnAt);
    if (this.#isSeen && wait > 0) this.drawIn(wait);
    return this.#isSeen && wait <= 0;
  }

  drawIn(ms: number): void {
    this.#later ??= setTimeout(() => {
      this.#later = null;
      this.#draw();
    }, ms);
  }

  drawn(): void {
    this.#drawnAt = performance.now();
    this.#isBehind = false;
  }

  #seen(isSeen: boolean): void {
    this.#isSeen = isSeen;
    if (isSeen && this.#isBehind) this.#draw();
  }
}
