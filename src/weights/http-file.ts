/** What one file's answers say about it: checked against the request, and against every answer before. */
import { SourceError } from '../errors.ts';
import { parseRetryAfter, PassingFailure } from './retry.ts';

/** Statuses that a later try may turn into success. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

export interface ContentRange {
  readonly begin: number;
  /** Exclusive. */
  readonly end: number;
  readonly total: number | null;
}

export function parseContentRange(header: string | null): ContentRange | null {
  const found = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(header?.trim() ?? '');
  if (!found) return null;
  return { begin: Number(found[1]), end: Number(found[2]) + 1, total: found[3] === '*' ? null : Number(found[3]) };
}

/** The total that a 416 names after `bytes *` and a slash. */
export function parseUnsatisfied(header: string | null): number | null {
  const found = /^bytes \*\/(\d{1,15})$/.exec(header?.trim() ?? '');
  return found ? Number(found[1]) : null;
}

const lengthOf = (response: Response): number | null => {
  const header = response.headers.get('content-length');
  return header !== null && /^\d{1,15}$/.test(header) ? Number(header) : null;
};

export class HttpFile {
  readonly name: string;
  readonly url: URL;
  /** Where the server last redirected to. Asking there saves a request; a failure there makes it forgotten. */
  direct: URL | null = null;
  /** Bytes of the whole file, once known. */
  size: number | null = null;
  /** The server sent the whole file when asked for one byte. */
  isRangeless = false;
  readonly #versions = new Map<string, string>();
  /** An answer's ETag was weak: it may stay when bytes change. */
  #isWeak = false;

  constructor(name: string, url: URL) {
    this.name = name;
    this.url = url;
  }

  fail(what: string, details: Record<string, unknown> = {}): never {
    throw new SourceError(`${this.url.href}: ${what}`, { file: this.name, url: this.url.href, ...details });
  }

  /** Also the answer of development servers for files that they do not have. */
  isWebPage(response: Response): boolean {
    const type = response.headers.get('content-type') ?? '';
    return /^(text\/html|application\/xhtml)/i.test(type.trim()) && !/\.html?$/i.test(this.name);
  }

  /**
   * @param link the remembered address that was asked, if it was not the file's own: other transfers may have forgotten it meanwhile
   * @throws PassingFailure when trying again may help
   * @throws SourceError when not
   */
  checkStatus(response: Response, link: URL | null): void {
    const { status, statusText } = response;
    const shown = `the server answered ${status} ${statusText}`.trim();
    const retryAfterMs = parseRetryAfter(response.headers.get('retry-after'));
    if (PASSING.has(status)) throw new PassingFailure(shown, { retryAfterMs });
    if (link && !response.ok && status !== 416) {
      throw new PassingFailure(shown, { retryAfterMs: 0 }); // an expired link: the next try asks the first URL again
    }
    if (status === 401 || status === 403) {
      const gated = `${shown}. The repository may be gated, private or misspelt: accept its terms, and pass an access token in \`headers\``;
      if (response.redirected) throw new PassingFailure(gated); // or a link that expired on the way here
      this.fail(gated, { status });
    }
    if (status === 404 || status === 410) this.fail(`${shown}: there is no such file`, { status });
    if (status === 416) this.fail(`${shown}: the file is shorter than it was, or than its header says`, { status });
    if (status !== 200 && status !== 206) this.fail(shown, { status });
    if (this.isWebPage(response)) this.fail('the server answered with a web page instead of the file', { status });
    if (/^\s*multipart\//i.test(response.headers.get('content-type') ?? ''))
      this.fail('the server answered a single byte range in several parts (multipart)', { status });
    const encoding = response.headers.get('content-encoding');
    if (encoding !== null && encoding.trim().toLowerCase() !== 'identity') {
      this.fail(
        `the server compresses it (Content-Encoding: ${encoding}), so byte ranges mean nothing: switch that off for model files`,
        { encoding },
      );
    }
  }

  /** As `ByteSource.version`: the ETag when it is a strong one, else the time of the last change. */
  get version(): string | null {
    const etag = this.#versions.get('etag');
    if (etag !== undefined && !this.#isWeak) return `etag ${etag}`;
    const modified = this.#versions.get('last-modified');
    return modified === undefined ? null : `modified ${modified}`;
  }

  /** @throws SourceError when an answer contradicts an earlier one */
  checkVersion(response: Response, total: number | null): void {
    for (const header of ['etag', 'last-modified']) {
      const shown = response.headers.get(header);
      const value = shown?.replace(/^W\//, '');
      if (value === undefined) continue;
      if (shown !== value) this.#isWeak = true;
      const before = this.#versions.get(header);
      if (before !== undefined && before !== value) this.#changed(header, before, value);
      this.#versions.set(header, value);
    }
    if (total === null) return;
    if (this.size !== null && this.size !== total) this.#changed('size', this.size, total);
    this.size = total;
  }

  #changed(what: string, before: unknown, after: unknown): never {
    return this.fail(`the file changed while it was read (${what} was ${before}, is ${after}): load the model again`, {
      isChanged: true,
      what,
      before,
      after,
    });
  }

  /**
   * Checks an answer to the request for bytes [begin, end).
   * @returns how many bytes of the body come before `begin`
   */
  checkRange(response: Response, begin: number, end: number, link: URL | null): number {
    this.checkStatus(response, link);
    const length = lengthOf(response);
    if (response.status === 200) {
      this.checkVersion(response, length);
      if (length !== null && length < end)
        this.fail(`has ${length} bytes; bytes up to ${end} are needed`, { size: length, end });
      return begin;
    }
    const header = response.headers.get('content-range');
    const range = parseContentRange(header);
    this.checkVersion(response, range?.total ?? null);
    if (range) {
      if (range.begin !== begin || range.end !== end)
        this.fail(`the server sent bytes ${range.begin}-${range.end - 1} when asked for ${begin}-${end - 1}`, {
          header,
        });
      if (length !== null && length !== end - begin)
        throw new PassingFailure(`the server announced ${length} bytes for the ${end - begin} of "${header}"`);
      return 0;
    }
    // Across origins the browser hides Content-Range unless the server exposes it; the number of bytes still has to be right.
    const hidden = header === null && response.type === 'cors';
    if (!hidden || (length !== null && length !== end - begin)) {
      this.fail(
        `the server's answer to a byte range has ${header === null ? 'no Content-Range' : `the Content-Range "${header}"`}`,
        { header },
      );
    }
    return 0;
  }

  /** The file's size, where an answer to `bytes=0-0` tells it. */
  sizeFromProbe(response: Response): number | null {
    if (response.status === 416) return parseUnsatisfied(response.headers.get('content-range'));
    if (response.status === 206) return parseContentRange(response.headers.get('content-range'))?.total ?? null;
    return lengthOf(response);
  }

  /** ... and where an answer to `bytes=0-`, or to HEAD, does. */
  sizeFromLength(response: Response): number | null {
    const encoding = response.headers.get('content-encoding');
    return response.ok && encoding === null ? lengthOf(response) : null;
  }
}
