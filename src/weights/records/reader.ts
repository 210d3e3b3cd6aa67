/** Records that another tab keeps: read from its files, and never written. Every read is checked, so that whatever the writer does in between shows. */
import { StorageError } from '../../errors.ts';
import { invariant } from '../../util/assert.ts';
import { checksum } from './checksum.ts';
import type { RecordFolder } from './folder.ts';
import { modelFolderName, type CacheIdentity } from './identity.ts';
import { readManifest, type Manifest } from './manifest.ts';
import { restore, whyAnew } from './open-cache.ts';
import { OpenFiles } from './open-files.ts';
import { dataName, RecordTable, type Placed, type RecordFileSpec } from './record-table.ts';
import type { Records } from './records.ts';

type Tables = ReadonlyMap<string, RecordTable>;

export class RecordReader implements Records {
  readonly totalBytes: number;
  readonly popularity: Float32Array | null;
  readonly #files: OpenFiles;
  #tables: Tables;
  readonly #running = new Set<Promise<unknown>>();
  #isClosed = false;

  private constructor(folder: RecordFolder, manifest: Manifest, tables: Tables) {
    this.#files = new OpenFiles(folder, { create: false });
    this.#tables = tables;
    this.popularity = manifest.popularity;
    this.totalBytes = manifest.totalBytes;
  }

  /** @returns null when what is there is not of this very model. @throws StorageError */
  static async open(
    root: RecordFolder,
    identity: CacheIdentity,
    files: readonly RecordFileSpec[],
  ): Promise<RecordReader | null> {
    const folder = await root.folder(modelFolderName(identity));
    const manifest = await readManifest(folder);
    if (!manifest || (await whyAnew(folder, manifest, identity, files)) !== null) return null;
    return new RecordReader(folder, manifest, await tablesOf(folder, manifest));
  }

  get presentBytes(): number {
    return [...this.#tables.values()].reduce((sum, { stride, present }) => sum + stride * present, 0);
  }

  get isComplete(): boolean {
    return [...this.#tables.values()].every(({ spec, present }) => present === spec.count);
  }

  get note(): string | null {
    return this.isComplete
      ? null
      : 'Another tab keeps this model, and not all of it: what is missing is fetched whenever it is needed';
  }

  has(file: string, index: number): boolean {
    return this.#table(file).state(index) !== 'absent';
  }

  /** @returns false when the record is not there, or not whole; then it is absent from now on */
  async read(file: string, index: number, into: Uint8Array): Promise<boolean> {
    if (this.#isClosed) return false;
    const reading = this.#read(file, index, into);
    this.#running.add(reading);
    try {
      return await reading;
    } finally {
      this.#running.delete(reading);
    }
  }

  async #read(file: string, index: number, into: Uint8Array): Promise<boolean> {
    const placed = this.#table(file).find(index);
    if (!placed || into.length !== placed.bytes) return false;
    if (await this.#readPlaced(file, placed, into)) return true;
    // The writer may have put it elsewhere since.
    await this.#look();
    const now = this.#table(file).find(index);
    if (now && now.bytes === into.length && (await this.#readPlaced(file, now, into))) return true;
    this.#table(file).drop(index);
    return false;
  }

  async #readPlaced(file: string, { slot, bytes, sum }: Placed, into: Uint8Array): Promise<boolean> {
    const { spec, stride } = this.#table(file);
    try {
      const count = await this.#files.using(dataName(spec), (data) => data.read(into, slot * stride));
      return count === bytes && checksum(into) === sum;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      return false;
    }
  }

  /** What the writer says by now. */
  async #look(): Promise<void> {
    try {
      const manifest = await readManifest(this.#files.folder);
      if (manifest) this.#tables = await tablesOf(this.#files.folder, manifest);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error; // what was known is what there is
    }
  }

  hasRoom(): boolean {
    return false;
  }

  async write(): Promise<boolean> {
    return false;
  }

  async sync(): Promise<boolean> {
    return true;
  }

  async savePopularity(): Promise<boolean> {
    return false;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#running);
    await this.#files.close();
  }

  #table(file: string): RecordTable {
    const table = this.#tables.get(file);
    invariant(table, `the records have no file ${file}`);
    return table;
  }
}

async function tablesOf(folder: RecordFolder, manifest: Manifest): Promise<Tables> {
  const tables = manifest.files.map((spec) => new RecordTable(spec));
  await restore(folder, manifest, tables);
  return new Map(tables.map((table) => [table.spec.name, table]));
}
