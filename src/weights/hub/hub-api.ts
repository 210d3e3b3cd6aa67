/** The two questions that a Hub is asked before any file: which commit, and which files. */
import { SourceError } from '../../errors.ts';
import { Transfer } from '../http-transfer.ts';
import {
  delayAfter,
  parseRetryAfter,
  PassingFailure,
  retryDefaults,
  sleep,
  type Retry,
  type RetryOptions,
} from '../retry.ts';
import { hubRefusal } from './hub-errors.ts';
import { isCommit, type HubPlace } from './hub-model.ts';

export interface HubFile {
  readonly size: number;
  /** sha256 of a large file's bytes, git's sha1 of a small one; null when the Hub does not tell. */
  readonly oid: string | null;
}

export interface HubApiOptions {
  /** In place of the global `fetch`. */
  readonly fetch?: typeof fetch | undefined;
  readonly retry?: RetryOptions | undefined;
}

/** A page of 1000 files takes about 200 kB. */
const MAX_ANSWER_BYTES = 16 * 2 ** 20;
const MAX_PAGES = 100;

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

export class HubApi {
  readonly #place: HubPlace;
  readonly #fetch: typeof fetch;
  readonly #retry: Retry;

  constructor(place: HubPlace, { fetch: given, retry }: HubApiOptions) {
    this.#place = place;
    this.#fetch = given ?? ((input, init) => fetch(input, init));
    this.#retry = retryDefaults(retry);
  }

  /** The commit that the revision stands for now. @throws SourceError */
  async resolve(signal?: AbortSignal): Promise<string> {
    const { revision } = this.#place;
    const { json } = await this.#ask(this.#url(`revision/${encodeURIComponent(revision)}`), signal);
    const sha = isFields(json) ? json.sha : undefined;
    if (typeof sha !== 'string' || !isCommit(sha)) return this.#fail('the Hub did not say which commit that is');
    return sha;
  }

  /** All files of a commit, by their path. @throws SourceError */
  async list(commit: string, signal?: AbortSignal): Promise<ReadonlyMap<string, HubFile>> {
    const files = new Map<string, HubFile>();
    let next: URL | null = this.#url(`tree/${commit}?recursive=true`);
    for (let page = 0; next; page++) {
      if (page === MAX_PAGES) this.#fail(`has more files than ${MAX_PAGES} pages list`);
      const { json, link } = await this.#ask(next, signal);
      if (!Array.isArray(json)) return this.#fail('the Hub did not answer with a list of files');
      for (const entry of json) addFile(files, entry);
      next = this.#nextPage(link);
    }
    return files;
  }

  #url(rest: string): URL {
    return new URL(`${this.#place.endpoint}/api/models/${this.#place.id}/${rest}`);
  }

  #fail(what: string, details: Fields = {}, cause?: unknown): never {
    const { key, id, endpoint } = this.#place;
    throw new SourceError(`${key}: ${what}`, { hub: id, endpoint, ...details }, { cause });
  }

  /** The token goes along: nowhere but to the Hub itself. */
  #nextPage(link: string | null): URL | null {
    const found = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link ?? '')?.[1];
    if (found === undefined) return null;
    const { endpoint } = this.#place;
    const url = URL.canParse(found, endpoint) ? new URL(found, endpoint) : null;
    if (url?.origin !== new URL(endpoint).origin) this.#fail('the list of files goes on at another server');
    return url;
  }

  async #ask(
    url: URL,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly json: unknown; readonly link: string | null }> {
    for (let failures = 1; ; failures++) {
      const transfer = new Transfer(this.#retry.stallMs, signal);
      try {
        const response = await transfer.answer(this.#request(url, transfer));
        this.#check(response);
        return { json: await this.#json(transfer, response), link: response.headers.get('link') };
      } catch (error) {
        if (!(error instanceof PassingFailure)) throw error;
        if (failures >= this.#retry.attempts)
          this.#fail(`the Hub did not answer: gave up after ${failures} tries: ${error.message}`, { failures }, error);
        await sleep(delayAfter(failures, this.#retry, error), signal);
      } finally {
        transfer.close();
      }
    }
  }

  #request(url: URL, { signal }: Transfer): Promise<Response> {
    return this.#fetch.call(globalThis, url.href, { headers: this.#place.headers, cache: 'no-store', signal });
  }

  #check(response: Response): void {
    const { status, headers } = response;
    if (response.ok) return;
    if (status === 401 || status === 403 || status === 404)
      throw hubRefusal(this.#place, status, headers.get('x-error-code'));
    const what = status === 429 ? 'too many requests (429)' : `status ${status}`;
    if (status === 408 || status === 429 || status >= 500)
      throw new PassingFailure(what, { retryAfterMs: parseRetryAfter(headers.get('retry-after')) });
    this.#fail(`the Hub answered with status ${status}`, { status });
  }

  async #json(transfer: Transfer, response: Response): Promise<unknown> {
    const decoder = new TextDecoder();
    let text = '';
    let bytes = 0;
    for await (const piece of transfer.body(response, 0, MAX_ANSWER_BYTES, false)) {
      text += decoder.decode(piece, { stream: true });
      bytes += piece.length;
    }
    if (bytes >= MAX_ANSWER_BYTES) this.#fail(`the Hub's answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    try {
      return JSON.parse(text);
    } catch (cause) {
      return this.#fail('the answer is not JSON. Is the endpoint a Hub?', {}, cause);
    }
  }
}

function addFile(files: Map<string, HubFile>, entry: unknown): void {
  if (!isFields(entry) || entry.type !== 'file' || typeof entry.path !== 'string') return;
  const { path, size, oid, lfs } = entry;
  const large = isFields(lfs) ? lfs : {};
  const bytes = large.size ?? size;
  if (!Number.isSafeInteger(bytes) || (bytes as number) < 0) return;
  const hash = large.oid ?? oid;
  files.set(path, { size: bytes as number, oid: typeof hash === 'string' ? hash : null });
}
