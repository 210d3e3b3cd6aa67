/** The connection to a model in this thread. */
import { invariant } from '../util/assert.ts';
import type { CallOptions, Connection, Context, Handlers } from './connection.ts';

export class Direct implements Connection {
  readonly #handlers: Handlers;
  readonly #state: () => unknown;
  readonly #closing = new AbortController();

  /** @param state what `note` tells, at any time */
  constructor(handlers: Handlers, state: () => unknown) {
    this.#handlers = handlers;
    this.#state = state;
  }

  get note(): unknown {
    return this.#state();
  }

  async call(name: string, args: readonly unknown[], options: CallOptions = {}): Promise<unknown> {
    this.#closing.signal.throwIfAborted();
    const handler = this.#handlers.calls[name];
    invariant(handler, `nothing answers the call ${name}`);
    return handler(args, contextOf(options));
  }

  async *stream(
    name: string,
    args: readonly unknown[],
    options: CallOptions = {},
  ): AsyncGenerator<unknown, unknown, void> {
    this.#closing.signal.throwIfAborted();
    const handler = this.#handlers.streams[name];
    invariant(handler, `nothing answers the stream ${name}`);
    return yield* handler(args, contextOf(options));
  }

  close(reason: Error): void {
    this.#closing.abort(reason);
  }
}

const contextOf = ({ signal, onEvent }: CallOptions): Context => ({
  signal: signal ?? new AbortController().signal,
  emit: (value) => onEvent?.(value),
});
