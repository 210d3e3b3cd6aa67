/** A model's source on its way to a worker: an address and files as data, anything else by messages to the page that has it. receive-source.ts is the other end. */
import type { Handlers } from '../connection.ts';
import { blobsByName } from '../../weights/files-source.ts';
import type { ByteSource } from '../../weights/source.ts';
import { isRemote, type ModelSource } from '../../engine/model-source.ts';
import type { HubModel } from '../../weights/hub/hub-model.ts';

export type WireSource =
  | { readonly kind: 'named'; readonly name: string | HubModel }
  | { readonly kind: 'files'; readonly files: ReadonlyMap<string, Blob> }
  /** `channel`: what the page calls it in what it answers. */
  | {
      readonly kind: 'remote';
      readonly channel: string;
      readonly label: string;
      readonly origin: ByteSource['origin'];
    };

/** What a source knows of a file after a read, and tells at once: over there it is asked without waiting. */
export interface FileNews {
  readonly version?: string | null;
  readonly seeks?: boolean;
}

/**
 * @param channel another name for each source of one worker
 * @returns what is sent, and what the page answers about it afterwards
 */
export function sendSource(
  source: ModelSource,
  channel = 'source',
): { readonly wire: WireSource; readonly handlers: Handlers } {
  const none: Handlers = { calls: {}, streams: {} };
  if (isRemote(source)) {
    const name = source instanceof URL ? source.href : (source as string | HubModel);
    return { wire: { kind: 'named', name }, handlers: none };
  }
  if (typeof source === 'object' && 'stream' in source) {
    const { label, origin } = source;
    return { wire: { kind: 'remote', channel, label, origin }, handlers: sourceHandlers(source, channel) };
  }
  return { wire: { kind: 'files', files: blobsByName(source as readonly File[]) }, handlers: none };
}

function sourceHandlers(source: ByteSource, channel: string): Handlers {
  const news = (file: string): FileNews => ({
    ...(source.version ? { version: source.version(file) } : {}),
    ...(source.seeks ? { seeks: source.seeks(file) } : {}),
  });
  return {
    calls: {
      [`${channel}.size`]: async ([file], { signal }) => {
        const size = await source.size(file as string, signal);
        return { size, news: news(file as string) };
      },
      [`${channel}.willReadAll`]: () => source.willReadAll?.(),
    },
    streams: {
      async *[`${channel}.stream`]([file, begin, end], { signal }) {
        // A copy: the piece may lie in memory that the source goes on using.
        for await (const piece of source.stream(file as string, begin as number, end as number, signal))
          yield new Uint8Array(piece);
        return news(file as string);
      },
    },
    transfers: new Set([`${channel}.stream`]),
  };
}
