/** The page's side of a worker: its first answer, its death. */
import { WorkerLost } from '../../errors.ts';
import { holdLock, watchLock } from '../../util/alive.ts';
import type { CallOptions, Connection, Handlers, StreamOptions } from '../connection.ts';
import { Peer } from '../port/peer.ts';
import { checkProtocol, PROTOCOL, type Greeting } from './greeting.ts';

export type AnyWorker = Worker | SharedWorker;

export interface ConnectOptions {
  /** Answers the worker's own questions, of a source that stays on the page. */
  readonly handlers: Handlers;
  /** The worker is nobody else's: it is terminated with the connection. */
  readonly isOurs: boolean;
  /** How long its first answer may take. */
  readonly startMs: number;
}

export class WorkerConnection implements Connection {
  readonly #worker: AnyWorker;
  readonly #isOurs: boolean;
  readonly #watch = new AbortController();
  readonly #peer: Peer;
  #letGo: () => void = () => undefined;
  #isClosed = false;

  /** @throws WorkerLost when the worker does not answer */
  static async open(worker: AnyWorker, options: ConnectOptions): Promise<WorkerConnection> {
    const { port1, port2 } = new MessageChannel();
    const connection = new WorkerConnection(worker, port1, options);
    try {
      await connection.#greet(port2, options.startMs);
      return connection;
    } catch (error) {
      connection.close(new WorkerLost('The worker was not started'));
      throw error;
    }
  }

  private constructor(worker: AnyWorker, port: MessagePort, { handlers, isOurs }: ConnectOptions) {
    this.#worker = worker;
    this.#isOurs = isOurs;
    this.#peer = new Peer(port, handlers);
    const { signal } = this.#watch;
    worker.addEventListener('error', this.#onError as EventListener, { signal });
    worker.addEventListener('messageerror', () => this.#die('sent something unreadable'), { signal });
  }

  get note(): unknown {
    return this.#peer.note;
  }

  call(name: string, args: readonly unknown[], options?: CallOptions): Promise<unknown> {
    return this.#peer.call(name, args, options);
  }

  stream(name: string, args: readonly unknown[], options?: StreamOptions): AsyncGenerator<unknown, unknown, void> {
    return this.#peer.stream(name, args, options);
  }

  close(reason: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (!this.#isOurs) void this.#peer.call('goodbye', []).catch(() => undefined);
    this.#watch.abort();
    this.#letGo();
    this.#peer.close(reason);
    if (this.#isOurs && this.#worker instanceof Worker) this.#worker.terminate();
  }

  async #greet(port: MessagePort, startMs: number): Promise<void> {
    const name = `webmoe-${crypto.randomUUID()}`;
    const greeting: Greeting = { webmoe: PROTOCOL, port, workerLock: `${name}-worker`, pageLock: `${name}-page` };
    this.#letGo = await holdLock(greeting.pageLock);
    const timer = setTimeout(() => this.#die(`did not answer within ${startMs / 1000} seconds`), startMs);
    try {
      const target = this.#worker instanceof Worker ? this.#worker : this.#worker.port;
      if ('start' in target) target.start();
      target.postMessage(greeting, [port]);
      checkProtocol(await this.#peer.call('hello', []));
    } finally {
      clearTimeout(timer);
    }
    watchLock(greeting.workerLock, this.#watch.signal, () => this.#die('was ended'));
    // From here on an error is one that nobody caught: of ours in our worker, of whoever's in another's, which goes on.
    this.#hasStarted = true;
  }

  #hasStarted = false;

  readonly #onError = (event: ErrorEvent): void => {
    if (this.#hasStarted && !this.#isOurs) return;
    event.preventDefault();
    this.#die(`failed${event.message ? ` (${event.message})` : ': is its script where the page expects it?'}`);
  };

  #die(how: string): void {
    this.close(new WorkerLost(`The worker ${how}: restart the model, or load it again`));
  }
}
