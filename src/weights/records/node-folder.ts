/** A folder of records on a disk. Node only: the browser entry never imports this. */
import type { Dirent } from 'node:fs';
import { constants, mkdir, open, readdir, rm, stat, type FileHandle } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { QuotaExceeded, StorageError } from '../../errors.ts';
import { invariant } from '../../util/assert.ts';
import type { RecordFile, RecordFolder } from './folder.ts';

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';

/** Codes of a disk, a user's share or a file system that has no more room. */
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/**
 * Files that begin with a dot are neither listed nor touched. Locking is not done here: `nodeLock`.
 * @param dir made when it is first needed, with the folders above it
 */
export const nodeFolder = (dir: string): RecordFolder => new NodeFolder(resolve(dir));

/** @throws StorageError, QuotaExceeded in place of what the system says */
async function typed<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    if (FULL.has(code))
      throw new QuotaExceeded(`${path}: the disk is full (${code})`, { path, code }, { cause: error });
    throw new StorageError('failed', `${path} cannot be read or written (${code})`, { path, code }, { cause: error });
  }
}

const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT';

function orElse<T>(isExpected: (error: unknown) => boolean, instead: T): (error: unknown) => T {
  return (error) => {
    if (isExpected(error)) return instead;
    throw error;
  };
}

class NodeFolder implements RecordFolder {
  readonly kind = 'path';
  readonly label: string;
  readonly #open = new Set<NodeFile>();
  readonly #folders = new Map<string, NodeFolder>();

  constructor(path: string) {
    this.label = path;
  }

  #path(name: string): string {
    invariant(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name), `${JSON.stringify(name)} is no name of a file`);
    return join(this.label, name);
  }

  async open(name: string, { create = false } = {}): Promise<RecordFile | null> {
    const path = this.#path(name);
    return typed(path, async () => {
      if (create) await mkdir(this.label, { recursive: true });
      // Not 'a+', which would write at the end whatever the position.
      const flags = constants.O_RDWR | (create ? constants.O_CREAT : 0);
      const handle = await open(path, flags).catch(orElse(isMissing, null));
      return handle && new NodeFile(path, handle, this.#open);
    });
  }

  async list(): Promise<{ name: string; bytes: number }[]> {
    const files: { name: string; bytes: number }[] = [];
    for (const entry of await this.#entries()) {
      if (!entry.isFile()) continue;
      const path = join(this.label, entry.name);
      const stats = await typed(path, () => stat(path).catch(orElse(isMissing, null)));
      if (stats) files.push({ name: entry.name, bytes: stats.size });
    }
    return files;
  }

  async remove(name: string): Promise<void> {
    const path = join(this.label, checkInside(name));
    await typed(path, () => rm(path, { force: true }));
  }

  async folder(name: string): Promise<RecordFolder> {
    const path = this.#path(name);
    await typed(path, () => mkdir(path, { recursive: true }));
    let inner = this.#folders.get(name);
    if (!inner) this.#folders.set(name, (inner = new NodeFolder(path)));
    return inner;
  }

  async folders(): Promise<string[]> {
    return (await this.#entries()).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  }

  async removeFolder(name: string): Promise<void> {
    const path = join(this.label, checkInside(name));
    await this.#folders.get(name)?.close();
    this.#folders.delete(name);
    await typed(path, () => rm(path, { recursive: true, force: true }));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map((file) => file.close()));
    await Promise.all([...this.#folders.values()].map((folder) => folder.close()));
  }

  #entries(): Promise<Dirent[]> {
    return typed(this.label, async () => {
      const entries = await readdir(this.label, { withFileTypes: true }).catch(orElse(isMissing, []));
      return entries.filter(({ name }) => !name.startsWith('.'));
    });
  }
}

/** Names that `list` gave may be anything, but lead nowhere else. */
function checkInside(name: string): string {
  invariant(name !== '' && !/^\.|[/\\]/.test(name), `${JSON.stringify(name)} is no name of a file`);
  return name;
}

class NodeFile implements RecordFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #open: Set<NodeFile>;

  constructor(path: string, handle: FileHandle, open: Set<NodeFile>) {
    this.#path = path;
    this.#handle = handle;
    this.#open = open;
    open.add(this);
  }

  size(): Promise<number> {
    return typed(this.#path, async () => (await this.#handle.stat()).size);
  }

  read(into: Uint8Array, at: number): Promise<number> {
    return typed(this.#path, async () => {
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await this.#handle.read(into, done, into.length - done, at + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    });
  }

  write(bytes: Uint8Array, at: number): Promise<void> {
    return typed(this.#path, async () => {
      for (let done = 0; done < bytes.length;) {
        done += (await this.#handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
      }
    });
  }

  truncate(bytes: number): Promise<void> {
    return typed(this.#path, () => this.#handle.truncate(bytes));
  }

  flush(): Promise<void> {
    return typed(this.#path, () => this.#handle.sync());
  }

  async close(): Promise<void> {
    if (!this.#open.delete(this)) return;
    await typed(this.#path, () => this.#handle.close());
  }
}
