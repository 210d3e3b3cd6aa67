/**
 * Turns many small reads into few large ones: a source that fetches aligned blocks, keeps the last few, and reads ahead when the reader goes
 * forward. A checkpoint has thousands of tensors; one HTTP request each would cost a round trip each.
 */
import type { ByteSource } from './source.ts';
import { readBytes } from './source.ts';

export interface BlockCacheOptions {
  /** Default 4 MiB. */
  readonly blockBytes?: number;
  /** Blocks kept; memory is at most blocks * blockBytes. Default 8. */
  readonly blocks?: number;
  /** Blocks requested beyond the one being read; default 2. */
  readonly ahead?: number;
}

interface Block {
  readonly bytes: Promise<Uint8Array>;
  usedAt: number;
}

export function blockCache(source: ByteSource, options: BlockCacheOptions = {}): ByteSource {
  const { blockBytes = 4 * 2 ** 20, blocks: capacity = 8, ahead = 2 } = options;
  const sizes = new Map<string, Promise<number | null>>();
  const blocks = new Map<string, Block>();
  let clock = 0;

  const sizeOf = (file: string, signal?: AbortSignal): Promise<number | null> => {
    let size = sizes.get(file);
    if (!size) {
      size = source.size(file, signal);
      sizes.set(file, size);
      size.catch(() => sizes.delete(file));
    }
    return size;
  };

  const evict = (): void => {
    while (blocks.size > capacity) {
      let oldest: string | undefined;
      for (const [key, block] of blocks)
        if (oldest === undefined || block.usedAt < blocks.get(oldest)!.usedAt) oldest = key;
      blocks.delete(oldest!);
    }
  };

  const fetchBlock = (file: string, index: number, size: number, signal?: AbortSignal): Block => {
    const key = `${index} ${file}`;
    let block = blocks.get(key);
    if (!block) {
      const begin = index * blockBytes;
      const bytes = readBytes(source, file, begin, Math.min(size, begin + blockBytes), signal);
      block = { bytes, usedAt: ++clock };
      blocks.set(key, block);
      bytes.catch(() => blocks.delete(key)); // a failed block may be asked for again
      evict();
    }
    block.usedAt = ++clock;
    return block;
  };

  return {
    label: source.label,
    size: sizeOf,
    async *stream(file, begin, end, signal) {
      const size = await sizeOf(file, signal);
      if (size === null || end > size) {
        yield* source.stream(file, begin, end, signal); // the source words this error best
        return;
      }
      const last = Math.floor((end - 1) / blockBytes);
      for (let index = Math.floor(begin / blockBytes); begin < end && index <= last; index++) {
        const isForward = blocks.has(`${index - 1} ${file}`);
        const block = fetchBlock(file, index, size, signal);
        if (isForward)
          for (let i = 1; i <= ahead && (index + i) * blockBytes < size; i++) fetchBlock(file, index + i, size, signal);
        const bytes = await block.bytes;
        const at = index * blockBytes;
        yield bytes.subarray(Math.max(0, begin - at), Math.min(bytes.length, end - at));
      }
    },
  };
}
