/** Who waits for experts now: what is only done ahead of time stands back until nobody does. */
export class Demand {
  #count = 0;
  readonly #waiting = new Set<() => void>();

  /** @returns ends it; once is enough */
  begin(): () => void {
    this.#count++;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      if (--this.#count > 0) return;
      for (const go of this.#waiting) go();
    };
  }

  /** Resolves when nobody waits. @throws the signal's reason as soon as it is aborted */
  async none(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    while (this.#count > 0) {
      await new Promise<void>((resolve, reject) => {
        const leave = (): void => {
          this.#waiting.delete(go);
          signal.removeEventListener('abort', stop);
        };
        const go = (): void => {
          leave();
          resolve();
        };
        const stop = (): void => {
          leave();
          reject(signal.reason);
        };
        this.#waiting.add(go);
        signal.addEventListener('abort', stop, { once: true });
      });
    }
  }
}
