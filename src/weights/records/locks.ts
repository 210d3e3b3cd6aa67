/** Who may write a model's records: one holder at a time, in all tabs and workers of this site. */

export interface RecordLock {
  /** @returns the function that gives it back, or null when somebody has it */
  tryAcquire(name: string): Promise<(() => void) | null>;
  /** Whether somebody other than this object has it. */
  heldElsewhere(name: string): Promise<boolean>;
}

const PREFIX = 'webmoe-v1/';

/** Through Web Locks: the browser frees them when a page goes away, however it goes. Without them only this page is seen. */
export const browserLock = (): RecordLock =>
  globalThis.navigator?.locks ? new WebLock(navigator.locks) : new PageLock();

class WebLock implements RecordLock {
  readonly #locks: LockManager;
  readonly #mine = new Set<string>();

  constructor(locks: LockManager) {
    this.#locks = locks;
  }

  tryAcquire(name: string): Promise<(() => void) | null> {
    return new Promise((answer, fail) => {
      this.#locks
        .request(PREFIX + name, { ifAvailable: true }, (lock) => {
          if (!lock) return answer(null);
          this.#mine.add(name);
          return new Promise<void>((release) =>
            answer(() => {
              this.#mine.delete(name);
              release();
            }),
          );
        })
        .catch(fail);
    });
  }

  async heldElsewhere(name: string): Promise<boolean> {
    if (this.#mine.has(name)) return false;
    const { held = [] } = await this.#locks.query();
    return held.some((lock) => lock.name === PREFIX + name);
  }
}

/** Names held by any PageLock of this page. */
const heldHere = new Set<string>();

class PageLock implements RecordLock {
  readonly #mine = new Set<string>();

  async tryAcquire(name: string): Promise<(() => void) | null> {
    if (heldHere.has(name)) return null;
    heldHere.add(name);
    this.#mine.add(name);
    return () => {
      if (this.#mine.delete(name)) heldHere.delete(name);
    };
  }

  async heldElsewhere(name: string): Promise<boolean> {
    return heldHere.has(name) && !this.#mine.has(name);
  }
}
