/** Relative addresses in full. */
import { hubModelOf, type ModelSource } from '../engine/model-source.ts';

/** A worker would take an address to be relative to its own file: here it is to the page. What is no address stays as it is. */
export function absolute(source: ModelSource): ModelSource {
  if (source instanceof URL) return source.href;
  const base = (globalThis as { document?: { readonly baseURI: string } }).document?.baseURI;
  if (typeof source !== 'string' || hubModelOf(source) || base === undefined || !URL.canParse(source, base))
    return source;
  return new URL(source, base).href;
}
