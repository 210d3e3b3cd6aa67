/**
 * The Origin Private File System without sync access handles: for pages that get no I/O worker. What is written counts only after `flush` or
 * `close`, and each of them makes the browser copy the file: write much, flush seldom.
 */
import type { RecordFile, RecordFolder } from './folder.ts';
import { Chain } from './chain.ts';
import { OpfsDirectory, opfsRoot, type FindRoot } from './opfs-directory.ts';
import { closedFile, typed } from './opfs-errors.ts';
import { readSlice } from './opfs-snapshot.ts';
import { OpfsTree } from './opfs-tree.ts';

/** The folder `path` of this site's storage, made when missing. */
export async function opfsAsyncFolder(path: readonly string[], root: FindRoot = opfsRoot): Promise<RecordFolder> {
  const directory = new OpfsDirectory(root, path);
  await directory.prepare();
  return new OpfsTree('opfs-async', directory, async (handle, label, _create, onClose) => {
    const { size } = await typed(label, () => handle.getFile());
    return new AsyncFile(handle, label, size, onClose);
  });
}

/** Bytes that the file on disk lacks so far. */
interface Batch {
  readonly writable: FileSystemWritableFileStream;
  readonly begin: number;
  readonly end: number;
}

class AsyncFile implements RecordFile {
  readonly #handle: FileSystemFileHandle;
  readonly #label: string;
  readonly #onClose: () => void;
  readonly #chain = new Chain();
  /** With what is in the batch. */
  #size: number;
  #batch: Batch | null = null;
  #isClosed = false;

  constructor(handle: FileSystemFileHandle, label: string, size: number, onClose: () => void) {
    this.#handle = handle;
    this.#label = label;
    this.#size = size;
    this.#onClose = onClose;
  }

  size(): Promise<number> {
    return this.#next(() => this.#size);
  }

  read(into: Uint8Array, at: number): Promise<number> {
    return this.#next(async () => {
      const end = Math.min(at + into.length, this.#size);
      if (this.#batch && at < this.#batch.end && end > this.#batch.begin) await this.#commit();
      return at >= end ? 0 : readSlice(this.#handle, into.subarray(0, end - at), at);
    });
  }

  write(bytes: Uint8Array, at: number): Promise<void> {
    return this.#next(async () => {
      if (bytes.length === 0) return;
      const end = at + bytes.length;
      await this.#change(Math.min(at, this.#size), end, async (writable) => {
        await writable.write({ type: 'write', position: at, data: bytes as Uint8Array<ArrayBuffer> });
        this.#size = Math.max(this.#size, end);
      });
    });
  }

  truncate(bytes: number): Promise<void> {
    return this.#next(() =>
      this.#change(Math.min(bytes, this.#size), Math.max(bytes, this.#size), async (writable) => {
        await writable.truncate(bytes);
        this.#size = bytes;
      }),
    );
  }

  flush(): Promise<void> {
    return this.#next(() => this.#commit());
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    const flushed = this.flush();
    this.#isClosed = true;
    this.#onClose();
    await flushed;
  }

  async #change(
    begin: number,
    end: number,
    action: (writable: FileSystemWritableFileStream) => Promise<void>,
  ): Promise<void> {
    const before = this.#batch;
    const writable = before?.writable ?? (await this.#handle.createWritable({ keepExistingData: true }));
    this.#batch = {
      writable,
      begin: Math.min(begin, before?.begin ?? begin),
      end: Math.max(end, before?.end ?? end),
    };
    await action(writable).catch((error: unknown) => this.#drop(error));
  }

  async #commit(): Promise<void> {
    const batch = this.#batch;
    this.#batch = null;
    await batch?.writable.close().catch((error: unknown) => this.#drop(error));
  }

  /** A writable that failed commits nothing any more: back to what is on disk. */
  async #drop(error: unknown): Promise<never> {
    await this.#batch?.writable.abort().catch(() => undefined);
    this.#batch = null;
    this.#size = await this.#handle.getFile().then(
      (file) => file.size,
      () => 0,
    );
    throw error;
  }

  #next<T>(action: () => T | Promise<T>): Promise<T> {
    if (this.#isClosed) return Promise.reject(closedFile(this.#label));
    return this.#chain.run(() => typed(this.#label, action));
  }
}
