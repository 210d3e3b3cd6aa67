/** A model that the visitor may load, and what it is called and remembered by. */
import type { HubModel } from '../../src/index.ts';
import { nameOfUrl } from '../options.ts';

export interface Choice {
  readonly source: string | HubModel | readonly File[];
  readonly name: string;
  /** Where it comes from, for people. */
  readonly from: string;
}

export const DEFAULT_ENDPOINT = 'https://huggingface.co';

const isHub = (source: Choice['source']): source is HubModel => typeof source === 'object' && 'hub' in source;

/** Says nothing of the token. The engine keeps a model from a network under the same name. */
export function keyOf({ source, name }: Choice): string {
  if (typeof source === 'string') return source;
  if (!isHub(source)) return `folder:${name}`;
  const endpoint = String(source.endpoint ?? DEFAULT_ENDPOINT).replace(/\/+$/, '');
  const at = source.revision === undefined || source.revision === 'main' ? '' : `@${source.revision}`;
  return `${endpoint}/${source.hub}${at}`;
}

export const isFolder = ({ source }: Choice): boolean => typeof source === 'object' && !isHub(source);

export const urlChoice = (url: string): Choice => ({ source: url, name: nameOfUrl(url), from: new URL(url).host });

const GGUF = /\.gguf$/i;

/** A model that is one file is called what the file is. */
const nameOfFiles = ([first, ...others]: readonly File[]): string =>
  first && others.length === 0 && GGUF.test(first.name)
    ? first.name.replace(GGUF, '')
    : first?.webkitRelativePath.split('/')[0] || 'the chosen folder';

export const filesChoice = (files: readonly File[], folder = ''): Choice => ({
  source: files,
  name: folder || nameOfFiles(files),
  from: 'this computer',
});

export interface HubAccess {
  readonly endpoint: string;
  readonly token: string | null;
}

/** @param id `org/name` or `org/name@revision` */
export function hubChoice(id: string, { endpoint, token }: HubAccess): Choice {
  const [hub, revision] = id.split('@') as [string, string?];
  return {
    source: {
      hub,
      ...(revision !== undefined && { revision }),
      ...(endpoint !== DEFAULT_ENDPOINT && { endpoint }),
      ...(token !== null && { token }),
    },
    name: hub.split('/')[1]!,
    from: new URL(endpoint).host,
  };
}
