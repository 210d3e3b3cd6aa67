/** Small things by name, each replaced as a whole and checked when read: texts and headers of a model. */
import { StorageError } from '../../errors.ts';
import { invariant } from '../../util/assert.ts';
import { readAtomic, removeAtomic, writeAtomic } from './atomic-file.ts';
import type { RecordFolder } from './folder.ts';

export interface BlobStore {
  /** null when there is none, or it is damaged. */
  readBlob(name: string): Promise<Uint8Array<ArrayBuffer> | null>;
  /** @returns false when it could not be kept: no room, or the disk failed; then what was there before stays */
  writeBlob(name: string, bytes: Uint8Array): Promise<boolean>;
  removeBlob(name: string): Promise<void>;
}

const PREFIX = 'blob-';

/** Recognises the files of a `folderBlobs`. */
export const isBlobFile = (name: string): boolean => /^blob-[a-z0-9-]+\.[01]$/.test(name);

export function folderBlobs(folder: RecordFolder): BlobStore {
  const tails = new Map<string, Promise<unknown>>();
  /** In turn for each name: two writers must not pick the same place. */
  const inTurn = <T>(name: string, work: () => Promise<T>): Promise<T> => {
    invariant(/^[a-z0-9-]{1,40}$/.test(name), `${JSON.stringify(name)} cannot name a blob`);
    const next = (tails.get(name) ?? Promise.resolve()).then(work, work);
    tails.set(name, next);
    return next;
  };
  const orElse = <T>(instead: T) => {
    return (error: unknown): T => {
      if (error instanceof StorageError) return instead;
      throw error;
    };
  };
  return {
    readBlob: (name) => inTurn(name, () => readAtomic(folder, PREFIX + name)).catch(orElse(null)),
    writeBlob: (name, bytes) =>
      inTurn(name, () => writeAtomic(folder, PREFIX + name, bytes))
        .then(() => true)
        .catch(orElse(false)),
    removeBlob: (name) => inTurn(name, () => removeAtomic(folder, PREFIX + name)).catch(orElse(undefined)),
  };
}
