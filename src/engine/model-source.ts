/** What a caller names as a model: a URL, a Hub id, files that were picked, or a source of the caller's own. Apart from opening it, which a page leaves to its worker. */
import { parseHubId, type HubModel } from '../weights/hub/hub-model.ts';
import type { ByteSource } from '../weights/source.ts';

/**
 * A Hub id (`org/name` or `org/name@revision`), a Hub model with its options, a URL of a folder with config.json and safetensors or of a .gguf file,
 * the files of a folder or the .gguf file that the visitor picked, or any byte source. A string of two plain names with one slash is a Hub id; begin a relative URL with `./`.
 */
export type ModelSource = string | URL | HubModel | readonly File[] | ByteSource;

/** The Hub model that a source names; null for any other. */
export function hubModelOf(source: ModelSource): HubModel | null {
  if (typeof source === 'string') return parseHubId(source);
  return 'hub' in source && typeof source.hub === 'string' ? source : null;
}

/** Whether its bytes come over a network, as far as that shows: then they are kept, unless told otherwise. */
export const isRemote = (source: ModelSource): boolean =>
  typeof source === 'string' || source instanceof URL || hubModelOf(source) !== null;

/** What answers call the model: its id on a Hub, or the last part of its path or URL. */
export function sourceName(source: ModelSource): string {
  if (typeof source === 'object' && !(source instanceof URL)) {
    const label = 'hub' in source ? source.hub : 'label' in source ? source.label : null;
    return label ?? 'webmoe';
  }
  const text = String(source);
  return parseHubId(text) ? text : (/([^/]+)\/*$/.exec(text)?.[1] ?? text);
}
