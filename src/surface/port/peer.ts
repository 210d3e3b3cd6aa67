/** One end of a port: asks and answers. Both ends are the same. */
import { WorkerLost } from '../../errors.ts';
import type { Connection, Handlers, CallOptions, StreamOptions } from '../connection.ts';
import { Asked } from './asked.ts';
import type { Answering, Asking, Message, Port } from './messages.ts';
import { Served } from './served.ts';

const isAnswer = (message: Message): message is Answering =>
  message.kind === 'event' || message.kind === 'item' || message.kind === 'result' || message.kind === 'error';

export interface PeerOptions {
  /** What changed beside the answers, if anything did: goes with the next one. */
  readonly changes?: () => unknown;
}

export class Peer implements Connection {
  readonly #port: Port;
  readonly #asked: Asked;
  readonly #served: Served;
  #isClosed = false;
  #note: unknown;

  constructor(port: Port, handlers: Handlers, { changes = () => undefined }: PeerOptions = {}) {
    this.#port = port;
    const post = (message: Message, transfer: Transferable[] = []): void => {
      if (!this.#isClosed) port.postMessage(message, transfer);
    };
    this.#asked = new Asked(post);
    this.#served = new Served(handlers, post, changes);
    port.onmessage = ({ data }) => this.#receive(data);
    port.onmessageerror = () => this.close(new WorkerLost('A message could not be read: load the model again'));
  }

  get note(): unknown {
    return this.#note;
  }

  /** Requests of ours that are not answered yet. */
  get openRequests(): number {
    return this.#asked.openRequests;
  }

  call(name: string, args: readonly unknown[], options?: CallOptions): Promise<unknown> {
    return this.#asked.call(name, args, options);
  }

  stream(name: string, args: readonly unknown[], options?: StreamOptions): AsyncGenerator<unknown, unknown, void> {
    return this.#asked.stream(name, args, options);
  }

  close(reason: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#port.onmessage = null;
    this.#port.close();
    this.#asked.close(reason);
    this.#served.close(reason);
  }

  #receive(message: Message): void {
    if (!isAnswer(message)) return this.#served.receive(message satisfies Asking);
    if ('note' in message) this.#note = message.note;
    this.#asked.receive(message);
  }
}
