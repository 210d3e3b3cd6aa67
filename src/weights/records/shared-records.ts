/**
 * A model's records among several tabs. One gets and keeps them; the others wait until it has what it gets, then read its files. Two locks say who
 * is who: whoever has the model's own writes, and whoever has `filling` is getting the model, or looks who is. The browser frees both with their tab.
 */
import { StorageError } from '../../errors.ts';
import type { RecordCache } from './cache.ts';
import type { RecordFolder } from './folder.ts';
import { modelFolderName, type CacheIdentity } from './identity.ts';
import type { RecordLease, RecordLock } from './lock.ts';
import { readManifest } from './manifest.ts';
import { openLeasedCache, openRecordCache, type OpenCacheOptions } from './open-cache.ts';
import { RecordReader } from './reader.ts';
import type { RecordFileSpec } from './record-table.ts';
import type { Records } from './records.ts';
import { presentBytes } from './storage.ts';

export interface SharedOptions extends OpenCacheOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told now and then while another tab gets the model: what is on disk, and what will be. */
  readonly onWait?: ((presentBytes: number, totalBytes: number) => void) | undefined;
}

/** A lock that lets wait. */
type QueueLock = RecordLock & Required<Pick<RecordLock, 'queue'>>;

const LOOK_MS = 500;
const fillingOf = (id: string): string => `${id}/filling`;

/**
 * As `openRecordCache`, and where another tab has the model: waits while that one gets it, then reads what it keeps.
 * @throws StorageError, QuotaExceeded; the signal's reason when aborted
 */
export async function openSharedRecords(
  root: RecordFolder,
  identity: CacheIdentity,
  files: readonly RecordFileSpec[],
  options: SharedOptions,
): Promise<SharedRecords> {
  const { lock } = options;
  if (!canQueue(lock)) return new SharedRecords(await openRecordCache(root, identity, files, options));
  const id = modelFolderName(identity);
  const turn = await ourTurn(root, id, lock, options);
  try {
    return new SharedRecords(await openRecordCache(root, identity, files, options), turn);
  } catch (error) {
    await turn.release();
    if (!(error instanceof StorageError) || error.reason !== 'in-use') throw error;
    const reader = await RecordReader.open(root, identity, files);
    if (!reader) throw error;
    const shared = new SharedRecords(reader);
    shared.inherit(lock, id, (lease) => openLeasedCache(root, identity, files, options, lease));
    return shared;
  }
}

const canQueue = (lock: RecordLock | undefined): lock is QueueLock => lock?.queue !== undefined;

async function ourTurn(
  root: RecordFolder,
  id: string,
  lock: QueueLock,
  { signal, onWait }: SharedOptions,
): Promise<RecordLease> {
  const free = await lock.acquire(fillingOf(id));
  if (free) return free;
  const look = async (): Promise<void> => {
    const folder = await root.folder(id);
    const manifest = await readManifest(folder);
    onWait?.(manifest ? await presentBytes(folder, manifest) : 0, manifest?.totalBytes ?? 0);
  };
  // A look may fall between two writes: the next one sees more.
  const looking = setInterval(() => void look().catch(() => undefined), LOOK_MS);
  onWait?.(0, 0);
  try {
    return await lock.queue(fillingOf(id), signal);
  } finally {
    clearInterval(looking);
  }
}

export class SharedRecords implements Records {
  #now: Records;
  #turn: RecordLease | null;
  /** While what another tab kept becomes ours to keep. */
  #changing: Promise<void> | null = null;
  readonly #closing = new AbortController();

  /** @param turn held until `filled` */
  constructor(records: RecordCache | RecordReader, turn: RecordLease | null = null) {
    this.#now = records;
    this.#turn = turn;
  }

  /** Everything that will be kept for now is: other tabs need not wait any longer. */
  async filled(): Promise<void> {
    const turn = this.#turn;
    if (!turn) return;
    this.#turn = null;
    await this.#now.sync();
    await turn.release();
  }

  /** Keeps the records from when the tab that keeps them goes away, and as long as this one reads them nobody deletes them. */
  inherit(lock: QueueLock, id: string, open: (lease: RecordLease) => Promise<RecordCache>): void {
    const { signal } = this.#closing;
    lock.queue(id, signal).then(
      (lease) => {
        if (signal.aborted) return lease.release();
        return (this.#changing = this.#change(lease, open));
      },
      () => undefined, // closed before
    );
  }

  async #change(lease: RecordLease, open: (lease: RecordLease) => Promise<RecordCache>): Promise<void> {
    await this.#now.close();
    try {
      this.#now = await open(lease);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error; // nothing is read or kept any more: it is fetched
    }
  }

  get presentBytes(): number {
    return this.#now.presentBytes;
  }

  get totalBytes(): number {
    return this.#now.totalBytes;
  }

  get isComplete(): boolean {
    return this.#now.isComplete;
  }

  get note(): string | null {
    return this.#now.note;
  }

  get popularity(): Float32Array | null {
    return this.#now.popularity;
  }

  has(file: string, index: number): boolean {
    return this.#now.has(file, index);
  }

  hasRoom(file: string): boolean {
    return this.#now.hasRoom(file);
  }

  async read(file: string, index: number, into: Uint8Array): Promise<boolean> {
    await this.#changing;
    return this.#now.read(file, index, into);
  }

  async write(file: string, index: number, bytes: Uint8Array): Promise<boolean> {
    await this.#changing;
    return this.#now.write(file, index, bytes);
  }

  sync(): Promise<boolean> {
    return this.#now.sync();
  }

  savePopularity(values: Float32Array): Promise<boolean> {
    return this.#now.savePopularity(values);
  }

  async close(): Promise<void> {
    this.#closing.abort(new DOMException('the records are closed', 'AbortError'));
    await this.#changing;
    try {
      await this.#now.close();
    } finally {
      await this.#turn?.release();
      this.#turn = null;
    }
  }
}
