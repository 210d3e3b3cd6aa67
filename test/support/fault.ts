/** What a server can do wrong with one request. */

export interface Misbehaviour {
  /** Answers with this alone, and nothing of the file. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** On top of the headers of a good answer; null removes one. */
  readonly set?: Readonly<Record<string, string | null>>;

  /** The whole file with status 200, as servers without ranges do. */
  readonly whole?: boolean;
  /** Other bytes than asked for: from so much later in the file, ... */
  readonly shift?: number;
  /** ... or so many more (fewer, below zero). */
  readonly extra?: number;
  /** Content-Range says what was asked for, whatever is sent. */
  readonly claimsAsked?: boolean;
  /** Sends ranges of a new version to a client that asks for more of an old one; a good server sends the new file whole. */
  readonly ignoresIfRange?: boolean;
  /** One bit of the byte at this place in the file is wrong. */
  readonly flipAt?: number;

  /** Compresses, always or only when the request allows it. A client sees the encoded length. */
  readonly gzip?: 'always' | 'accepted';
  /** Without Content-Length: in chunks, or until the connection closes, as HTTP/1.0 did. */
  readonly framing?: 'chunked' | 'close';

  /** The connection breaks after so many bytes of the body; `hard`: by RST, which loses what the client has not read yet. */
  readonly resetAfter?: number;
  readonly hard?: boolean;
  /** Ends the body early as if that were all; the framing is 'chunked' unless it says otherwise. */
  readonly endAfter?: number;
  /** Sends so many bytes, then nothing more. */
  readonly stallAfter?: number;

  /** Of this request alone, beside what the server's link does to all. */
  readonly latencyMs?: number;
  readonly bytesPerSecond?: number;
}

/** 'serve' is what a good server does. */
export type Fault = 'serve' | 'whole' | 'whole-chunked' | Misbehaviour;

export const behaviourOf = (fault: Fault): Misbehaviour => {
  if (fault === 'serve') return {};
  if (fault === 'whole') return { whole: true };
  if (fault === 'whole-chunked') return { whole: true, framing: 'chunked' };
  return fault;
};

export const webPage: Misbehaviour = {
  status: 200,
  headers: { 'content-type': 'text/html; charset=utf-8' },
  body: '<!doctype html><title>Not the file</title>',
};

export const redirectTo = (location: string): Misbehaviour => ({ status: 302, headers: { location } });
