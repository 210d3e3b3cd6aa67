/** A local HTTP server that serves files from memory and misbehaves as told, request by request. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Request {
  readonly method: string;
  /** Path below the server's root, without the leading slash. */
  readonly path: string;
  /** Inclusive bounds of the Range header. */
  readonly range: { readonly begin: number; readonly end: number } | null;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** What to do with one request; 'serve' is what a good server does. */
export type Fault =
  | 'serve'
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }
  /** Correct headers, then the connection breaks after this many bytes of the body. */
  | { readonly resetAfter: number; readonly whole?: boolean }
  /** Ends the body early without breaking the connection: no Content-Length, HTTP/1.0 style. */
  | { readonly endAfter: number }
  /** Sends this many bytes, then nothing more. */
  | { readonly stallAfter: number }
  /** The whole file with status 200, as servers without ranges do. */
  | 'whole'
  /** The same without a Content-Length. */
  | 'whole-chunked'
  /** Serves with these headers on top; null removes one. */
  | { readonly set: Record<string, string | null> };

export interface FaultServer {
  readonly url: string;
  readonly requests: Request[];
  /** Bytes of bodies handed to the network so far. */
  sent: number;
  /** Answers that the client closed before their end. */
  aborted: number;
  /** Decides about each request; `n` counts from 0. */
  plan: (request: Request, n: number) => Fault;
  close(): Promise<void>;
}

const PIECE = 16 * 1024;

function readRange(header: string | undefined): Request['range'] {
  const found = /^bytes=(\d+)-(\d+)$/.exec(header ?? '');
  return found ? { begin: Number(found[1]), end: Number(found[2]) } : null;
}

export async function faultServer(files: Readonly<Record<string, Uint8Array>>): Promise<FaultServer> {
  const server: Server = createServer((q, r) => void answer(q, r));
  const out: FaultServer = {
    url: '',
    requests: [],
    sent: 0,
    aborted: 0,
    plan: () => 'serve',
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  /** Writes until the peer is gone, never faster than it reads. */
  async function write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && !response.destroyed; at += PIECE) {
      const piece = bytes.subarray(at, at + PIECE);
      out.sent += piece.length;
      if (response.write(piece)) continue;
      await new Promise<void>((resolve) => {
        const go = (): void => {
          response.off('drain', go).off('close', go);
          resolve();
        };
        response.on('drain', go).on('close', go);
      });
    }
  }

  async function answer(q: IncomingMessage, response: ServerResponse): Promise<void> {
    const request: Request = {
      method: q.method ?? 'GET',
      path: (q.url ?? '/').slice(1),
      range: readRange(q.headers.range),
      headers: q.headers,
    };
    response.on('close', () => (out.aborted += response.writableFinished ? 0 : 1));
    const fault = out.plan(request, out.requests.push(request) - 1);
    if (typeof fault === 'object' && 'status' in fault) {
      response.writeHead(fault.status, fault.headers).end(fault.body ?? '');
      return;
    }
    const file = files[request.path];
    if (!file) {
      response.writeHead(404).end('not found');
      return;
    }
    const whole = fault === 'whole' || fault === 'whole-chunked' || (typeof fault === 'object' && 'whole' in fault);
    const ranged = request.range !== null && !whole;
    const { begin, end } = ranged && request.range ? request.range : { begin: 0, end: file.length - 1 };
    if (ranged && begin >= file.length) {
      response.writeHead(416, { 'content-range': `bytes */${file.length}` }).end();
      return;
    }
    const body = file.subarray(begin, Math.min(end + 1, file.length));
    const headers: Record<string, string | null> = {
      'content-type': 'application/octet-stream',
      'content-length':
        fault === 'whole-chunked' || (typeof fault === 'object' && 'endAfter' in fault) ? null : String(body.length),
      'content-range': ranged ? `bytes ${begin}-${begin + body.length - 1}/${file.length}` : null,
      ...(typeof fault === 'object' && 'set' in fault ? fault.set : {}),
    };
    response.writeHead(
      ranged ? 206 : 200,
      Object.fromEntries(Object.entries(headers).filter((h): h is [string, string] => h[1] !== null)),
    );
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    const cut = typeof fault === 'object' ? Object.entries(fault).find(([k]) => k.endsWith('After')) : undefined;
    await write(response, cut ? body.subarray(0, Number(cut[1])) : body);
    if (typeof fault === 'object' && 'resetAfter' in fault) setTimeout(() => response.destroy(), 20);
    else if (!(typeof fault === 'object' && 'stallAfter' in fault)) response.end();
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(out, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` });
}
