/** When to try again, and how long to wait. */

export interface RetryOptions {
  /** Failures in a row before giving up; default 5. */
  readonly attempts?: number;
  /** Wait after the first failure, doubled after each further one; default 500. */
  readonly firstDelayMs?: number;
  /** Longest wait, also when the server asks for more; default 30,000. */
  readonly maxDelayMs?: number;
  /** A transfer without a byte for this long counts as failed, a request without an answer after four times that; default 15,000. */
  readonly stallMs?: number;
}

export type Retry = Required<RetryOptions>;

export const retryDefaults = (options: RetryOptions = {}): Retry => ({
  attempts: options.attempts ?? 5,
  firstDelayMs: options.firstDelayMs ?? 500,
  maxDelayMs: options.maxDelayMs ?? 30_000,
  stallMs: options.stallMs ?? 15_000,
});

/** A failure that may pass. */
export class PassingFailure extends Error {
  /** What the server asked for. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: ErrorOptions & { readonly retryAfterMs?: number | undefined } = {}) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Milliseconds in a Retry-After header: seconds, or a date. */
export function parseRetryAfter(header: string | null, now = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** The wait after failure number `failures` (from 1): between half and all of the doubled delay, so that clients do not come back together. */
export function delayAfter(failures: number, { firstDelayMs, maxDelayMs }: Retry, failure: PassingFailure): number {
  if (failure.retryAfterMs !== undefined) return Math.min(maxDelayMs, failure.retryAfterMs);
  const full = Math.min(maxDelayMs, firstDelayMs * 2 ** (failures - 1));
  return full * (0.5 + Math.random() / 2);
}

/** @throws the signal's reason as soon as it is aborted */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
