/** How a model is reached: in this thread, or in a worker behind a port. */

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of what happens while the call runs. */
  readonly onEvent?: ((value: unknown) => void) | undefined;
  /** Handed over, not copied. */
  readonly transfer?: Transferable[] | undefined;
}

export interface StreamOptions extends CallOptions {
  /** Items that may be made before they are asked for. Default 0: each is made when the reader asks. */
  readonly ahead?: number | undefined;
}

export interface Caller {
  call(name: string, args: readonly unknown[], options?: CallOptions): Promise<unknown>;
  /** Starts when it is first read. Whoever leaves the loop ends it on the other side, too. */
  stream(name: string, args: readonly unknown[], options?: StreamOptions): AsyncGenerator<unknown, unknown, void>;
}

export interface Context {
  readonly signal: AbortSignal;
  emit(value: unknown): void;
}

/** What can be asked of one side. An answer's buffers are handed over where `transfers` names the call. */
export interface Handlers {
  readonly calls: Readonly<Record<string, (args: readonly unknown[], context: Context) => unknown>>;
  readonly streams: Readonly<
    Record<string, (args: readonly unknown[], context: Context) => AsyncGenerator<unknown, unknown, void>>
  >;
  readonly transfers?: ReadonlySet<string>;
}

export interface Connection extends Caller {
  /** What follows every answer: as it was when the last one came. */
  readonly note: unknown;
  /** Rejects whatever is open, and what is asked later, with `reason`. Ends the worker if it was started for this connection. */
  close(reason: Error): void;
}
