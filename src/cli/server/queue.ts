/** One request at a time, and only so many that wait. */
import { orAborted } from '../../util/abort.ts';
import { Refused } from './refusal.ts';

/** Seconds after which a client that found the queue full may try again. */
const RETRY_SECONDS = 5;

export const busy = (message: string): Refused =>
  new Refused(503, message, { code: 'busy', headers: { 'retry-after': String(RETRY_SECONDS) } });

export class RequestQueue {
  readonly #maxWaiting: number;
  #tail: Promise<void> = Promise.resolve();
  #inside = 0;
  readonly #closing = new AbortController();

  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting;
  }

  get running(): number {
    return Math.min(1, this.#inside);
  }

  get waiting(): number {
    return Math.max(0, this.#inside - 1);
  }

  /** Sends away who waits, and whoever comes. */
  close(): void {
    this.#closing.abort(busy('The server is shutting down'));
  }

  /** @returns ends the turn. @throws Refused 503 when too many wait; the signal's reason */
  async enter(signal: AbortSignal): Promise<() => void> {
    this.#closing.signal.throwIfAborted();
    if (this.waiting >= this.#maxWaiting && this.#inside > 0)
      throw busy(`One request is being answered and ${this.waiting} wait: try again later`);
    const before = this.#tail;
    let release = (): void => undefined;
    this.#tail = new Promise((resolve) => (release = resolve));
    this.#inside++;
    const leave = (): void => {
      this.#inside--;
      release();
    };
    try {
      await orAborted(before, AbortSignal.any([signal, this.#closing.signal]));
      return leave;
    } catch (error) {
      this.#inside--;
      void before.then(release); // who comes next still waits for who is running
      throw error;
    }
  }
}
