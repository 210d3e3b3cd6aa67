/** A RecordFolder over directories of the Origin Private File System; how a file is opened is the caller's. */
import type { OpfsDirectory } from './opfs-directory.ts';
import type { RecordFile, RecordFolder } from './folder.ts';

export type OpenFile = (
  handle: FileSystemFileHandle,
  label: string,
  /** The file was to be made if it was missing: the caller means to write. */
  create: boolean,
  /** Called once, when the file is closed. */
  onClose: () => void,
) => Promise<RecordFile>;

export class OpfsTree implements RecordFolder {
  readonly kind: 'opfs' | 'opfs-async';
  readonly #directory: OpfsDirectory;
  readonly #openFile: OpenFile;
  /** Open files and folders that were handed out, by name. A removed one is closed first: Chromium removes no open file. */
  readonly #files = new Map<string, Set<RecordFile>>();
  readonly #folders = new Map<string, OpfsTree>();

  constructor(kind: 'opfs' | 'opfs-async', directory: OpfsDirectory, openFile: OpenFile) {
    this.kind = kind;
    this.#directory = directory;
    this.#openFile = openFile;
  }

  get label(): string {
    return this.#directory.label;
  }

  async open(name: string, { create = false }: { readonly create?: boolean } = {}): Promise<RecordFile | null> {
    const handle = await this.#directory.file(name, create);
    if (!handle) return null;
    const open = this.#files.get(name) ?? new Set();
    this.#files.set(name, open);
    const file = await this.#openFile(handle, this.#directory.labelOf(name), create, () => open.delete(file));
    open.add(file);
    return file;
  }

  list(): Promise<readonly { readonly name: string; readonly bytes: number }[]> {
    return this.#directory.files();
  }

  async remove(name: string): Promise<void> {
    await this.#closeFiles(name);
    await this.#directory.remove(name);
  }

  async folder(name: string): Promise<RecordFolder> {
    const known = this.#folders.get(name);
    const folder = known ?? new OpfsTree(this.kind, this.#directory.child(name), this.#openFile);
    this.#folders.set(name, folder);
    await folder.#directory.prepare();
    return folder;
  }

  folders(): Promise<readonly string[]> {
    return this.#directory.folders();
  }

  async removeFolder(name: string): Promise<void> {
    await this.#folders.get(name)?.close();
    await this.#directory.remove(name, { recursive: true });
  }

  async close(): Promise<void> {
    for (const folder of this.#folders.values()) await folder.close();
    for (const name of this.#files.keys()) await this.#closeFiles(name);
  }

  async #closeFiles(name: string): Promise<void> {
    for (const file of [...(this.#files.get(name) ?? [])]) await file.close();
    this.#files.delete(name);
  }
}
