/** What a caller names as a model (model-source.ts), as bytes. */
import { blockSource } from '../weights/block-source.ts';
import { pickedSource } from '../weights/gguf/picked.ts';
import { ggufSource } from '../weights/gguf/gguf-source.ts';
import { forwardSource } from '../weights/forward-source.ts';
import { httpSource, type HttpOptions } from '../weights/http-source.ts';
import { readHubModel, type HubModel } from '../weights/hub/hub-model.ts';
import { openHub, type HubOptions } from '../weights/hub/hub-source.ts';
import { sourceBlobs } from '../weights/records/blobs.ts';
import { rememberedLabel } from '../weights/records/metadata-source.ts';
import type { ByteSource } from '../weights/source.ts';
import { StorageError } from '../errors.ts';
import type { Storage } from './keeping.ts';
import { hubModelOf, type ModelSource } from './model-source.ts';

export interface OpenSourceOptions extends Pick<HubOptions, 'fetch' | 'retry' | 'signal'> {
  /** Where weights will be kept: the commit that was used last is remembered there, for when the Hub is away. */
  readonly storage?: Storage | null | undefined;
}

/**
 * Blocks of 2 MiB that an HTTP source keeps: with what the uploader holds, host memory stays well below the largest tensor plus 64 MB. A read
 * that jumps fetches a few milliseconds' worth of a fast link, less than the round trip costs.
 */
const HTTP_BLOCKS = { blocks: 10, firstBytes: 128 * 1024 };

const inBlocks = (source: ByteSource): ByteSource => blockSource(forwardSource(source), HTTP_BLOCKS);

/**
 * A Hub is asked which commit the revision stands for, and for its list of files; nothing else is.
 * @throws InvalidRequest, SourceError, UnsupportedModel: see `openHub`
 */
export async function openSource(source: ModelSource, options: OpenSourceOptions = {}): Promise<ByteSource> {
  // What is kept elsewhere need not fill the browser's own cache too.
  const cache = options.storage?.root ? ('no-store' as const) : undefined;
  const { fetch, retry } = options;
  const model = hubModelOf(source);
  if (model) {
    const hub = inBlocks(await openHub(model, { ...options, cache, remembered: await remembered(model, options) }));
    return model.file === undefined ? hub : ggufSource(hub, model.file);
  }
  if (typeof source === 'string' || source instanceof URL) return openUrl(String(source), { fetch, retry, cache });
  return 'stream' in source ? source : pickedSource(source as readonly File[]);
}

/** Hubs put `?download=true` behind the links that people copy. */
const GGUF_URL = /^((?:[^?#]*\/)?)([^/?#]+\.gguf)(?:\?download=true)?$/i;

function openUrl(url: string, options: HttpOptions): ByteSource {
  const [, folder, file] = GGUF_URL.exec(url) ?? [];
  if (file === undefined) return inBlocks(httpSource(url, options));
  return ggufSource(inBlocks(httpSource(folder || './', options)), file);
}

async function remembered(model: HubModel, { storage }: OpenSourceOptions): Promise<string | null> {
  const { key, file } = readHubModel(model);
  if (!storage?.root) return null;
  // A file's source is called by the repository's name and its own.
  const within = file === null ? '' : `/${file}`;
  try {
    const label = await rememberedLabel(await sourceBlobs(storage.root, key + within, null));
    return label?.endsWith(within) ? label.slice(0, label.length - within.length) : null;
  } catch (error) {
    if (error instanceof StorageError) return null;
    throw error;
  }
}
