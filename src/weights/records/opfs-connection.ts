/** One I/O worker, from its start to its end: calls in flight, and what becomes of them when it dies. */
import { StorageError } from '../../errors.ts';
import { fromWire, type Args, type CallName, type Reply, type Result } from './opfs-protocol.ts';

/** Fetching and starting a small script; slow only where something is wrong. */
const START_MS = 10_000;

interface Pending {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

export class OpfsConnection {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #watch = new AbortController();
  #nextId = 0;
  /** Why it is over. */
  #end: StorageError | null = null;

  /** @throws StorageError when the worker does not start or has no sync access handles */
  static async start(startWorker: () => Worker): Promise<OpfsConnection> {
    let worker: Worker;
    try {
      worker = startWorker();
    } catch (error) {
      throw new StorageError(
        'unavailable',
        'The I/O worker cannot be started: allow workers of this origin in the Content-Security-Policy (worker-src)',
        {},
        { cause: error },
      );
    }
    const connection = new OpfsConnection(worker);
    await connection.#open();
    return connection;
  }

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#receive(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#die(`failed${event.message ? ` (${event.message})` : ': is its script where the page expects it?'}`);
    };
    worker.onmessageerror = () => this.#die('sent something unreadable');
  }

  get isOver(): boolean {
    return this.#end !== null;
  }

  call<K extends CallName>(call: K, args: Args<K>, transfer: Transferable[] = []): Promise<Result<K>> {
    if (this.#end) return Promise.reject(this.#end);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      // The worker answers a call with that call's result.
      this.#pending.set(id, { resolve: resolve as (result: unknown) => void, reject });
      this.#worker.postMessage({ id, call, args }, transfer);
    });
  }

  /** Ends the worker. Calls in flight are rejected. */
  close(): void {
    this.#die('was closed');
  }

  async #open(): Promise<void> {
    const alive = `webmoe-io-${crypto.randomUUID()}`;
    const timer = setTimeout(() => this.#die(`did not start within ${START_MS / 1000} seconds`), START_MS);
    try {
      const { sync } = await this.call('start', { alive });
      if (!sync) this.#die('has no sync access handles in this browser');
      if (this.#end) throw this.#end;
    } finally {
      clearTimeout(timer);
    }
    // Nothing tells a page that its worker was ended; but then the worker's lock comes free.
    navigator.locks
      ?.request(alive, { signal: this.#watch.signal }, () => this.#die('was ended by the browser'))
      .catch(() => undefined);
  }

  #receive(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if ('error' in reply) pending?.reject(fromWire(reply.error));
    else pending?.resolve(reply.result);
  }

  #die(how: string): void {
    if (this.#end) return;
    this.#end = new StorageError('failed', `The I/O worker ${how}: open the files again, or reload the page`);
    this.#watch.abort();
    this.#worker.terminate();
    for (const { reject } of this.#pending.values()) reject(this.#end);
    this.#pending.clear();
  }
}
