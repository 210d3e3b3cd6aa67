/** Files below a URL, by byte ranges: a server of static files, or a Hub repository's `/resolve/<revision>/`. */
import { InvalidRequest, SourceError } from '../errors.ts';
import { resolveFile } from './file-name.ts';
import { HttpFile } from './http-file.ts';
import { Transfer } from './http-transfer.ts';
import { delayAfter, PassingFailure, retryDefaults, sleep, type Retry, type RetryOptions } from './retry.ts';
import type { ByteSource } from './source.ts';

export interface HttpOptions {
  /** In place of the global `fetch`. */
  readonly fetch?: typeof fetch | undefined;
  /**
   * Sent with each request to the base URL's origin: an access token, for example. When that origin redirects to another one, `fetch` takes
   * Authorization away, and no other header: a secret belongs there.
   */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly retry?: RetryOptions | undefined;
  /** As in `fetch`; "no-store" where the bytes are kept elsewhere. */
  readonly cache?: RequestCache | undefined;
  /** Bytes of a file, where that is known from elsewhere: an answer that contradicts it is refused. Null when it is not. */
  readonly sizeOf?: ((file: string) => number | null) | undefined;
}

/** Progress of this many bytes forgives earlier failures. */
const FORGIVING_BYTES = 64 * 1024;
/** A file whose server tells its size in no other way is counted, up to here. */
const COUNTED_BYTES = 64 * 2 ** 20;

/**
 * @param baseUrl of the folder; relative ones are resolved against the page. No query, no fragment, no credentials.
 * @throws InvalidRequest
 */
export function httpSource(baseUrl: string | URL, options: HttpOptions = {}): ByteSource {
  return new HttpSource(readBase(baseUrl), options);
}

