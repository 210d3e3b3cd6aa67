/** A load that can be paused, taken up again and given up. What was stored before a pause is not fetched again. */
import { SourceError } from '../../src/index.ts';

/** `stopping`: what runs has been told to stop, and has not let go yet. */
export type DownloadState = 'running' | 'stopping' | 'paused' | 'offline';

export interface DownloadEvents {
  readonly onState: (state: DownloadState) => void;
  /** For tests; default: the browser's. */
  readonly network?: Pick<EventTarget, 'addEventListener' | 'removeEventListener'>;
  readonly isOnline?: () => boolean;
}

export class Download<T> {
  readonly #attempt: (signal: AbortSignal) => Promise<T>;
  readonly #events: DownloadEvents;
  #running = new AbortController();
  #wanted: 'run' | 'pause' | 'cancel' = 'run';
  #wake: (() => void) | undefined;

  constructor(attempt: (signal: AbortSignal) => Promise<T>, events: DownloadEvents) {
    this.#attempt = attempt;
    this.#events = events;
  }

  /** @returns null when it was given up. @throws what the load throws, unless the network is away: then it waits for it */
  async run(): Promise<T | null> {
    for (;;) {
      this.#running = new AbortController();
      this.#events.onState('running');
      try {
        return await this.#attempt(this.#running.signal);
      } catch (error) {
        if (this.#wanted === 'run' && !this.#isOffline(error)) throw error;
        if (this.#wanted === 'run') await this.#online();
        else if (this.#wanted === 'pause') await this.#resumed();
        // By now the visitor may have given up.
        if (this.#isCancelled) return null;
      }
    }
  }

  get #isCancelled(): boolean {
    return this.#wanted === 'cancel';
  }

  #isOffline(error: unknown): boolean {
    const { isOnline = () => navigator.onLine } = this.#events;
    return error instanceof SourceError && !isOnline();
  }

  #online(): Promise<void> {
    const { network = globalThis } = this.#events;
    this.#events.onState('offline');
    return new Promise((resolve) => {
      const done = (): void => {
        network.removeEventListener('online', done);
        resolve();
      };
      this.#wake = done;
      network.addEventListener('online', done);
    });
  }

  #resumed(): Promise<void> {
    this.#events.onState('paused');
    return new Promise((resolve) => (this.#wake = resolve));
  }

  pause(): void {
    this.#stop('pause');
  }

  cancel(): void {
    this.#stop('cancel');
    this.#wake?.();
  }

  resume(): void {
    this.#wanted = 'run';
    this.#wake?.();
  }

  #stop(wanted: 'pause' | 'cancel'): void {
    this.#wanted = wanted;
    this.#events.onState('stopping');
    this.#running.abort();
  }
}
