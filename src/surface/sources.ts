/** What a model can be loaded from, and the bytes behind it. */
import { blockSource } from '../weights/block-source.ts';
import { filesSource } from '../weights/files-source.ts';
import { forwardSource } from '../weights/forward-source.ts';
import { httpSource } from '../weights/http-source.ts';
import type { ByteSource } from '../weights/source.ts';

/** A URL of a folder with config.json and safetensors, the files of a folder that the visitor picked, or any byte source. */
export type ModelSource = string | URL | readonly File[] | ByteSource;

/**
 * Blocks of 2 MiB that an HTTP source keeps: with what the uploader holds, host memory stays well below the largest tensor plus 64 MB. A read
 * that jumps fetches a few milliseconds' worth of a fast link, less than the round trip costs.
 */
export const HTTP_BLOCKS = { blocks: 10, firstBytes: 128 * 1024 };

export const isAddress = (source: ModelSource): source is string | URL =>
  typeof source === 'string' || source instanceof URL;

/** @param cache as in `fetch`: "no-store" where what is read is kept elsewhere */
export function toByteSource(source: ModelSource, cache?: RequestCache): ByteSource {
  if (isAddress(source)) return blockSource(forwardSource(httpSource(source, { cache })), HTTP_BLOCKS);
  return 'stream' in source ? source : filesSource(source);
}

/** An address that is relative to the page, in full: a worker would take it to be relative to its own file. What is no URL stays, to be refused. */
export function absolute(source: ModelSource): ModelSource {
  const base = (globalThis as { document?: { readonly baseURI: string } }).document?.baseURI;
  if (source instanceof URL) return source.href;
  if (typeof source !== 'string' || base === undefined || !URL.canParse(source, base)) return source;
  return new URL(source, base).href;
}