function readBase(baseUrl: string | URL): URL {
  let url: URL;
  const page = (globalThis as { location?: { href: string } }).location?.href;
  try {
    url = new URL(baseUrl, page);
  } catch (cause) {
    throw new InvalidRequest(
      `${JSON.stringify(String(baseUrl))} is not a URL`,
      { baseUrl: String(baseUrl) },
      { cause },
    );
  }
  const refuse = (what: string): never => {
    throw new InvalidRequest(`The model's URL ${JSON.stringify(url.origin + url.pathname)} ${what}`, {
      baseUrl: url.origin + url.pathname,
    });
  };
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    refuse(`must start with http: or https:, not ${url.protocol}`);
  if (url.search !== '' || url.hash !== '')
    refuse('must not have a query or a fragment: file names are appended to it. Pass tokens in `headers`');
  if (url.username !== '' || url.password !== '')
    refuse('must not have a user name or password: pass them in `headers`');
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

class HttpSource implements ByteSource {
  readonly label: string;
  readonly origin = 'network';
  readonly #base: URL;
  readonly #fetch: typeof fetch;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #cache: RequestCache | undefined;
  readonly #retry: Retry;
  readonly #sizeOf: (file: string) => number | null;
  readonly #files = new Map<string, HttpFile>();

  constructor(base: URL, options: HttpOptions) {
    this.#base = base;
    this.label = base.href;
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
    this.#headers = options.headers ?? {};
    this.#cache = options.cache;
    this.#retry = retryDefaults(options.retry);
    this.#sizeOf = options.sizeOf ?? (() => null);
  }

  #file(name: string): HttpFile {
    let file = this.#files.get(name);
    if (!file) this.#files.set(name, (file = new HttpFile(name, resolveFile(this.#base, name))));
    file.size ??= this.#sizeOf(name);
    return file;
  }

  async size(name: string, signal?: AbortSignal): Promise<number | null> {
    const file = this.#file(name);
    return file.size ?? (await this.#trying(file, signal, (transfer) => this.#probe(file, transfer)));
  }

  /** By a range of one byte and not by HEAD: caches that compress on the fly drop a HEAD's Content-Length. */
  async #probe(file: HttpFile, transfer: Transfer): Promise<number | null> {
    const response = await this.#request(file, transfer, 'bytes=0-0');
    if (!transfer.link && (response.status === 404 || response.status === 410)) return null;
    if (response.ok && file.isWebPage(response)) return null;
    if (response.status !== 416) file.checkStatus(response, transfer.link);
    const size = file.sizeFromProbe(response) ?? (await this.#sizeOtherwise(file, transfer, response));
    file.checkVersion(response, size);
    file.isRangeless = response.status === 200 && size !== 1;
    return size;
  }

  async #sizeOtherwise(file: HttpFile, transfer: Transfer, probe: Response): Promise<number> {
    // The range makes the browser ask for the plain form: a compressed one has another length, and across origins nothing tells which it is.
    const everything = 'bytes=0-';
    const size =
      file.sizeFromLength(await this.#request(file, transfer, everything, 'HEAD')) ??
      (probe.status === 200
        ? await this.#count(file, transfer, probe)
        : file.sizeFromLength(await this.#request(file, transfer, everything))); // a link may be signed for GET alone
    return size ?? file.fail('the server does not tell its size: it should expose Content-Range or Content-Length');
  }

  async #count(file: HttpFile, transfer: Transfer, response: Response): Promise<number> {
    let size = 0;
    for await (const piece of transfer.body(response, 0, COUNTED_BYTES, false)) size += piece.length;
    if (size === COUNTED_BYTES) file.fail('the server does not tell its size: it should send Content-Length');
    return size;
  }

  seeks(name: string): boolean {
    return !this.#file(name).isRangeless;
  }

  version(name: string): string | null {
    return this.#file(name).version;
  }

  async *stream(name: string, begin: number, end: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const file = this.#file(name);
    let at = begin;
    let failures = 0;
    let forgiven = begin + FORGIVING_BYTES;
    while (at < end) {
      const transfer = new Transfer(this.#retry.stallMs, signal);
      try {
        const response = await this.#request(file, transfer, `bytes=${at}-${end - 1}`);
        const skip = file.checkRange(response, at, end, transfer.link);
        if (response.status === 200 && (at > 0 || end < (file.size ?? 0))) file.isRangeless = true; // where no probe told
        const endsThere = response.status === 206 || end === file.size;
        for await (const piece of transfer.body(response, skip, end - at, endsThere)) {
          at += piece.length;
          if (at >= forgiven) failures = 0;
          yield piece;
        }
        if (at < end) throw new PassingFailure(`the transfer ended at byte ${at}, before ${end}`);
      } catch (error) {
        await this.#recover(file, transfer.link, error, ++failures, signal);
        forgiven = at + FORGIVING_BYTES;
      } finally {
        transfer.close();
      }
    }
  }

  async #request(file: HttpFile, transfer: Transfer, range: string, method = 'GET'): Promise<Response> {
    transfer.link = file.direct;
    const url = file.direct ?? file.url;
    const own = url.origin === this.#base.origin ? this.#headers : {};
    const init: RequestInit = { method, headers: { ...own, range }, signal: transfer.signal };
    if (this.#cache) init.cache = this.#cache;
    const response = await transfer.answer(this.#fetch.call(globalThis, url.href, init));
    if (response.ok && response.redirected && response.url) transfer.link = file.direct = new URL(response.url);
    return response;
  }

  async #trying<T>(
    file: HttpFile,
    signal: AbortSignal | undefined,
    attempt: (transfer: Transfer) => Promise<T>,
  ): Promise<T> {
    for (let failures = 1; ; failures++) {
      const transfer = new Transfer(this.#retry.stallMs, signal);
      try {
        return await attempt(transfer);
      } catch (error) {
        await this.#recover(file, transfer.link, error, failures, signal);
      } finally {
        transfer.close();
      }
    }
  }

  /** Waits before the next try. @throws what cannot be helped by one */
  async #recover(
    file: HttpFile,
    link: URL | null,
    error: unknown,
    failures: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    signal?.throwIfAborted();
    if (!(error instanceof PassingFailure)) throw error;
    if (file.direct === link) file.direct = null; // another transfer may have a newer one
    if (failures >= this.#retry.attempts) {
      const advice = 'Is the network up, is the URL right, and does the server allow requests from this page (CORS)?';
      const { url, name } = file;
      throw new SourceError(
        `${url.href}: gave up after ${failures} tries: ${error.message}. ${advice}`,
        { file: name, url: url.href, failures },
        { cause: error },
      );
    }
    await sleep(delayAfter(failures, this.#retry, error), signal);
  }
}
