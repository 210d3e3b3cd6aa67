/** The ways in which an answer to a byte range goes wrong, and what the reader must make of each: right bytes, or an error of a type. */
import { redirectTo, webPage, type Misbehaviour } from './fault.ts';
import type { Request } from './fault-server.ts';

/** 'bytes', or what the message of the SourceError says. */
export type Outcome = 'bytes' | RegExp;

export interface NetworkRow {
  readonly name: string;
  readonly fault: (request: Request) => Misbehaviour;
  /** When only the first answer is bad, ... */
  readonly once: Outcome;
  /** ... and when all are. */
  readonly always: Outcome;
  /** The bytes that a plain `fetch` of the range takes for the answer: right ones, others without any error, or an error (also a status). */
  readonly plain: 'bytes' | 'others' | 'error';
}

const half = ({ asked }: Request): number => Math.floor(asked / 2);
const gaveUp = /gave up after 5 tries/;

const row = (
  name: string,
  plain: NetworkRow['plain'],
  once: Outcome,
  always: Outcome,
  fault: Misbehaviour | NetworkRow['fault'],
): NetworkRow => ({ name, plain, once, always, fault: typeof fault === 'function' ? fault : () => fault });

export const networkRows: readonly NetworkRow[] = [
  row('a good server', 'bytes', 'bytes', 'bytes', {}),
  row('a slow answer', 'bytes', 'bytes', 'bytes', { latencyMs: 40 }),
  row('Content-Length, closed early', 'error', 'bytes', gaveUp, (r) => ({ resetAfter: half(r) })),
  row('Content-Length, reset early', 'error', 'bytes', gaveUp, (r) => ({ resetAfter: half(r), hard: true })),
  row('chunked', 'bytes', 'bytes', 'bytes', { framing: 'chunked' }),
  row('chunked, closed early', 'error', 'bytes', gaveUp, (r) => ({ framing: 'chunked', resetAfter: half(r) })),
  row('chunked, ended early', 'others', 'bytes', gaveUp, (r) => ({ framing: 'chunked', endAfter: half(r) })),
  row('HTTP/1.0 without length', 'bytes', 'bytes', 'bytes', { framing: 'close' }),
  row('HTTP/1.0, closed early', 'others', 'bytes', gaveUp, (r) => ({ framing: 'close', endAfter: half(r) })),
  row('nothing at all', 'error', 'bytes', gaveUp, { resetAfter: 0 }),
  row('gzip', 'others', /Content-Encoding: gzip/, /Content-Encoding: gzip/, { gzip: 'always', whole: true }),
  row('gzip, cut in the middle', 'others', /Content-Encoding: gzip/, /Content-Encoding: gzip/, () => ({
    gzip: 'always',
    whole: true,
    endAfter: 250_000,
  })),
  row('gzip of a range', 'bytes', /Content-Encoding: gzip/, /Content-Encoding: gzip/, { gzip: 'always' }),
  row('gzip of a range, cut', 'others', /Content-Encoding: gzip/, /Content-Encoding: gzip/, (r) => ({
    gzip: 'always',
    endAfter: half(r),
  })),
  row('gzip for those who accept it', 'bytes', 'bytes', 'bytes', { gzip: 'accepted' }),
  row('the whole file with 200', 'others', 'bytes', 'bytes', { whole: true }),
  row('the whole file, chunked', 'others', 'bytes', 'bytes', { whole: true, framing: 'chunked' }),
  row('the whole file, HTTP/1.0', 'others', 'bytes', 'bytes', { whole: true, framing: 'close' }),
  row('another range', 'others', /sent bytes \d+-\d+ when asked for/, /sent bytes/, { shift: 10, extra: -10 }),
  row('a shorter range', 'others', /sent bytes \d+-\d+ when asked for/, /sent bytes/, { extra: -10 }),
  row('a longer body than claimed', 'others', 'bytes', gaveUp, { extra: 10, claimsAsked: true }),
  row('the same, chunked', 'others', 'bytes', gaveUp, { extra: 10, claimsAsked: true, framing: 'chunked' }),
  row('a shorter body than claimed', 'others', 'bytes', gaveUp, { extra: -10, claimsAsked: true }),
  row('no Content-Range', 'bytes', /no Content-Range/, /no Content-Range/, { set: { 'content-range': null } }),
  row('a senseless Content-Range', 'bytes', /"pages 1-2"/, /"pages 1-2"/, { set: { 'content-range': 'pages 1-2' } }),
  row('several parts', 'bytes', /multipart/, /multipart/, {
    set: { 'content-type': 'multipart/byteranges; boundary=x' },
  }),
  row('416', 'error', /416.*shorter/, /416.*shorter/, { status: 416 }),
  row('404', 'error', /no such file/, /no such file/, { status: 404 }),
  row('401', 'error', /gated/, /gated/, { status: 401 }),
  row('403', 'error', /gated/, /gated/, { status: 403 }),
  row('a web page with 200', 'others', /web page/, /web page/, webPage),
  row('408', 'error', 'bytes', gaveUp, { status: 408 }),
  row('429', 'error', 'bytes', gaveUp, { status: 429, headers: { 'retry-after': '0' } }),
  row('500', 'error', 'bytes', gaveUp, { status: 500 }),
  row('502', 'error', 'bytes', gaveUp, { status: 502 }),
  row('503', 'error', 'bytes', gaveUp, { status: 503, body: 'busy' }),
  row('504', 'error', 'bytes', gaveUp, { status: 504 }),
  row('a redirect loop', 'error', 'bytes', gaveUp, ({ path }) => redirectTo(`/${path}`)),
];
