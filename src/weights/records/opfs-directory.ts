/** One directory of the Origin Private File System, by path, found anew when the browser has cleared it. */
import { invariant } from '../../util/assert.ts';
import { domName, storageError } from './opfs-errors.ts';

/** Chromium writes `<name>.crswap` while a writable is open, and leaves it behind when it is killed. */
const ORPHAN = '.crswap';

export type FindRoot = () => Promise<FileSystemDirectoryHandle>;

/** The root of this site's private file system. */
export const opfsRoot: FindRoot = () => navigator.storage.getDirectory();

export class OpfsDirectory {
  readonly #root: FindRoot;
  readonly path: readonly string[];
  #handle: Promise<FileSystemDirectoryHandle> | null = null;

  constructor(root: FindRoot, path: readonly string[]) {
    path.forEach(checkName);
    this.#root = root;
    this.path = path;
  }

  get label(): string {
    return this.path.join('/');
  }

  labelOf(name: string): string {
    return `${this.label}/${name}`;
  }

  child(name: string): OpfsDirectory {
    return new OpfsDirectory(this.#root, [...this.path, name]);
  }

  /** Makes the directory, and deletes what killed browsers left in it. */
  async prepare(): Promise<void> {
    await this.#use(this.label, async (directory) => {
      for await (const [name, entry] of directory.entries())
        if (isOrphan(name, entry)) await directory.removeEntry(name).catch(() => undefined); // in use by another tab
    });
  }

  /** null when it does not exist and `create` is false. */
  async file(name: string, create: boolean): Promise<FileSystemFileHandle | null> {
    checkName(name);
    return this.#use(this.labelOf(name), (directory) => directory.getFileHandle(name, { create })).catch(
      nullWhenMissing,
    );
  }

  async files(): Promise<{ name: string; bytes: number }[]> {
    return this.#use(this.label, async (directory) => {
      const found: { name: string; bytes: number }[] = [];
      for await (const [name, entry] of directory.entries()) {
        if (entry.kind !== 'file' || isOrphan(name, entry)) continue;
        const file = await entry.getFile().catch(nullWhenMissing); // removed since it was listed
        if (file) found.push({ name, bytes: file.size });
      }
      return found;
    });
  }

  async folders(): Promise<string[]> {
    return this.#use(this.label, async (directory) => {
      const found: string[] = [];
      for await (const [name, entry] of directory.entries()) if (entry.kind === 'directory') found.push(name);
      return found;
    });
  }

  /** A file or, with `recursive`, a directory and all that is in it. Nothing happens when it does not exist. */
  async remove(name: string, options: FileSystemRemoveOptions = {}): Promise<void> {
    checkName(name);
    await this.#use(this.labelOf(name), (directory) => directory.removeEntry(name, options)).catch(nullWhenMissing);
  }

  async #find(): Promise<FileSystemDirectoryHandle> {
    let directory = await this.#root();
    for (const name of this.path) directory = await directory.getDirectoryHandle(name, { create: true });
    return directory;
  }

  /** Twice when something is missing: clearing the site's data makes a kept directory handle point nowhere. */
  async #use<T>(file: string, action: (directory: FileSystemDirectoryHandle) => Promise<T>): Promise<T> {
    const known = this.#handle;
    try {
      try {
        return await action(await (this.#handle ??= this.#find()));
      } catch (error) {
        if (!known || !['NotFoundError', 'InvalidStateError'].includes(domName(error))) throw error;
        this.#handle = this.#find();
        return await action(await this.#handle);
      }
    } catch (error) {
      this.#handle = null;
      throw storageError(file, error);
    }
  }
}

const isOrphan = (name: string, entry: FileSystemHandle): boolean => entry.kind === 'file' && name.endsWith(ORPHAN);

function checkName(name: string): void {
  invariant(/^[^/\\\0]+$/.test(name) && !/^\.\.?$/.test(name) && !name.endsWith(ORPHAN), `bad file name "${name}"`);
}

function nullWhenMissing(error: unknown): null {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (domName(cause) === 'NotFoundError') return null;
  throw error;
}
