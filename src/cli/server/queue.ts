/** So many requests at a time, the others in order, and only so many that wait. */
import { orAborted } from '../../util/abort.ts';
import { Refused } from './refusal.ts';

/** Seconds after which a client that found the queue full may try again. */
const RETRY_SECONDS = 5;

export const busy = (message: string): Refused =>
  new Refused(503, message, { code: 'busy', headers: { 'retry-after': String(RETRY_SECONDS) } });

export class RequestQueue {
  readonly #maxWaiting: number;
  readonly #atOnce: number;
  #running = 0;
  /** Gives each its turn. */
  readonly #waiting = new Set<() => void>();
  readonly #closing = new AbortController();

  constructor(maxWaiting: number, atOnce = 1) {
    this.#maxWaiting = maxWaiting;
    this.#atOnce = atOnce;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Sends away who waits, and whoever comes. */
  close(): void {
    this.#closing.abort(busy('The server is shutting down'));
  }

  /** @returns ends the turn. @throws Refused 503 when too many wait; the signal's reason */
  async enter(signal: AbortSignal): Promise<() => void> {
    this.#closing.signal.throwIfAborted();
    if (this.#running >= this.#atOnce) await this.#turn(signal);
    else this.#running++;
    return () => this.#leave();
  }

  /** The turn passes on to whoever waits longest. */
  #leave(): void {
    const [next] = this.#waiting;
    if (!next) this.#running--;
    else next();
  }

  async #turn(signal: AbortSignal): Promise<void> {
    if (this.waiting >= this.#maxWaiting)
      throw busy(`${answered(this.#running)} and ${this.waiting} wait: try again later`);
    let take = (): void => undefined;
    const given = new Promise<void>((resolve) => {
      take = () => {
        this.#waiting.delete(take);
        resolve();
      };
    });
    this.#waiting.add(take);
    try {
      await orAborted(given, AbortSignal.any([signal, this.#closing.signal]));
    } catch (error) {
      if (!this.#waiting.delete(take)) this.#leave(); // it was given meanwhile
      throw error;
    }
  }
}

const answered = (running: number): string =>
  running === 1 ? 'One request is being answered' : `${running} requests are being answered`;
