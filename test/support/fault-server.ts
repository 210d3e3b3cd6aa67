/** A local HTTP server that serves files from memory or disk over a link as slow as told, and misbehaves as told, request by request. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { behaviourOf, type Fault, type Misbehaviour } from './fault.ts';
import { Link, pause, type LinkSpeed } from './link.ts';
import { piecesOf, sizeOf, tagOf, type ServedFile } from './served-file.ts';

export type { Fault } from './fault.ts';

export interface Request {
  readonly method: string;
  /** Path below the server's root, without the leading slash. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Inclusive bounds of the Range header; `end` is Infinity where it names none. */
  readonly range: { readonly begin: number; readonly end: number } | null;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Bytes of the file that it asks for. */
  readonly asked: number;
  /** Bytes of the body handed to the network so far. */
  sent: number;
}

export interface Traffic {
  readonly requests: number;
  readonly asked: number;
  readonly sent: number;
}

/** Which headers a page of another origin sees: none of the server's answers at all, the few that browsers always show, or those that matter. */
export type Cors = 'none' | 'hidden' | 'exposed';

export interface FaultServer {
  readonly url: string;
  /** By path; may be changed at any time. */
  readonly files: Record<string, ServedFile>;
  readonly requests: Request[];
  /** Bytes of bodies handed to the network so far. */
  sent: number;
  /** Answers that the client closed before their end. */
  aborted: number;
  /** Decides about each request; `n` counts from 0. */
  plan: (request: Request, n: number) => Fault;
  cors: Cors;
  /** Sends an ETag with each file. */
  etags: boolean;
  /** Slows all transfers down from now on. */
  setLink(speed: LinkSpeed): void;
  /** Sums over the requests for one path, or for all. */
  traffic(path?: string): Traffic;
  /** Forgets requests, sums and plan; the link stays. */
  reset(): void;
  close(): Promise<void>;
}

export interface ServerOptions {
  readonly link?: LinkSpeed;
  readonly cors?: Cors;
  readonly etags?: boolean;
}

const PIECE = 16 * 1024;

const TYPES: Readonly<Record<string, string>> = { html: 'text/html; charset=utf-8', js: 'text/javascript' };
const typeOf = (path: string): string => TYPES[path.split('.').at(-1)!] ?? 'application/octet-stream';

const CORS_HEADERS: Readonly<Record<Cors, Readonly<Record<string, string>>>> = {
  none: {},
  hidden: { 'access-control-allow-origin': '*' },
  exposed: {
    'access-control-allow-origin': '*',
    'access-control-expose-headers': 'Accept-Ranges, Content-Encoding, Content-Range, ETag, Retry-After',
  },
};

function readRange(header: string | undefined): Request['range'] {
  const found = /^bytes=(\d+)-(\d*)$/.exec(header ?? '');
  return found ? { begin: Number(found[1]), end: found[2] === '' ? Infinity : Number(found[2]) } : null;
}

/** The bytes of an answer, before anything cuts it. */
interface Body {
  readonly status: 200 | 206;
  readonly headers: Readonly<Record<string, string | null>>;
  readonly pieces: AsyncIterable<Uint8Array>;
}

/** What the file holds in [begin, end), but for one bit if told so. */
async function* flipped(
  pieces: AsyncIterable<Uint8Array>,
  begin: number,
  flipAt: number | undefined,
): AsyncGenerator<Uint8Array> {
  let at = begin;
  for await (const piece of pieces) {
    const i = (flipAt ?? -1) - at;
    at += piece.length;
    if (i < 0 || i >= piece.length) yield piece;
    else {
      const copy = piece.slice();
      copy[i]! ^= 1;
      yield copy;
    }
  }
}

async function gzipped(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return gzipSync(Buffer.concat(all));
}

async function bodyOf(file: ServedFile, { range, headers: asks }: Request, b: Misbehaviour): Promise<Body> {
  const size = sizeOf(file);
  const version = asks['if-range'];
  const isOld = version !== undefined && !b.ignoresIfRange && version !== tagOf(file);
  const ranged = range !== null && !b.whole && !isOld;
  const asked = ranged ? { begin: range.begin, end: Math.min(size, range.end + 1) } : { begin: 0, end: size };
  const begin = Math.min(size, asked.begin + (b.shift ?? 0));
  const end = Math.max(begin, Math.min(size, asked.end + (b.shift ?? 0) + (b.extra ?? 0)));
  const said = b.claimsAsked ? asked : { begin, end };
  const plain = flipped(piecesOf(file, begin, end, PIECE), begin, b.flipAt);
  const encodes = b.gzip === 'always' || (b.gzip === 'accepted' && /\bgzip\b/.test(String(asks['accept-encoding'])));
  const encoded = encodes ? await gzipped(plain) : null;
  const hasLength = (b.framing ?? (b.endAfter === undefined ? 'length' : 'chunked')) === 'length';
  return {
    status: ranged ? 206 : 200,
    headers: {
      'content-encoding': encoded ? 'gzip' : null,
      'content-length': hasLength ? String(encoded?.length ?? end - begin) : null,
      'content-range': ranged ? `bytes ${said.begin}-${said.end - 1}/${size}` : null,
    },
    pieces: encoded ? piecesOf(encoded, 0, encoded.length, PIECE) : plain,
  };
}

