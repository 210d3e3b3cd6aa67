/** The answering side of a port: requests that run here for the other side. */
import { invariant } from '../../util/assert.ts';
import type { Context, Handlers } from '../connection.ts';
import type { Answering, Asking } from './messages.ts';
import { buffersOf } from './buffers.ts';
import { fromWire, toWire } from './wire-error.ts';

type Noted = Answering & { readonly kind: 'item' | 'result' | 'error' };
type Send = (message: Answering, transfer?: Transferable[]) => void;

/** One request, from its message to its result. */
class Running implements Context {
  readonly #controller = new AbortController();
  readonly #id: number;
  readonly #send: Send;
  #credit: number;
  #hasLeft = false;
  #wake: () => void = () => undefined;

  constructor(id: number, credit: number, send: Send) {
    this.#id = id;
    this.#credit = credit;
    this.#send = send;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  readonly emit = (value: unknown): void => this.#send({ kind: 'event', id: this.#id, value });

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  more(credit: number): void {
    this.#credit += credit;
    this.#wake();
  }

  leave(): void {
    this.#hasLeft = true;
    this.#wake();
  }

  /** Waits until the reader wants an item. @returns false when it has left */
  async isWanted(): Promise<boolean> {
    while (this.#credit === 0 && !this.#hasLeft) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#credit--;
    return !this.#hasLeft;
  }
}

export class Served {
  readonly #handlers: Handlers;
  readonly #post: Send;
  readonly #note: () => unknown;
  readonly #running = new Map<number, Running>();

  /** @param note what changed since it was last asked for, or undefined; goes with the next answer */
  constructor(handlers: Handlers, post: Send, note: () => unknown) {
    this.#handlers = handlers;
    this.#post = post;
    this.#note = note;
  }

  receive(message: Asking): void {
    switch (message.kind) {
      case 'call':
        return void this.#run(message, 0, (context) => this.#call(message, context));
      case 'stream':
        return void this.#run(message, message.credit, (context) => this.#stream(message, context));
      case 'more':
        return this.#running.get(message.id)?.more(message.credit);
      case 'leave':
        return this.#running.get(message.id)?.leave();
      case 'abort':
        return this.#running.get(message.id)?.abort(fromWire(message.reason));
    }
  }

  /** Nobody waits for the answers any more. */
  close(reason: Error): void {
    for (const running of this.#running.values()) {
      running.abort(reason);
      running.leave();
    }
  }

  async #run(
    { id, aborted }: Asking & { kind: 'call' | 'stream' },
    credit: number,
    work: (running: Running) => Promise<void>,
  ): Promise<void> {
    const running = new Running(id, credit, (message) => this.#post(message));
    if (aborted) running.abort(fromWire(aborted));
    this.#running.set(id, running);
    try {
      await work(running);
    } catch (error) {
      const isReason = running.signal.aborted && error === running.signal.reason;
      this.#answer({ kind: 'error', id, error: toWire(error), isReason });
    } finally {
      this.#running.delete(id);
    }
  }

  async #call({ id, name, args }: Asking & { kind: 'call' }, running: Running): Promise<void> {
    const handler = this.#handlers.calls[name];
    invariant(handler, `nothing answers the call ${name}`);
    const value = await handler(args, running);
    this.#answer({ kind: 'result', id, value }, this.#handlers.transfers?.has(name) ? buffersOf(value) : []);
  }

  async #stream({ id, name, args }: Asking & { kind: 'stream' }, running: Running): Promise<void> {
    const handler = this.#handlers.streams[name];
    invariant(handler, `nothing answers the stream ${name}`);
    const items = handler(args, running);
    const hands = this.#handlers.transfers?.has(name) ?? false;
    while (await running.isWanted()) {
      const { value, done } = await items.next();
      if (done) return this.#answer({ kind: 'result', id, value });
      this.#answer({ kind: 'item', id, value }, hands ? buffersOf(value) : []);
    }
    await items.return(undefined);
    this.#answer({ kind: 'result', id, value: undefined });
  }

  #answer(message: Noted, transfer: Transferable[] = []): void {
    const note = this.#note();
    this.#post(note === undefined ? message : { ...message, note }, transfer);
  }
}
