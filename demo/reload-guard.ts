/** Keeps a card that stops at once from being restarted over and over. */
const WINDOW_MS = 30_000;

export class ReloadGuard {
  readonly #now: () => number;
  #reloadedAt = -Infinity;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  reloaded(): void {
    this.#reloadedAt = this.#now();
  }

  /** True within half a minute of the last reload. */
  get isTooSoon(): boolean {
    return this.#now() - this.#reloadedAt < WINDOW_MS;
  }
}
