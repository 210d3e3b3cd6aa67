/** A slow network: one link that all transfers of a server share, and a wait before each answer. */

export interface LinkSpeed {
  /** Of all transfers together; absent: as fast as it goes. */
  readonly bytesPerSecond?: number;
  /** From a request's arrival to the first byte of its answer. */
  readonly latencyMs?: number;
}

/** Timers fire late by a millisecond or two: so much unused time of the link may be caught up with. */
const CREDIT_MS = 5;

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class Link {
  readonly speed: LinkSpeed;
  /** When the link has sent all that was given to it so far, by `performance.now()`. */
  #freeAt = 0;

  constructor(speed: LinkSpeed = {}) {
    this.speed = speed;
  }

  /** Resolves when these bytes have passed; transfers that call in turn share the link evenly. */
  async pass(bytes: number): Promise<void> {
    const { bytesPerSecond } = this.speed;
    if (bytesPerSecond === undefined) return;
    const now = performance.now();
    this.#freeAt = Math.max(this.#freeAt, now - CREDIT_MS) + (1000 * bytes) / bytesPerSecond;
    if (this.#freeAt > now + 1) await pause(this.#freeAt - now);
  }
}
