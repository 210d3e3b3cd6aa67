/** The files of one model's folder, opened when first needed and kept open: an OPFS handle takes milliseconds to get. */
import type { RecordFile, RecordFolder } from './folder.ts';

export class OpenFiles {
  readonly folder: RecordFolder;
  readonly #files = new Map<string, Promise<RecordFile>>();

  constructor(folder: RecordFolder) {
    this.folder = folder;
  }

  /** Made when missing. @throws StorageError */
  get(name: string): Promise<RecordFile> {
    let file = this.#files.get(name);
    if (!file) {
      file = this.folder.open(name, { create: true }).then((f) => f!);
      this.#files.set(name, file);
      file.catch(() => this.#files.delete(name)); // the next one tries again
    }
    return file;
  }

  /** Failures are of no interest any more: what counted was flushed. */
  async close(): Promise<void> {
    const files = await Promise.allSettled(this.#files.values());
    this.#files.clear();
    await Promise.allSettled(files.map((f) => (f.status === 'fulfilled' ? f.value.close() : undefined)));
  }
}
