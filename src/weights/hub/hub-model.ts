/** What names a model on a Hub: a server with the Hugging Face Hub's interface. Everything here comes from users, and ends in URLs. */
import { InvalidRequest } from '../../errors.ts';

/** A model repository on a Hub. */
export interface HubModel {
  /** `org/name` */
  readonly hub: string;
  /** Branch, tag or commit; default `main`. The commit that it stands for is looked up once and used for all files. */
  readonly revision?: string | undefined;
  /** A .gguf file of the repository, the first of its splits: it is the model. Without, the repository must hold safetensors. */
  readonly file?: string | undefined;
  /**
   * For gated and private models. It is kept in memory only, and sent to `endpoint`'s origin only, in the Authorization header.
   */
  readonly token?: string | undefined;
  /** Of the Hub; default `https://huggingface.co`. */
  readonly endpoint?: string | URL | undefined;
}

/** The same, checked. */
export interface HubPlace {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly id: string;
  readonly revision: string;
  readonly file: string | null;
  /** What is kept of the model is kept under this name, whatever its commit. */
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly hasToken: boolean;
}

export const DEFAULT_ENDPOINT = 'https://huggingface.co';
export const DEFAULT_REVISION = 'main';

const SHORT_FORM = /^([\w.-]+\/[\w.-]+)(?:@([\w./-]+))?$/;
const NAME = /^\w[\w.-]{0,95}$/;
const REVISION_PART = /^[\w.+-]+$/;
const ONLY_DOTS = /^\.+$/;
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** `org/name` or `org/name@revision`; null for anything else, such as a URL or a path that begins with `.` or `/`. */
export function parseHubId(text: string): HubModel | null {
  if (/^[./]/.test(text)) return null;
  const found = SHORT_FORM.exec(text);
  return found && { hub: found[1]!, ...(found[2] === undefined ? {} : { revision: found[2] }) };
}

export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

/** @throws InvalidRequest; its message never shows the token */
export function readHubModel({
  hub,
  revision = DEFAULT_REVISION,
  file,
  token,
  endpoint = DEFAULT_ENDPOINT,
}: HubModel): HubPlace {
  const names = hub.split('/');
  if (names.length !== 2 || !names.every((name) => NAME.test(name) && !name.includes('..')))
    throw new InvalidRequest(`${JSON.stringify(hub)} is not the id of a model on a Hub: it looks like "org/name"`, {
      hub,
    });
  if (revision.length > 255 || !revision.split('/').every((part) => REVISION_PART.test(part) && !ONLY_DOTS.test(part)))
    throw new InvalidRequest(`${JSON.stringify(revision)} is not a branch, tag or commit`, { hub, revision });
  if (file !== undefined && !/^[\w./-]+\.gguf$/i.test(file))
    throw new InvalidRequest(`${JSON.stringify(file)} is not the name of a .gguf file`, { hub, file });
  const base = readEndpoint(endpoint);
  const secret = readToken(token, base);
  const where = `${base.origin}${base.pathname.replace(/\/+$/, '')}`;
  return {
    endpoint: where,
    id: hub,
    revision,
    file: file ?? null,
    key: `${where}/${hub}${revision === DEFAULT_REVISION ? '' : `@${revision}`}`,
    headers: secret === null ? {} : { authorization: `Bearer ${secret}` },
    hasToken: secret !== null,
  };
}

function readEndpoint(endpoint: string | URL): URL {
  const url = URL.canParse(String(endpoint)) ? new URL(endpoint) : null;
  const fits =
    url && /^https?:$/.test(url.protocol) && !url.search && !url.hash && url.username === '' && url.password === '';
  if (!fits)
    throw new InvalidRequest(
      `The Hub's endpoint must be a URL such as ${DEFAULT_ENDPOINT}, without query, fragment, user name or password`,
      url ? { endpoint: url.origin } : {},
    );
  return url;
}

/** A token that no header can hold would be shown in `fetch`'s own complaint. */
function readToken(token: string | undefined, endpoint: URL): string | null {
  const secret = token?.trim() ?? '';
  if (secret === '') return null;
  if (!/^[\x21-\x7e]+$/.test(secret))
    throw new InvalidRequest('The access token has characters that no token has: copy it again', {});
  if (endpoint.protocol !== 'https:' && !LOOPBACK.test(endpoint.hostname))
    throw new InvalidRequest(`An access token is sent by https only, and ${endpoint.origin} is not`, {
      endpoint: endpoint.origin,
    });
  return secret;
}
