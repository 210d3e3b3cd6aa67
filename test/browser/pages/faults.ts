/** Byte ranges over HTTP on `window`, as the engine reads them and as a plain `fetch` does. */
import { httpSource } from '../../../src/index.ts';

export interface Reading {
  readonly base: string;
  readonly file: string;
  readonly begin: number;
  readonly end: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cache?: RequestCache;
  readonly stallMs?: number;
  readonly firstDelayMs?: number;
}

/** `sha256` of the bytes, or what went wrong. */
export type Read =
  { readonly sha256: string } | { readonly error: string; readonly code: string | null; readonly message: string };

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

const outcome = (got: Promise<Uint8Array<ArrayBuffer>>): Promise<Read> =>
  got.then(
    async (bytes) => ({ sha256: await sha256(bytes) }),
    (error: Error & { code?: string }) => ({ error: error.name, code: error.code ?? null, message: error.message }),
  );

const sourceOf = ({ base, headers, cache, stallMs, firstDelayMs }: Reading): ReturnType<typeof httpSource> =>
  httpSource(base, {
    headers,
    cache,
    retry: { firstDelayMs: firstDelayMs ?? 1, maxDelayMs: firstDelayMs ?? 10, ...(stallMs ? { stallMs } : {}) },
  });

async function readAll(reading: Reading, source = sourceOf(reading)): Promise<Uint8Array<ArrayBuffer>> {
  const { file, begin, end } = reading;
  const out = new Uint8Array(end - begin);
  let at = 0;
  for await (const piece of source.stream(file, begin, end)) {
    out.set(piece, at); // throws where there are too many
    at += piece.length;
  }
  if (at !== out.length) throw new Error(`${at} bytes came, not ${out.length}`);
  return out;
}

async function plainly({ base, file, begin, end }: Reading): Promise<Uint8Array<ArrayBuffer>> {
  const range = `bytes=${begin}-${end - 1}`;
  const response = await fetch(base + file, { headers: { range }, cache: 'no-store' });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

export const faults = {
  read: (reading: Reading): Promise<Read> => outcome(readAll(reading)),
  plain: (reading: Reading): Promise<Read> => outcome(plainly(reading)),
  size: (reading: Reading): Promise<number | null | string> =>
    sourceOf(reading)
      .size(reading.file)
      .catch((error: Error) => `${error.name}: ${error.message}`),
  /** Two ranges from one source, one after the other; `between` is awaited meanwhile. */
  async readTwice(first: Reading, second: Reading, between: string): Promise<readonly [Read, Read]> {
    const source = sourceOf(first);
    const before = await outcome(readAll(first, source));
    await fetch(between);
    return [before, await outcome(readAll(second, source))];
  },
};

declare global {
  interface Window {
    faults: typeof faults;
  }
}

window.faults = faults;
