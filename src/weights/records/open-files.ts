/** The files of one model's folder, opened when first needed and kept open: an OPFS handle takes milliseconds to get. */
import { QuotaExceeded, StorageError } from '../../errors.ts';
import type { RecordFile, RecordFolder } from './folder.ts';

export class OpenFiles {
  readonly folder: RecordFolder;
  readonly #create: boolean;
  readonly #files = new Map<string, Promise<RecordFile>>();

  /** @param create whether missing files are made; false for who only reads: then browsers give files that somebody else has open, too */
  constructor(folder: RecordFolder, { create = true } = {}) {
    this.folder = folder;
    this.#create = create;
  }

  /** @throws StorageError */
  get(name: string): Promise<RecordFile> {
    let file = this.#files.get(name);
    if (!file) {
      file = this.folder.open(name, { create: this.#create }).then((f) => {
        if (f) return f;
        throw new StorageError('failed', `${name} is not there any more`, { file: name });
      });
      this.#files.set(name, file);
      file.catch(() => this.#files.delete(name)); // the next one tries again
    }
    return file;
  }

  /**
   * Runs `work` on the file; if that fails, once more on a file opened anew: a browser may take a handle away, or the worker that holds it may end.
   * @param work may run twice. @throws StorageError, QuotaExceeded
   */
  async using<T>(name: string, work: (file: RecordFile) => Promise<T>): Promise<T> {
    const file = await this.get(name);
    try {
      return await work(file);
    } catch (error) {
      if (!(error instanceof StorageError) || error instanceof QuotaExceeded) throw error;
    }
    const current = await this.get(name);
    if (current === file) {
      this.#files.delete(name);
      await file.close().catch(() => undefined);
    }
    return work(await this.get(name));
  }

  /** Failures are of no interest any more: what counted was flushed. */
  async close(): Promise<void> {
    const files = await Promise.allSettled(this.#files.values());
    this.#files.clear();
    await Promise.allSettled(files.map((f) => (f.status === 'fulfilled' ? f.value.close() : undefined)));
  }
}
