/** The asking side of a port: requests of ours that run on the other side. */
import { InvalidRequest } from '../../errors.ts';
import type { Caller, CallOptions, StreamOptions } from '../connection.ts';
import type { Answering, Asking } from './messages.ts';
import { fromWire, toWire } from './wire-error.ts';

type Send = (message: Asking, transfer?: Transferable[]) => void;

/** What the other side has said of one request and nobody has read yet. */
class Inbox {
  readonly #onEvent: CallOptions['onEvent'];
  readonly #signal: AbortSignal | undefined;
  readonly #items: (Answering & { kind: 'item' | 'result' | 'error' })[] = [];
  #failure: { readonly error: unknown } | null = null;
  #wake: () => void = () => undefined;

  constructor({ onEvent, signal }: CallOptions) {
    this.#onEvent = onEvent;
    this.#signal = signal;
  }

  put(message: Answering): void {
    if (message.kind === 'event') return this.#onEvent?.(message.value);
    this.#items.push(message);
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }

  async next(): Promise<IteratorResult<unknown, unknown>> {
    while (this.#items.length === 0 && !this.#failure) await new Promise<void>((resolve) => (this.#wake = resolve));
    const message = this.#items.shift();
    if (!message) throw this.#failure!.error;
    if (message.kind !== 'error') return { value: message.value, done: message.kind === 'result' };
    // The caller's own object, which it may compare.
    throw message.isReason && this.#signal?.aborted ? this.#signal.reason : fromWire(message.error);
  }
}

export class Asked implements Caller {
  readonly #post: Send;
  readonly #open = new Map<number, Inbox>();
  #lastId = 0;
  #end: Error | null = null;

  constructor(post: Send) {
    this.#post = post;
  }

  get openRequests(): number {
    return this.#open.size;
  }

  receive(message: Answering): void {
    this.#open.get(message.id)?.put(message);
  }

  close(reason: Error): void {
    this.#end ??= reason;
    for (const inbox of this.#open.values()) inbox.fail(reason);
  }

  async call(name: string, args: readonly unknown[], options: CallOptions = {}): Promise<unknown> {
    const id = ++this.#lastId;
    const request = this.#start({ kind: 'call', id, name, args }, options);
    try {
      return (await request.inbox.next()).value;
    } finally {
      request.end();
    }
  }

  async *stream(
    name: string,
    args: readonly unknown[],
    options: StreamOptions = {},
  ): AsyncGenerator<unknown, unknown, void> {
    const id = ++this.#lastId;
    const credit = 1 + (options.ahead ?? 0);
    const request = this.#start({ kind: 'stream', id, name, args, credit }, options);
    let isOver = false;
    try {
      for (;;) {
        const { value, done } = await request.inbox.next().catch((error: unknown) => {
          isOver = true;
          throw error;
        });
        isOver = done ?? false;
        if (done) return value;
        yield value;
        if (!this.#end) this.#post({ kind: 'more', id, credit: 1 });
      }
    } finally {
      if (!isOver) await this.#leave(id, request.inbox);
      request.end();
    }
  }

  /** Until the other side has stopped: so that what is asked next finds everything settled, as in one thread. */
  async #leave(id: number, inbox: Inbox): Promise<void> {
    if (this.#end) return;
    this.#post({ kind: 'leave', id });
    try {
      while (!(await inbox.next()).done);
    } catch {
      // The reader is gone, and so is whoever would want to know.
    }
  }

  #start(message: Asking & { kind: 'call' | 'stream' }, options: CallOptions): { readonly inbox: Inbox; end(): void } {
    const { signal, transfer } = options;
    if (this.#end) throw this.#end;
    const { id } = message;
    try {
      this.#post(signal?.aborted ? { ...message, aborted: toWire(signal.reason) } : message, transfer);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new InvalidRequest(
        `What was asked for cannot be sent to a worker: ${why}`,
        { call: message.name },
        { cause },
      );
    }
    const inbox = new Inbox(options);
    this.#open.set(id, inbox);
    const abort = (): void => this.#post({ kind: 'abort', id, reason: toWire(signal?.reason) });
    signal?.addEventListener('abort', abort, { once: true });
    return {
      inbox,
      end: () => {
        this.#open.delete(id);
        signal?.removeEventListener('abort', abort);
      },
    };
  }
}