export async function faultServer(
  files: Readonly<Record<string, ServedFile>>,
  options: ServerOptions = {},
): Promise<FaultServer> {
  const server: Server = createServer((q, r) => void answer(q, r));
  let link = new Link(options.link);
  const out: FaultServer = {
    url: '',
    files: { ...files },
    requests: [],
    sent: 0,
    aborted: 0,
    plan: () => 'serve',
    cors: options.cors ?? 'none',
    etags: options.etags ?? false,
    setLink: (speed) => void (link = new Link(speed)),
    traffic(path) {
      const of = out.requests.filter((r) => path === undefined || r.path === path);
      const sum = (key: 'asked' | 'sent'): number => of.reduce((total, r) => total + r[key], 0);
      return { requests: of.length, asked: sum('asked'), sent: sum('sent') };
    },
    reset() {
      out.requests.length = out.sent = out.aborted = 0;
      out.plan = () => 'serve';
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  /** Writes until the peer is gone, never faster than it reads or the link allows; no more than `most` bytes. */
  async function write(request: Request, response: ServerResponse, body: Body, own: Link, most: number): Promise<void> {
    let left = most;
    for await (const whole of body.pieces) {
      const piece = whole.subarray(0, left);
      left -= piece.length;
      await Promise.all([link.pass(piece.length), own.pass(piece.length)]);
      if (response.destroyed || piece.length === 0) return;
      out.sent += piece.length;
      request.sent += piece.length;
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

  function read(q: IncomingMessage): Request {
    const url = new URL(q.url ?? '/', 'http://server');
    const path = url.pathname.slice(1);
    const range = readRange(q.headers.range);
    const file = out.files[path];
    const size = file && q.method === 'GET' ? sizeOf(file) : 0;
    const asked = range ? Math.max(0, Math.min(size, range.end + 1) - range.begin) : size;
    return {
      method: q.method ?? 'GET',
      path,
      query: url.searchParams,
      range,
      headers: q.headers,
      asked,
      sent: 0,
    };
  }

  async function answer(q: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = read(q);
    response.on('close', () => (out.aborted += response.writableFinished ? 0 : 1));
    const b = behaviourOf(out.plan(request, out.requests.push(request) - 1));
    const wait = (link.speed.latencyMs ?? 0) + (b.latencyMs ?? 0);
    if (wait > 0) await pause(wait);
    const cors = CORS_HEADERS[out.cors];
    const file = out.files[request.path];
    if (request.method === 'OPTIONS') {
      response.writeHead(204, { ...cors, 'access-control-allow-headers': 'authorization, range' }).end();
    } else if (b.status !== undefined) {
      response.writeHead(b.status, { ...cors, ...b.headers }).end(b.body ?? '');
    } else if (!file) {
      response.writeHead(404, cors).end('not found');
    } else if (request.range && !b.whole && request.range.begin >= sizeOf(file)) {
      response.writeHead(416, { ...cors, 'content-range': `bytes */${sizeOf(file)}` }).end();
    } else await serve(request, response, file, b);
  }

  async function serve(request: Request, response: ServerResponse, file: ServedFile, b: Misbehaviour): Promise<void> {
    const body = await bodyOf(file, request, b);
    const headers: Record<string, string | null> = {
      ...CORS_HEADERS[out.cors],
      'content-type': typeOf(request.path),
      etag: out.etags ? tagOf(file) : null,
      ...body.headers,
      ...b.set,
    };
    if (b.framing === 'close') response.removeHeader('transfer-encoding'); // leaves node the end of the connection only
    response.writeHead(
      body.status,
      Object.fromEntries(Object.entries(headers).filter((h): h is [string, string] => h[1] !== null)),
    );
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    const own = new Link(b.bytesPerSecond === undefined ? {} : { bytesPerSecond: b.bytesPerSecond });
    await write(request, response, body, own, b.resetAfter ?? b.endAfter ?? b.stallAfter ?? Infinity);
    if (b.resetAfter !== undefined) {
      if (b.hard) response.socket?.resetAndDestroy();
      else setTimeout(() => response.destroy(), 20);
    } else if (b.stallAfter === undefined) response.end();
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(out, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` });
}
