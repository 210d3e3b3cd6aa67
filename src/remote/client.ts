/** Requests to an OpenAI-compatible server, and its refusals as errors that never show a key. */
import { InvalidRequest, RemoteError } from '../errors.ts';
import { parseRetryAfter } from '../weights/retry.ts';

export interface RemoteOptions {
  /** Of the server's interface, as in `https://host/v1`. */
  readonly baseURL: string | URL;
  /** Sent as `Authorization: Bearer`. Kept in memory only. */
  readonly apiKey?: string | undefined;
  /** For requests that name none; default: the first that the server lists. */
  readonly model?: string | undefined;
  /** Sent with every request; kept in memory only. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** In place of the global `fetch`. */
  readonly fetch?: typeof fetch | undefined;
}

/** Longest message of a server that an error shows. */
const MAX_MESSAGE = 500;

type Fields = Readonly<Record<string, unknown>>;
export const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

export class RemoteClient {
  readonly baseURL: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #secrets: readonly string[];
  readonly #fetch: typeof fetch;

  /** @throws InvalidRequest for an address or header that cannot be one */
  constructor({ baseURL, apiKey, headers = {}, fetch: given }: RemoteOptions) {
    this.baseURL = readBase(baseURL);
    const key = apiKey?.trim() ?? '';
    this.#headers = { ...headers, ...(key === '' ? {} : { authorization: `Bearer ${key}` }) };
    this.#secrets = [key, ...Object.values(headers)].filter((text) => text.length >= 4);
    this.#fetch = given ?? ((input, init) => fetch(input, init));
    for (const [name, value] of Object.entries(this.#headers)) {
      // `fetch` would show the value in its own complaint.
      if (!/^[\w-]+$/.test(name) || !/^[\t\x20-\x7e]*$/.test(value))
        throw new InvalidRequest(`The header ${JSON.stringify(name)} has characters that no header has`, {
          header: name,
        });
    }
  }

  /** @returns an answer with a good status. @throws RemoteError; the signal's reason */
  async request(path: string, body: unknown, signal: AbortSignal | undefined): Promise<Response> {
    const init: RequestInit = {
      headers: { ...this.#headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      redirect: 'error', // other headers than Authorization would go along
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    };
    const response = await this.during(signal, this.#fetch.call(globalThis, this.baseURL + path, init));
    if (response.ok) return response;
    const text = await this.during(signal, response.text());
    throw this.refusal(response.status, text, parseRetryAfter(response.headers.get('retry-after')));
  }

  /** @throws the signal's reason when it aborted, else RemoteError */
  async during<T>(signal: AbortSignal | undefined, step: Promise<T>): Promise<T> {
    try {
      return await step;
    } catch (error) {
      signal?.throwIfAborted();
      throw this.broken(error);
    }
  }

  broken(cause: unknown): RemoteError {
    const inner = cause instanceof Error && cause.cause instanceof Error ? `: ${cause.cause.message}` : '';
    const what = `${cause instanceof Error ? cause.message : String(cause)}${inner}`;
    return this.error(
      null,
      `the connection failed: ${what}. Is the server up, and does it allow requests from this page (CORS)? Redirects are not followed`,
      {},
    );
  }

  refusal(status: number, text: string, retryAfterMs?: number): RemoteError {
    const { message, ...about } = readRefusal(text);
    return this.error(status, `the server answered ${status}: ${message}`, { ...about, retryAfterMs });
  }

  error(status: number | null, what: string, details: Fields): RemoteError {
    return new RemoteError(status, `${this.baseURL}: ${this.#withoutSecrets(what)}`, {
      baseURL: this.baseURL,
      ...details,
    });
  }

  #withoutSecrets(text: string): string {
    return this.#secrets.reduce((left, secret) => left.replaceAll(secret, '[secret]'), text);
  }
}

function readBase(baseURL: string | URL): string {
  const page = (globalThis as { location?: { href: string } }).location?.href;
  const url = URL.canParse(String(baseURL), page) ? new URL(baseURL, page) : null;
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username || url.password)
    throw new InvalidRequest(
      'baseURL must be a URL such as https://host/v1, without query, fragment, user name or password: pass a key as apiKey',
      url ? { baseURL: url.origin } : {},
    );
  return url.href.replace(/\/+$/, '');
}

/** OpenAI's `{ error: { message, type, param, code } }`, FastAPI's `{ detail }`, or plain text. */
function readRefusal(text: string): { readonly message: string } & Fields {
  const plain = { message: text.slice(0, MAX_MESSAGE) || 'no reason given' };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return plain;
  }
  const error = isFields(json) ? (json.error ?? json) : {};
  if (typeof error === 'string') return { message: error.slice(0, MAX_MESSAGE) };
  if (!isFields(error)) return plain;
  const { message = error.detail, type, param, code } = error;
  if (typeof message !== 'string') return plain;
  return {
    message: message.slice(0, MAX_MESSAGE),
    ...Object.fromEntries(plainOnly({ type, param, serverCode: code })),
  };
}

const plainOnly = (fields: Fields): [string, unknown][] =>
  Object.entries(fields).filter(([, value]) => typeof value === 'string' || typeof value === 'number');
