/** Files of a folder on disk. Node only: the browser entry never imports this. */
import type { Stats } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { SourceError } from '../errors.ts';
import { checkFileName } from './file-name.ts';
import type { ByteSource } from './source.ts';

const PIECE_BYTES = 4 * 2 ** 20;

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';

/** Bytes from a folder; files may be larger than 4 GiB. Symbolic links are followed, as in the Hub's own cache. */
export function pathSource(dir: string): ByteSource {
  const root = resolve(dir);
  /** Size and time of each file when it was first seen: both must stay. */
  const seen = new Map<string, { readonly size: number; readonly mtimeMs: number }>();

  const fail = (file: string, what: string, cause?: unknown): never => {
    throw new SourceError(`${join(root, file)}: ${what}`, { file, path: join(root, file) }, { cause });
  };
  const failRead = (file: string, error: unknown): never => fail(file, `cannot be read (${codeOf(error)})`, error);

  const check = (file: string, stats: Stats): number => {
    if (!stats.isFile()) fail(file, 'is not a file');
    const { size, mtimeMs } = stats;
    const before = seen.get(file);
    if (before && (before.size !== size || before.mtimeMs !== mtimeMs))
      fail(file, 'changed while it was read: load the model again');
    seen.set(file, { size, mtimeMs });
    return size;
  };

  const missing = async (error: unknown): Promise<null> => {
    const folder = await stat(root).catch(() => null);
    if (folder?.isDirectory()) return null;
    throw new SourceError(`${root} is not a folder`, { path: root }, { cause: error });
  };

  return {
    label: root,
    async size(file, signal) {
      signal?.throwIfAborted();
      const path = join(root, checkFileName(file));
      let stats: Stats;
      try {
        stats = await stat(path);
      } catch (error) {
        if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return missing(error);
        return failRead(file, error);
      }
      return check(file, stats);
    },
    version: (file) => {
      const state = seen.get(file);
      return state ? `modified ${state.mtimeMs}` : null;
    },
    async *stream(file, begin, end, signal) {
      signal?.throwIfAborted();
      const path = join(root, checkFileName(file));
      const handle: FileHandle = await open(path).catch((error: unknown) => failRead(file, error));
      try {
        check(file, await handle.stat());
        for (let at = begin; at < end;) {
          signal?.throwIfAborted();
          const piece = new Uint8Array(Math.min(PIECE_BYTES, end - at));
          const { bytesRead } = await handle
            .read(piece, 0, piece.length, at)
            .catch((error: unknown) => failRead(file, error));
          if (bytesRead === 0) fail(file, `ends at byte ${at}, before ${end}`);
          at += bytesRead;
          yield piece.subarray(0, bytesRead);
        }
        check(file, await handle.stat()); // it may have been written to meanwhile
      } finally {
        await handle.close();
      }
    },
  };
}
