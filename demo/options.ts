/** What the page's address asks for: `?model=URL` another model folder or .gguf file, `?autoload=1` no question first. */

export interface PageOptions {
  readonly modelUrl: string;
  readonly autoload: boolean;
}

/** Relative to the page. */
export const SHIPPED_MODEL = 'models/smolmoe-135m-instruct/';

/** An address that is not http(s) is ignored: a link must not make the page read anything else. */
function modelUrl(asked: string | null, base: string): string {
  const shipped = new URL(SHIPPED_MODEL, base).href;
  if (!asked || !URL.canParse(asked, base)) return shipped;
  const url = new URL(asked, base);
  if (!/^https?:$/.test(url.protocol)) return shipped;
  if (!/(\/|\.gguf)$/i.test(url.pathname)) url.pathname += '/';
  return url.href;
}

export function readOptions(search: string, base: string): PageOptions {
  const params = new URLSearchParams(search);
  const url = modelUrl(params.get('model'), base);
  // A link to this page must not start a download from elsewhere without a click.
  const sameOrigin = new URL(url).origin === new URL(base).origin;
  return { modelUrl: url, autoload: params.get('autoload') === '1' && sameOrigin };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The last part of the path: what people call the model. */
export const nameOfUrl = (url: string): string => {
  const { pathname, host } = new URL(url);
  const last = pathname.split('/').filter(Boolean).at(-1);
  return last ? decoded(last) : host;
};
