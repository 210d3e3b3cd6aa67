/** One request: aborted by the caller or by a stall, its body read as exactly the bytes asked for. */
import { PassingFailure } from './retry.ts';

/**
 * An answer may take so many times longer than the next byte of one: a browser holds requests back while others, of other tabs too, have its six
 * connections to a host.
 */
const ANSWER_STALLS = 4;

export class Transfer {
  /** Where it was redirected to, or went right away because an earlier one was: what a failure puts in doubt. */
  link: URL | null = null;
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #stallMs: number;
  readonly #onAbort = (): void => this.#controller.abort(this.#caller?.reason);

  constructor(stallMs: number, caller: AbortSignal | undefined) {
    this.#stallMs = stallMs;
    this.#caller = caller;
    caller?.throwIfAborted();
    caller?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** @throws as `#wait` */
  answer(request: Promise<Response>): Promise<Response> {
    return this.#wait(request, 'the request failed', ANSWER_STALLS * this.#stallMs);
  }

  /**
   * Waits for one step of the transfer, `ms` at most.
   * @throws the caller's reason when aborted
   * @throws PassingFailure when the network fails or nothing comes in time
   */
  async #wait<T>(step: Promise<T>, what: string, ms: number): Promise<T> {
    const stall = new PassingFailure(`${what}: nothing came for ${ms} ms`);
    const timer = setTimeout(() => this.#controller.abort(stall), ms);
    try {
      return await step;
    } catch (cause) {
      this.#caller?.throwIfAborted();
      if (this.signal.reason === stall) throw stall;
      throw new PassingFailure(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * The body's bytes from `skip` on, `count` of them at most; fewer when the body ends.
   * @param endsThere whether the body must be over then: the last piece is held back until that is seen, as far as the network tells
   * @throws PassingFailure when it is not
   */
  async *body(response: Response, skip: number, count: number, endsThere: boolean): AsyncGenerator<Uint8Array> {
    const reader = response.body?.getReader();
    if (!reader) return;
    let ahead = skip;
    let left = count;
    while (left > 0) {
      const { done, value } = await this.#next(reader);
      if (done) return;
      const piece = value.subarray(Math.min(ahead, value.length), Math.min(value.length, ahead + left));
      const hasMore = value.length > ahead + left;
      ahead -= Math.min(ahead, value.length);
      left -= piece.length;
      if (left === 0 && endsThere && (hasMore || !(await this.#isOver(reader))))
        throw new PassingFailure(`the body has more than the ${skip + count} bytes that it should have`);
      if (piece.length > 0) yield piece;
    }
  }

  #next(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<ReadableStreamReadResult<Uint8Array>> {
    return this.#wait(reader.read(), 'the transfer broke', this.#stallMs);
  }

  /** Seeing the end of a body also lets the connection serve the next request. */
  async #isOver(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<boolean> {
    const rest = await this.#next(reader).catch(() => null);
    this.#caller?.throwIfAborted();
    return rest === null || rest.done;
  }

  /** Stops the transfer, if it is still going, and lets go of the caller's signal. */
  close(): void {
    this.#caller?.removeEventListener('abort', this.#onAbort);
    this.#controller.abort();
  }
}
