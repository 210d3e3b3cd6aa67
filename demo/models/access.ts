/** The Hub that ids are looked up at, and the token for gated models: in memory, or in the tab's own storage when the visitor says so. */
import { recall, remember } from '../remember.ts';
import { DEFAULT_ENDPOINT, type HubAccess } from './choice.ts';

const ENDPOINT_KEY = 'webmoe-hub';
const TOKEN_KEY = 'webmoe-hub-token';

/** A token is for one Hub: the tab's storage has both, so that no other one is ever sent it. */
function tabToken(endpoint: string): string | null {
  try {
    const [where, token] = JSON.parse(sessionStorage.getItem(TOKEN_KEY) ?? '[]') as unknown[];
    return where === endpoint && typeof token === 'string' ? token : null;
  } catch {
    return null; // forbidden, or not ours
  }
}

function setTabToken(value: readonly [string, string] | null): void {
  try {
    if (value) sessionStorage.setItem(TOKEN_KEY, JSON.stringify(value));
    else sessionStorage.removeItem(TOKEN_KEY);
  } catch {
    // Forbidden: it is kept in memory all the same.
  }
}

/** @returns without a slash at its end; null when it is no address of a Hub */
export function readEndpoint(text: string): string | null {
  const typed = text.trim();
  if (typed === '') return DEFAULT_ENDPOINT;
  const url = URL.canParse(typed) ? new URL(typed) : null;
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username || url.password) return null;
  return url.href.replace(/\/+$/, '');
}

export class Access implements HubAccess {
  #endpoint = readEndpoint(recall(ENDPOINT_KEY) ?? '') ?? DEFAULT_ENDPOINT;
  #token = tabToken(this.#endpoint);
  #isKept = this.#token !== null;

  get endpoint(): string {
    return this.#endpoint;
  }

  get token(): string | null {
    return this.#token;
  }

  /** Whether the token survives a reload of this tab. */
  get isKept(): boolean {
    return this.#isKept;
  }

  setToken(token: string, isKept = this.#isKept): void {
    this.#token = token.trim() || null;
    this.#isKept = isKept;
    setTabToken(this.#token !== null && isKept ? [this.#endpoint, this.#token] : null);
  }

  /** Another Hub has another token. @returns false for what is no address */
  setEndpoint(text: string): boolean {
    const endpoint = readEndpoint(text);
    if (endpoint === null) return false;
    if (endpoint === this.#endpoint) return true;
    this.setToken('');
    this.#endpoint = endpoint;
    remember(ENDPOINT_KEY, endpoint === DEFAULT_ENDPOINT ? null : endpoint);
    return true;
  }
}
