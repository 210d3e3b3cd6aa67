/** Asks for what changes faster than it can be told: one question at a time, and one more where something changed meanwhile. */
export class Latest<T> {
  readonly #ask: () => Promise<T>;
  readonly #tell: (value: T) => void;
  #isAsking = false;
  #isStale = false;

  constructor(ask: () => Promise<T>, tell: (value: T) => void) {
    this.#ask = ask;
    this.#tell = tell;
  }

  changed(): void {
    this.#isStale = true;
    if (!this.#isAsking) void this.#follow();
  }

  async #follow(): Promise<void> {
    this.#isAsking = true;
    try {
      while (this.#isStale) {
        this.#isStale = false;
        this.#tell(await this.#ask());
      }
    } catch {
      // A model that went away says so elsewhere.
    } finally {
      this.#isAsking = false;
    }
  }
}
