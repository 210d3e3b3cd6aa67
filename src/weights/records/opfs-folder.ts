/** The Origin Private File System through sync access handles: for code that runs in a dedicated worker. */
import { StorageError } from '../../errors.ts';
import type { RecordFile, RecordFolder } from './folder.ts';
import { OpfsDirectory, opfsRoot, type FindRoot } from './opfs-directory.ts';
import { closedFile, domName, noRoom, storageError, typed } from './opfs-errors.ts';
import { SnapshotFile } from './opfs-snapshot.ts';
import { OpfsTree } from './opfs-tree.ts';
import type { SyncAccessHandle, SyncFileHandle } from './opfs-types.ts';

/** A page that was just closed, or a worker that just ended, may hold its handles a moment longer. */
const RETRY_MS = 100;

/** The folder `path` of this site's storage, made when missing. Only where `hasSyncHandles()`. */
export async function opfsFolder(path: readonly string[], root: FindRoot = opfsRoot): Promise<RecordFolder> {
  const directory = new OpfsDirectory(root, path);
  await directory.prepare();
  return new OpfsTree('opfs', directory, openSync);
}

async function openSync(
  handle: FileSystemFileHandle,
  label: string,
  create: boolean,
  onClose: () => void,
): Promise<RecordFile> {
  try {
    return new SyncFile(await openHandle(handle as SyncFileHandle), label, onClose);
  } catch (error) {
    const isHeld = domName(error) === 'NoModificationAllowedError';
    if (isHeld && !create) return new SnapshotFile(handle, label, onClose);
    throw storageError(label, error);
  }
}

async function openHandle(handle: SyncFileHandle): Promise<SyncAccessHandle> {
  // Who may write is the lock's business (locks.ts). An exclusive handle would also shut out every reader, and a reader that came first would
  // shut out the writer. Browsers that know no modes give an exclusive handle.
  const open = (): Promise<SyncAccessHandle> => handle.createSyncAccessHandle({ mode: 'readwrite-unsafe' });
  try {
    return await open();
  } catch (error) {
    if (!['InvalidStateError', 'NoModificationAllowedError'].includes(domName(error))) throw error;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    return open();
  }
}

class SyncFile implements RecordFile {
  #handle: SyncAccessHandle | null;
  readonly #label: string;
  readonly #onClose: () => void;

  constructor(handle: SyncAccessHandle, label: string, onClose: () => void) {
    this.#handle = handle;
    this.#label = label;
    this.#onClose = onClose;
  }

  size(): Promise<number> {
    return this.#with((handle) => handle.getSize());
  }

  read(into: Uint8Array, at: number): Promise<number> {
    return this.#with((handle) => {
      for (let done = 0; ;) {
        const rest = into.subarray(done);
        const bytes = rest.length > 0 ? this.#moved(handle.read(rest, { at: at + done }), rest) : 0;
        if (bytes === 0) return done;
        done += bytes;
      }
    });
  }

  write(bytes: Uint8Array, at: number): Promise<void> {
    return this.#with((handle) => {
      for (let done = 0; done < bytes.length;) {
        const rest = bytes.subarray(done);
        const written = this.#moved(handle.write(rest, { at: at + done }), rest);
        if (written === 0) throw noRoom(this.#label);
        done += written;
      }
    });
  }

  /** Once site data were cleared, Chromium answers with an error's number (2 ** 32 - 4) where the number of bytes should be. */
  #moved(count: number, buffer: Uint8Array): number {
    if (count <= buffer.length) return count;
    throw new StorageError(
      'failed',
      `${this.#label} in the browser’s storage is gone: the site’s data was cleared, so load the model again`,
      { file: this.#label, count },
    );
  }

  truncate(bytes: number): Promise<void> {
    return this.#with((handle) => handle.truncate(bytes));
  }

  flush(): Promise<void> {
    return this.#with((handle) => handle.flush());
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    if (!handle) return;
    this.#onClose();
    await typed(this.#label, () => handle.close());
  }

  #with<T>(action: (handle: SyncAccessHandle) => T): Promise<T> {
    return typed(this.#label, () => {
      if (!this.#handle) throw closedFile(this.#label);
      return action(this.#handle);
    });
  }
}
