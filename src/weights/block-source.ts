/**
 * Small reads served from blocks: a model has tens of thousands of tensors, and one request for each would cost a round trip each and run into
 * a server's rate limit. Large reads pass straight through, where the server can start in the middle.
 *
 * A read beside nothing that is known fetches `firstBytes`; where reading goes on beside what is known, as much again as lies there, up to a
 * block. So experts that are read here and there cost little more than themselves, and a file that is read to its end costs few requests.
 */
import { orAborted } from '../util/abort.ts';
import type { ByteSource } from './source.ts';
import { readBytes } from './source.ts';

export interface BlockOptions {
  /** The most that is read ahead; default 2 MiB. */
  readonly blockBytes?: number;
  /** Blocks kept, the latest used; default 32. */
  readonly blocks?: number;
  /** What is read where nothing beside is known; a block is a whole number of its halves. Default: a block. */
  readonly firstBytes?: number;
}

/** One transfer. */
interface Run {
  readonly bytes: Promise<Uint8Array>;
  readonly controller: AbortController;
  waiting: number;
  settled: boolean;
}

/** A part of a run: what is kept and forgotten. */
interface Grain {
  readonly run: Run;
  readonly bytes: Promise<Uint8Array>;
}

export function blockSource(
  source: ByteSource,
  { blockBytes = 2 * 2 ** 20, blocks = 32, firstBytes = blockBytes }: BlockOptions = {},
): ByteSource {
  const grainBytes = firstBytes < blockBytes ? firstBytes / 2 : blockBytes;
  const perBlock = blockBytes / grainBytes;
  const most = blocks * perBlock;
  const cache = new Map<string, Grain>();
  let isReadWhole = firstBytes >= blockBytes;
  const keyOf = (file: string, index: number): string => `${file} ${index}`;
  const knows = (file: string, index: number): boolean => index >= 0 && cache.has(keyOf(file, index));

  /** Which grains to fetch for the one at `index`, of a read that ends in the one at `last`. */
  const extent = (file: string, index: number, last: number, size: number): { from: number; until: number } => {
    let from = index;
    let until = index + 1;
    const begin = index - (index % perBlock);
    let limit = begin + perBlock;
    if (isReadWhole || !(source.seeks?.(file) ?? true)) {
      while (from > begin && !knows(file, from - 1)) from--;
    } else {
      let known = 0;
      while (known < perBlock && knows(file, index - 1 - known)) known++;
      limit = index + Math.min(perBlock, Math.max(last + 1 - index, known || firstBytes / grainBytes));
    }
    limit = Math.min(limit, Math.ceil(size / grainBytes));
    while (until < limit && !knows(file, until)) until++;
    return { from, until };
  };

  const load = (file: string, index: number, last: number, size: number): void => {
    const { from, until } = extent(file, index, last, size);
    const controller = new AbortController();
    const bytes = readBytes(source, file, from * grainBytes, Math.min(size, until * grainBytes), controller.signal);
    const run: Run = { bytes, controller, waiting: 0, settled: false };
    for (let i = from; i < until; i++) {
      const at = (i - from) * grainBytes;
      // A copy, so that a grain does not keep all of its run in memory.
      const part = until - from === 1 ? bytes : bytes.then((all) => all.slice(at, at + grainBytes));
      part.catch(() => undefined); // whoever waits for the run sees it
      cache.set(keyOf(file, i), { run, bytes: part });
    }
    const forget = (): void => {
      for (let i = from; i < until; i++) if (cache.get(keyOf(file, i))?.run === run) cache.delete(keyOf(file, i));
    };
    bytes.then(() => (run.settled = true), forget);
    controller.signal.addEventListener('abort', forget);
  };

  const take = (file: string, index: number, last: number, size: number): Grain => {
    const key = keyOf(file, index);
    if (!cache.has(key)) load(file, index, last, size);
    const grain = cache.get(key)!;
    cache.delete(key);
    cache.set(key, grain); // the newest is last
    for (const [old, { run }] of cache) {
      if (cache.size <= most) break;
      if (run.settled) cache.delete(old);
    }
    return grain;
  };

  return {
    label: source.label,
    ...(source.key !== undefined && { key: source.key }),
    ...(source.origin && { origin: source.origin }),
    size: (file, signal) => source.size(file, signal),
    seeks: (file) => source.seeks?.(file) ?? true,
    version: (file) => source.version?.(file) ?? null,
    willReadAll: () => {
      isReadWhole = true;
      source.willReadAll?.();
    },
    async *stream(file, begin, end, signal) {
      signal?.throwIfAborted();
      const isLarge = end - begin >= blockBytes / 2 && (source.seeks?.(file) ?? true);
      const size = isLarge ? null : await source.size(file, signal);
      if (size === null || end > size) {
        yield* source.stream(file, begin, end, signal);
        return;
      }
      const last = Math.floor((end - 1) / grainBytes);
      for (let at = begin; at < end;) {
        const index = Math.floor(at / grainBytes);
        const bytes = await waitFor(take(file, index, last, size), signal);
        const start = index * grainBytes;
        yield bytes.subarray(at - start, Math.min(bytes.length, end - start));
        at = start + bytes.length;
      }
    },
  };
}

/** The transfer is aborted when the last one that waits for it is. */
async function waitFor({ run, bytes }: Grain, signal: AbortSignal | undefined): Promise<Uint8Array> {
  run.waiting++;
  try {
    return await orAborted(bytes, signal);
  } finally {
    run.waiting--;
    if (signal?.aborted && run.waiting === 0 && !run.settled) run.controller.abort(signal.reason);
  }
}
