/** Links out of a model's text: only addresses that are safe to open, with their host in sight. */
import { h } from '../dom.ts';
import { decodeEntities } from './entities.ts';

const PROTOCOLS = ['https:', 'http:', 'mailto:'];

/** null for a relative address, one that hides its host behind a user name, and every protocol but three. */
export function safeUrl(href: string): URL | null {
  let url: URL;
  try {
    url = new URL(decodeEntities(href));
  } catch {
    return null;
  }
  return PROTOCOLS.includes(url.protocol) && !url.username && !url.password ? url : null;
}

const outside = (url: URL): HTMLAnchorElement =>
  h('a', { href: url.href, target: '_blank', rel: 'noopener noreferrer nofollow' });

const isHttp = (url: URL): boolean => url.protocol !== 'mailto:';

/** What stands after a link whose words do not say where it goes. */
const placeOf = (url: URL): string => (isHttp(url) ? url.host : decodeURIComponentOrRaw(url.pathname));

function decodeURIComponentOrRaw(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Whether the label itself is the address, as in an automatic link. */
function saysWhere(label: string, url: URL): boolean {
  const said = safeUrl(label) ?? safeUrl(`${isHttp(url) ? 'http://' : 'mailto:'}${label}`);
  return said !== null && /^\S+$/.test(label) && placeOf(said) === placeOf(url) && isHttp(said) === isHttp(url);
}

const place = (text: string): HTMLElement => h('bdi', { class: 'link-place' }, text);

/** `children` are the link's words, of which `label` is the text. An address that is not safe is shown and not linked. */
export function linkNode(href: string, label: string, children: DocumentFragment): Node {
  const url = safeUrl(href);
  const all = document.createDocumentFragment();
  if (!url) {
    all.append(children, ' ', place(href || 'no address'));
    return all;
  }
  const anchor = outside(url);
  anchor.append(children);
  all.append(anchor);
  if (!saysWhere(label, url)) all.append(' ', place(placeOf(url)));
  return all;
}

/** Images are never fetched, because the address alone can carry text out of the page: one click opens the image in a new tab. */
export function imageNode(href: string, alt: string): Node {
  const url = safeUrl(href);
  const what = alt ? `Image: ${alt}` : 'Image';
  if (!url || !isHttp(url)) return h('span', { class: 'image-link' }, `${what} (not shown)`);
  const anchor = outside(url);
  anchor.className = 'image-link';
  anchor.append(`${what} `, place(url.host), ' – open in a new tab');
  return anchor;
}
