/** A model's source as the worker has it: opened here, or read by messages from the page that has it. wire-source.ts is the other end. */
import { openSource, type OpenSourceOptions } from '../../engine/open-source.ts';
import { pickedSource } from '../../weights/gguf/picked.ts';
import type { ByteSource } from '../../weights/source.ts';
import type { Caller } from '../connection.ts';
import type { FileNews, WireSource } from './wire-source.ts';

export async function receiveSource(wire: WireSource, page: Caller, options: OpenSourceOptions): Promise<ByteSource> {
  if (wire.kind === 'named') return openSource(wire.name, options);
  return wire.kind === 'files' ? pickedSource(wire.files) : remoteSource(wire, page);
}

/** Pieces under way while the engine works on one. */
const PIECES_AHEAD = 2;

function remoteSource({ channel, label, origin }: WireSource & { kind: 'remote' }, page: Caller): ByteSource {
  const known = new Map<string, FileNews>();
  const learn = (file: string, news: unknown): void => void known.set(file, news as FileNews);
  return {
    label,
    ...(origin ? { origin } : {}),
    async size(file, signal) {
      const { size, news } = (await page.call(`${channel}.size`, [file], { signal })) as {
        size: number | null;
        news: unknown;
      };
      learn(file, news);
      return size;
    },
    async *stream(file, begin, end, signal) {
      const pieces = page.stream(`${channel}.stream`, [file, begin, end], { signal, ahead: PIECES_AHEAD });
      learn(file, yield* pieces as AsyncGenerator<Uint8Array, unknown, void>);
    },
    version: (file) => known.get(file)?.version ?? null,
    seeks: (file) => known.get(file)?.seeks ?? true,
    willReadAll: () => void page.call(`${channel}.willReadAll`, []).catch(() => undefined),
  };
}
