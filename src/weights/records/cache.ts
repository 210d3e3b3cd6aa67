/**
 * A model's weights on disk, as records in the GPU's layout. A record counts only when a mark says so, a mark is written only after the bytes
 * are safe, and every read is checked: a crash or damage at any point costs a download, never a wrong weight. `openRecordCache` opens one.
 */
import { QuotaExceeded, StorageError } from '../../errors.ts';
import { invariant } from '../../util/assert.ts';
import { folderBlobs, type BlobStore } from './blobs.ts';
import { checksum } from './checksum.ts';
import { Commits, type GroupLimits } from './commits.ts';
import type { RecordFolder } from './folder.ts';
import type { CacheIdentity } from './identity.ts';
import type { RecordLease } from './lock.ts';
import type { Manifest } from './manifest.ts';
import { OpenFiles } from './open-files.ts';
import { dataName, type Placed, type RecordTable } from './record-table.ts';
import { reserve } from './reserve.ts';
import type { VerifyResult } from './stored.ts';

export interface CacheOptions {
  /** Most that this model's records may take on disk; default: all of them. Manifest, journal and blobs are not counted. */
  readonly diskBytes?: number | undefined;
  /** Asked once, for bytes, when the disk has no room for all of the model; answers how many it freed: `RecordStorage.makeRoom`. */
  readonly makeRoom?: ((bytes: number) => Promise<number>) | undefined;
  /** When written records are flushed and marked; default: after 64 MiB, 512 records or half a second. */
  readonly groups?: Partial<GroupLimits> | undefined;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

/** What `openRecordCache` found and made. */
export interface CacheParts {
  readonly id: string;
  readonly folder: RecordFolder;
  readonly identity: CacheIdentity;
  readonly tables: readonly RecordTable[];
  readonly lease: RecordLease | null;
}

/** Where an earlier session ended. */
export interface KeptCache {
  readonly manifest: Manifest;
  /** Of the journal that counts. */
  readonly journalBytes: number;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

export class RecordCache implements BlobStore {
  /** Name of the model's folder, as in `StoredModel.id`. */
  readonly id: string;
  readonly identity: CacheIdentity;
  /** Why an earlier cache was dropped when this one was opened, as the end of a sentence; null: there was none, or it is in use. */
  readonly replaced: string | null;
  /** On disk when complete, in whole strides. */
  readonly totalBytes: number;
  readonly #parts: CacheParts;
  readonly #diskBytes: number;
  readonly #now: () => number;
  readonly #files: OpenFiles;
  readonly #commits: Commits;
  readonly #blobs: BlobStore;
  readonly #fileOf: ReadonlyMap<string, number>;
  /** Writes in progress by record: a second one of the same record joins the first. */
  readonly #writing = new Map<string, Promise<boolean>>();
  readonly #running = new Set<Promise<unknown>>();
  #popularity: Float32Array | null;
  #writingBytes = 0;
  #note: string | null = null;
  #damaged = 0;
  /** No new room is to be had on the disk. */
  #isFull = false;
  /** The disk fails: nothing is written any more. */
  #isBroken = false;
  /** Some marks could not be made. */
  #isUnsafe = false;
  #closing: Promise<void> | null = null;

  private constructor(parts: CacheParts, kept: KeptCache | null, options: CacheOptions, replaced: string | null) {
    this.id = parts.id;
    this.identity = parts.identity;
    this.replaced = replaced;
    this.#parts = parts;
    this.#diskBytes = options.diskBytes ?? Infinity;
    this.#now = options.now ?? Date.now;
    this.#files = new OpenFiles(parts.folder);
    this.#commits = new Commits(this.#files, parts.tables, options.groups ?? {}, (error) => {
      this.#isUnsafe = true;
      this.#fail(error);
    });
    this.#blobs = folderBlobs(parts.folder);
    this.#fileOf = new Map(parts.tables.map((table, i) => [table.spec.name, i]));
    invariant(this.#fileOf.size === parts.tables.length, 'two record files have one name');
    this.#popularity = kept?.manifest.popularity ?? null;
    this.totalBytes = parts.tables.reduce((sum, { stride, spec }) => sum + stride * spec.count, 0);
  }

