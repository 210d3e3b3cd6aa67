/**
 * Links to a view of a trace. A trace itself is too large for one: the link names data that comes with the page, or the address of a .npz, and how
 * it was looked at. It is the fragment of an address, which browsers never send to a server.
 */
export type TraceSource =
  { readonly kind: 'bundled'; readonly id: string } | { readonly kind: 'url'; readonly url: string };

export interface SharedView {
  readonly source: TraceSource;
  /** What the views want to find again: short names and values, which the views check. */
  readonly view: Readonly<Record<string, string>>;
}

/** A link that cannot be followed; the message is for people. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
}

/** Of the fragment, in characters: longer links break in mail and chat programs. */
export const LONGEST_LINK = 4096;
const MOST_FIELDS = 40;
const VERSION = '1';

/**
 * @returns the fragment, from `#` on
 * @throws LinkError for an address that a link must not hold, or a link that would be too long
 */
export function toTraceLink({ source, view }: SharedView, page: string): string {
  const params = new URLSearchParams({ routing: VERSION });
  if (source.kind === 'bundled') params.set('data', source.id);
  else params.set('url', addressOf(source.url, page).href);
  for (const [name, value] of Object.entries(view)) params.set(`v.${name}`, value);
  const link = `#${params.toString()}`;
  if (link.length > LONGEST_LINK) throw new LinkError(`A link holds at most ${LONGEST_LINK} characters`);
  return link;
}

/**
 * @param fragment `location.hash`
 * @param page `location.href`: what an address in the link is relative to
 * @returns null when it is no such link
 * @throws LinkError when it is one that cannot be followed
 */
export function fromTraceLink(fragment: string, page: string): SharedView | null {
  const params = new URLSearchParams(fragment.replace(/^#/, ''));
  const version = params.get('routing');
  if (version === null) return null;
  if (fragment.length > LONGEST_LINK) throw new LinkError(`The link is longer than ${LONGEST_LINK} characters`);
  if (version !== VERSION) throw new LinkError('A newer webmoe made this link');
  const [id, url] = [params.get('data'), params.get('url')];
  if ((id === null) === (url === null)) throw new LinkError('The link must name one trace');
  const view: [string, string][] = [];
  for (const [name, value] of params) if (name.startsWith('v.')) view.push([name.slice(2), value]);
  if (view.length > MOST_FIELDS) throw new LinkError('The link says too much of its view');
  return {
    source: id === null ? { kind: 'url', url: addressOf(url!, page).href } : { kind: 'bundled', id },
    view: Object.fromEntries(view),
  };
}

/** Where a trace may come from: a site with TLS, or the page's own. No name and password: links are passed on. */
function addressOf(text: string, page: string): URL {
  const url = URL.canParse(text, page) ? new URL(text, page) : null;
  if (!url) throw new LinkError('The link holds no address of a trace');
  if (url.protocol !== 'https:' && url.origin !== new URL(page).origin)
    throw new LinkError('A trace can only come from an address with https');
  if (url.username || url.password) throw new LinkError('The link holds a password');
  return url;
}

/** The site to ask about before anything is fetched from it; null when it is the page's own. */
export function foreignSite(url: string, page: string): string | null {
  const { origin } = new URL(url, page);
  return origin === new URL(page).origin ? null : origin;
}

/** Of a trace from another site. */
const MOST_BYTES = 2 ** 26;

/**
 * The file at an address of a link, after people agreed when it is foreign: the site must allow it by CORS, and learns neither who asks nor which
 * page.
 * @throws LinkError when it cannot be had, or is larger than 64 MiB; the signal's reason
 */
export async function fetchTrace(
  url: string,
  { signal, fetch: get = fetch }: { readonly signal?: AbortSignal; readonly fetch?: typeof fetch } = {},
): Promise<Uint8Array> {
  const response = await get(url, {
    credentials: 'omit',
    referrerPolicy: 'no-referrer',
    ...(signal && { signal }),
  }).catch((cause: unknown) => {
    signal?.throwIfAborted();
    throw new LinkError(`${url} cannot be read: the site is away, or does not let other pages read it`, { cause });
  });
  if (!response.ok || !response.body) throw new LinkError(`${url} answers ${response.status}`);
  const parts: Uint8Array[] = [];
  let size = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    if (size > MOST_BYTES) {
      await reader.cancel();
      throw new LinkError(`${url} is larger than ${MOST_BYTES} bytes`);
    }
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
