/** Runs a few jobs at a time: what somebody waits for first, then what is done ahead of time, each in the order of arrival. */
export class Lane {
  #free: number;
  readonly #demand: (() => void)[] = [];
  readonly #ahead: (() => void)[] = [];

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  /** @throws what the job throws; the signal's reason when it is aborted before its turn */
  async run<T>(job: () => Promise<T>, { signal, isAhead = false }: LaneOptions = {}): Promise<T> {
    if (this.#free === 0) {
      await new Promise<void>((resolve) => (isAhead ? this.#ahead : this.#demand).push(resolve));
    } else this.#free--;
    try {
      signal?.throwIfAborted();
      return await job();
    } finally {
      const next = this.#demand.shift() ?? this.#ahead.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

export interface LaneOptions {
  readonly signal?: AbortSignal | undefined;
  /** Nobody waits for it. */
  readonly isAhead?: boolean;
}