  /** For `openRecordCache`. @param reason why it starts anew: null when it goes on, '' when there was nothing */
  static async start(
    parts: CacheParts,
    kept: KeptCache | null,
    options: CacheOptions,
    reason: string | null,
  ): Promise<RecordCache> {
    const cache = new RecordCache(parts, kept, options, reason || null);
    try {
      if (kept) {
        cache.#commits.resume(kept.manifest.epoch, kept.journalBytes);
        await cache.#compact(); // a disk that is full or may only be read still serves what it has
      } else {
        // Twice, so that neither place has to grow when the disk is full.
        for (let i = 0; i < 2; i++) await cache.#commits.compact((epoch) => cache.#describe(epoch));
      }
      if (cache.totalBytes <= cache.#diskBytes) await cache.#reserve(options.makeRoom);
      return cache;
    } catch (error) {
      await cache.#files.close();
      throw error;
    }
  }

  async #reserve(makeRoom: CacheOptions['makeRoom']): Promise<void> {
    const { tables } = this.#parts;
    if (await reserve(this.#files, tables)) return;
    const missing = tables.reduce((sum, { fileBytes }) => sum - fileBytes, this.totalBytes);
    if (makeRoom && (await makeRoom(missing)) > 0 && (await reserve(this.#files, tables))) return;
    this.#note = `The disk has no room for all of the model's ${gigabytes(this.totalBytes)}: what fits is kept`;
  }

  /** Of whole strides on disk. */
  get presentBytes(): number {
    return this.#parts.tables.reduce((sum, { stride, present }) => sum + stride * present, 0);
  }

  get isComplete(): boolean {
    return this.#parts.tables.every(({ spec, present }) => present === spec.count);
  }

  /** Why not everything is kept, in one sentence for people; null when nothing is wrong. */
  get note(): string | null {
    return this.#note;
  }

  /** Records that were found damaged since it was opened, and dropped. */
  get damaged(): number {
    return this.#damaged;
  }

  /** As last saved, this session or an earlier one. */
  get popularity(): Float32Array | null {
    return this.#popularity;
  }

  has(file: string, index: number): boolean {
    return this.#table(file).state(index) !== 'absent';
  }

  /**
   * @param into exactly as many bytes as were written; its content means nothing when the answer is false
   * @returns false when the record is absent or was damaged; then it is absent from now on
   */
  async read(file: string, index: number, into: Uint8Array): Promise<boolean> {
    const table = this.#table(file);
    const placed = table.find(index);
    if (!placed || this.#closing) return false;
    return this.#track(this.#readPlaced(table, placed, into));
  }

  async #readPlaced(table: RecordTable, placed: Placed, into: Uint8Array): Promise<boolean> {
    if (into.length === placed.bytes) {
      try {
        const at = placed.slot * table.stride;
        const bytes = await this.#files.using(dataName(table.spec), (data) => data.read(into, at));
        if (into.length !== placed.bytes) return false; // the memory is gone, with the GPU device that had lent it: nothing is known
        if (bytes === placed.bytes && checksum(into) === placed.sum) return true;
      } catch (error) {
        if (!(error instanceof StorageError)) throw error; // the browser took the file away: as good as damaged
      }
    }
    // Not when it was written anew while this read was on its way.
    if (table.holds(placed)) {
      this.#damaged++;
      this.#drop(table, placed.index);
    }
    return false;
  }

  /** Whether one more record of the file would be kept, as far as is known: else there is no need to fetch it. */
  hasRoom(file: string): boolean {
    const table = this.#table(file);
    if (this.#closing || this.#isBroken || !this.#fitsBudget(table)) return false;
    return !this.#isFull || (table.nextSlot + 1) * table.stride <= table.fileBytes;
  }

  /**
   * Returns when the record can be read; a crash within the next moments may still lose it (`sync`). `bytes` must not change before.
   * @param bytes at most the file's `recordBytes`
   * @returns false when it is not kept; `note` says why
   */
  async write(file: string, index: number, bytes: Uint8Array): Promise<boolean> {
    const table = this.#table(file);
    invariant(bytes.length <= table.spec.recordBytes, `${file} has no room for ${bytes.length} bytes`);
    if (this.#closing || this.#isBroken) return false;
    const key = `${file} ${index}`;
    const before = this.#writing.get(key);
    const writing = (before ?? Promise.resolve()).then(() => this.#writeRecord(table, index, bytes));
    this.#writing.set(key, writing);
    try {
      return await this.#track(writing);
    } finally {
      if (this.#writing.get(key) === writing) this.#writing.delete(key);
    }
  }

  async #writeRecord(table: RecordTable, index: number, bytes: Uint8Array): Promise<boolean> {
    await this.#commits.enter(table.stride);
    let placed: Placed | null = null;
    try {
      const sum = checksum(bytes);
      const old = table.find(index);
      if (old?.sum === sum && old.bytes === bytes.length) return true;
      if (old) this.#drop(table, index);
      placed = await this.#writeNew(table, { index, bytes: bytes.length, sum }, bytes);
      return placed !== null;
    } finally {
      if (placed) this.#commits.wrote(this.#fileOf.get(table.spec.name)!, placed);
      else this.#commits.left(table.stride);
    }
  }

  /** null when it is not kept. */
  async #writeNew(table: RecordTable, record: Omit<Placed, 'slot'>, bytes: Uint8Array): Promise<Placed | null> {
    if (this.#isBroken || !this.#fitsBudget(table)) return null;
    const slot = table.take();
    const end = (slot + 1) * table.stride;
    let isWritten = false;
    this.#writingBytes += table.stride;
    try {
      if (this.#isFull && end > table.fileBytes) return null;
      await this.#files.using(dataName(table.spec), (data) => data.write(bytes, slot * table.stride));
      isWritten = true;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#fail(error);
      return null;
    } finally {
      this.#writingBytes -= table.stride;
      if (!isWritten) table.free(slot);
    }
    const placed = { ...record, slot };
    table.fileBytes = Math.max(table.fileBytes, end);
    table.place(placed, 'written');
    return placed;
  }

  /** Returns when everything written so far would survive a crash. @returns false when something would not; `note` says why */
  async sync(): Promise<boolean> {
    await this.#commits.sync();
    return !this.#isUnsafe;
  }

  /** Kept by the next sessions; how it fades is the caller's. @returns false when the disk failed */
  async savePopularity(values: Float32Array): Promise<boolean> {
    if (this.#closing) return false;
    this.#popularity = values.slice();
    return this.#track(this.#compact());
  }

  readBlob(name: string): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.#track(this.#blobs.readBlob(name));
  }

  writeBlob(name: string, bytes: Uint8Array): Promise<boolean> {
    return this.#track(this.#blobs.writeBlob(name, bytes));
  }

  removeBlob(name: string): Promise<void> {
    return this.#track(this.#blobs.removeBlob(name));
  }

  /** Reads every record there is. @param onProgress in records. @throws the signal's reason when aborted */
  async verify(onProgress?: (done: number, total: number) => void, signal?: AbortSignal): Promise<VerifyResult> {
    const before = this.#damaged;
    const total = this.#parts.tables.reduce((sum, { present }) => sum + present, 0);
    let done = 0;
    for (const table of this.#parts.tables) {
      const record = new Uint8Array(table.spec.recordBytes);
      for (let index = 0; index < table.spec.count; index++) {
        signal?.throwIfAborted();
        if (table.state(index) === 'absent') continue;
        await this.read(table.spec.name, index, record.subarray(0, table.find(index)!.bytes));
        done++;
        onProgress?.(done, total);
      }
    }
    return { records: done, damaged: this.#damaged - before };
  }

  /** Waits for what is in progress, marks what was written, and lets others in. From then on nothing is found or kept. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    try {
      await Promise.allSettled(this.#running);
      await this.#compact();
    } finally {
      await this.#files.close();
      await this.#parts.lease?.release();
    }
  }

  #table(file: string): RecordTable {
    const at = this.#fileOf.get(file);
    invariant(at !== undefined, `the cache has no file ${file}`);
    return this.#parts.tables[at]!;
  }

  #drop(table: RecordTable, index: number): void {
    table.drop(index);
    this.#commits.dropped(this.#fileOf.get(table.spec.name)!, index);
  }

  #fitsBudget(table: RecordTable): boolean {
    if (this.presentBytes + this.#writingBytes + table.stride <= this.#diskBytes) return true;
    this.#note = `The ${gigabytes(this.#diskBytes)} of disk that the model may take are full: the rest is fetched whenever it is needed`;
    return false;
  }

  #fail(error: StorageError): void {
    if (error instanceof QuotaExceeded) {
      this.#isFull = true;
      this.#note = `The disk is full: ${gigabytes(this.presentBytes)} of ${gigabytes(this.totalBytes)} are kept, the rest is fetched whenever it is needed`;
    } else {
      this.#isBroken = true;
      this.#note = `Weights are no longer kept on disk: ${error.message}`;
    }
  }

  async #compact(): Promise<boolean> {
    try {
      await this.#commits.compact((epoch) => this.#describe(epoch));
      return true;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      return false; // the old manifest and its journal say the same
    }
  }

  #describe(epoch: number): Manifest {
    const files = this.#parts.tables.map((table) => ({
      ...table.spec,
      stride: table.stride,
      planes: null,
      ...table.snapshot(),
    }));
    const { presentBytes: bytes, totalBytes, identity } = this;
    return { epoch, identity, lastUsed: this.#now(), bytes, totalBytes, files, popularity: this.#popularity };
  }

  /** Lets `close` wait for it. */
  #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    const forget = (): void => void this.#running.delete(work);
    work.then(forget, forget);
    return work;
  }
}
