/**
 * Small reads served from aligned blocks: a model has tens of thousands of tensors, and one request for each would cost a round trip each
 * and run into a server's rate limit. Large reads pass straight through, where the server can start in the middle.
 */
import type { ByteSource } from './source.ts';
import { readBytes } from './source.ts';

export interface BlockOptions {
  /** Default 2 MiB. */
  readonly blockBytes?: number;
  /** Blocks kept, the latest used; default 32. */
  readonly blocks?: number;
}

interface Block {
  readonly bytes: Promise<Uint8Array>;
  readonly controller: AbortController;
  waiting: number;
  settled: boolean;
}

export function blockSource(
  source: ByteSource,
  { blockBytes = 2 * 2 ** 20, blocks = 32 }: BlockOptions = {},
): ByteSource {
  const cache = new Map<string, Block>();

  const load = (file: string, index: number, size: number): Block => {
    const key = `${file} ${index}`;
    const controller = new AbortController();
    const begin = index * blockBytes;
    const bytes = readBytes(source, file, begin, Math.min(size, begin + blockBytes), controller.signal);
    const block: Block = { bytes, controller, waiting: 0, settled: false };
    const forget = (): void => {
      if (cache.get(key) === block) cache.delete(key);
    };
    bytes.then(() => (block.settled = true), forget);
    controller.signal.addEventListener('abort', forget);
    return block;
  };

  const take = (file: string, index: number, size: number): Block => {
    const key = `${file} ${index}`;
    const block = cache.get(key) ?? load(file, index, size);
    cache.delete(key);
    cache.set(key, block); // the newest is last
    for (const [old, { settled }] of cache) {
      if (cache.size <= blocks) break;
      if (settled) cache.delete(old);
    }
    return block;
  };

  return {
    label: source.label,
    ...(source.origin && { origin: source.origin }),
    size: (file, signal) => source.size(file, signal),
    seeks: (file) => source.seeks?.(file) ?? true,
    version: (file) => source.version?.(file) ?? null,
    async *stream(file, begin, end, signal) {
      signal?.throwIfAborted();
      const isLarge = end - begin >= blockBytes / 2 && (source.seeks?.(file) ?? true);
      const size = isLarge ? null : await source.size(file, signal);
      if (size === null || end > size) {
        yield* source.stream(file, begin, end, signal);
        return;
      }
      for (let at = begin; at < end;) {
        const index = Math.floor(at / blockBytes);
        const bytes = await waitFor(take(file, index, size), signal);
        const start = index * blockBytes;
        yield bytes.subarray(at - start, Math.min(bytes.length, end - start));
        at = start + bytes.length;
      }
    },
  };
}

/** The block's transfer is aborted when the last one that waits for it is. */
async function waitFor(block: Block, signal: AbortSignal | undefined): Promise<Uint8Array> {
  block.waiting++;
  let stop: (() => void) | undefined;
  try {
    signal?.throwIfAborted();
    const aborted = new Promise<never>((_, reject) => {
      stop = () => reject(signal?.reason);
      signal?.addEventListener('abort', stop, { once: true });
    });
    return await Promise.race([block.bytes, aborted]);
  } finally {
    block.waiting--;
    if (stop) signal?.removeEventListener('abort', stop);
    if (signal?.aborted && block.waiting === 0 && !block.settled) block.controller.abort(signal.reason);
  }
}
