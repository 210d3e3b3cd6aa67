/** An OpenAI-compatible server for one model. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Chat, ChatRequest } from '../../chat/types.ts';
import { SourceError } from '../../errors.ts';
import { readJson } from './body.ts';
import { sendEvents } from './events.ts';
import { checkCaller, checkKey, corsHeaders, preflightHeaders, type GuardOptions } from './guard.ts';
import { toJson } from './json.ts';
import { busy, RequestQueue } from './queue.ts';
import { bodyOf, Refused, refusalOf } from './refusal.ts';

export interface ServerOptions extends GuardOptions {
  readonly chat: Chat;
  readonly model: { readonly id: string; readonly contextLength: number };
  /** Loaded LoRA adapters: each is a model that a request may name, as in vLLM. Default none. */
  readonly adapters?: readonly string[];
  /** 0: any that is free. */
  readonly port: number;
  /** Requests that are answered at a time. Default 1. */
  readonly atOnce?: number;
  /** Requests that may wait while as many are answered. */
  readonly maxWaiting: number;
  readonly maxBodyBytes: number;
  readonly keepAliveMs: number;
  /** What no client is told: unexpected errors. */
  readonly log: (line: string) => void;
}

export interface RunningServer {
  readonly url: string;
  /** Takes no more requests; what is being answered may go on for `graceMs`, and is aborted then. */
  close(graceMs: number): Promise<void>;
}

/** @throws SourceError when the address cannot be listened on */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const service = new Service(options);
  const server = createServer((request, response) => void service.answer(request, response));
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    url: `http://${host}:${port}`,
    async close(graceMs) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      service.close();
      server.closeIdleConnections();
      const timer = setTimeout(() => {
        service.abort();
        server.closeAllConnections();
      }, graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

const listen = (server: Server, { host, port }: ServerOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    const fail = (cause: NodeJS.ErrnoException): void => {
      const why =
        cause.code === 'EADDRINUSE' ? 'something listens there already: choose another --port' : cause.message;
      reject(new SourceError(`cannot listen on ${host}:${port}: ${why}`, { host, port }, { cause }));
    };
    server.once('error', fail);
    server.listen(port, host, () => {
      server.off('error', fail);
      resolve();
    });
  });

class Service {
  readonly #options: ServerOptions;
  readonly #queue: RequestQueue;
  readonly #created = Math.floor(Date.now() / 1000);
  readonly #abort = new AbortController();
  #isClosing = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#queue = new RequestQueue(options.maxWaiting, options.atOnce);
  }

  close(): void {
    this.#isClosing = true;
    this.#queue.close();
  }

  abort(): void {
    this.#abort.abort(busy('The server is shutting down'));
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.on('close', () => {
      gone.abort(new DOMException('The client is gone', 'AbortError'));
      if (this.#isClosing) request.socket.end();
    });
    const cors = corsHeaders(request, this.#options);
    try {
      checkCaller(request, this.#options);
      if (this.#isClosing) response.setHeader('connection', 'close');
      if (request.method === 'OPTIONS') {
        response.writeHead(204, { ...cors, ...preflightHeaders(request) }).end();
        return;
      }
      await this.#route(request, response, cors, AbortSignal.any([gone.signal, this.#abort.signal]));
    } catch (error) {
      if (!gone.signal.aborted) this.#refuse(response, cors, error);
    }
  }

  #refuse(response: ServerResponse, cors: Readonly<Record<string, string>>, error: unknown): void {
    const refusal = refusalOf(error);
    if (refusal.status === 500)
      this.#options.log(error instanceof Error ? (error.stack ?? error.message) : String(error));
    if (response.headersSent) response.destroy();
    else send(response, refusal.status, bodyOf(refusal), { ...cors, ...refusal.headers });
  }

  async #route(
    request: IncomingMessage,
    response: ServerResponse,
    cors: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void> {
    const path = new URL(request.url ?? '/', 'http://server').pathname.replace(/(?<=.)\/$/, '');
    const { model } = this.#options;
    const models = this.#models();
    const get: Readonly<Record<string, () => unknown>> = {
      '/health': () => ({ status: 'ok', model: model.id, running: this.#queue.running, waiting: this.#queue.waiting }),
      '/v1/models': () => ({ object: 'list', data: models }),
      ...Object.fromEntries(
        models.flatMap((m) => [m.id, encodeURIComponent(m.id)].map((id) => [`/v1/models/${id}`, () => m])),
      ),
    };
    const isChat = path === '/v1/chat/completions';
    const found = Object.hasOwn(get, path) ? get[path]! : null;
    if (!isChat && !found)
      throw new Refused(404, `There is no ${path} here: /v1/chat/completions, /v1/models, /health`);
    if (request.method !== (isChat ? 'POST' : 'GET'))
      throw new Refused(405, `${path} takes ${isChat ? 'POST' : 'GET'}`, {
        headers: { allow: isChat ? 'POST' : 'GET' },
      });
    if (path !== '/health') checkKey(request, this.#options);
    if (found) send(response, 200, found(), cors);
    else await this.#complete(request, response, cors, signal);
  }

  #models(): { readonly id: string }[] {
    const { model, adapters = [] } = this.#options;
    const common = { object: 'model', created: this.#created, owned_by: 'webmoe', context_length: model.contextLength };
    return [{ id: model.id, ...common }, ...adapters.map((id) => ({ id, ...common, parent: model.id }))];
  }

  /** A request that names an adapter as its model is answered under it. */
  #underAdapter(request: ChatRequest): ChatRequest {
    const isNamed = this.#options.adapters?.includes(request.model ?? '');
    return isNamed && request.adapter === undefined ? { ...request, adapter: request.model } : request;
  }

  async #complete(
    request: IncomingMessage,
    response: ServerResponse,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void> {
    const { chat, maxBodyBytes, keepAliveMs } = this.#options;
    const asked = this.#underAdapter((await readJson(request, maxBodyBytes)) as unknown as ChatRequest);
    const leave = await this.#queue.enter(signal);
    try {
      if (asked.stream) {
        const chunks = await chat.completions.create({ ...asked, stream: true }, { signal });
        await sendEvents(response, chunks, { headers, keepAliveMs, signal });
      } else {
        send(response, 200, await chat.completions.create({ ...asked, stream: false }, { signal }), headers);
      }
    } finally {
      leave();
    }
  }
}

function send(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>>,
): void {
  response.writeHead(status, { ...headers, 'content-type': 'application/json' }).end(toJson(value));
}
