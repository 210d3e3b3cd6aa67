/** Records that come and go while the browser is killed: what is marked must be whole. */
import type { RecordFile, RecordFolder } from '../../../src/weights/records/folder.ts';
import type { RecordCache } from '../../../src/weights/records/cache.ts';
import { modelFolderName, type CacheIdentity } from '../../../src/weights/records/identity.ts';
import { openRecordCache } from '../../../src/weights/records/open-cache.ts';
import { webLock } from '../../../src/weights/records/web-lock.ts';
import { pattern } from '../../support/record-folder-cases.ts';

export const RECORDS = 12;
const RECORD_BYTES = 2 ** 19 + 12;

/** A place with `RECORDS` records; each is `recordOf` some seed, or absent. */
export interface Store {
  /** Replaces a record. Once it returns, the record outlives a kill. */
  put(index: number, seed: number): Promise<void>;
  /** The seed of a record, null when it is absent. @throws when the bytes are not those of the seed */
  get(index: number): Promise<number | null>;
  close(): Promise<void>;
}

/** `cache`: the one of the engine. `mark-first` has a fault: the mark is there a while before the bytes are. */
export type StoreKind = 'journal' | 'mark-first' | 'cache';

const recordOf = (seed: number): Uint8Array => {
  const bytes = pattern(RECORD_BYTES, seed);
  new DataView(bytes.buffer).setUint32(0, seed);
  return bytes;
};

/** @throws when the bytes are not those of any seed */
function seedOf(bytes: Uint8Array, index: number): number {
  const seed = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  const expected = recordOf(seed);
  if (bytes.some((byte, i) => byte !== expected[i]))
    throw new Error(`record ${index} is marked, and its bytes are not`);
  return seed;
}

const MARK_WORDS = 4;
const MARK_BYTES = 4 * MARK_WORDS;
const MAGIC = 0x6d6f6521;

/** The smallest store that is safe: bytes, flush, mark in a second file, flush. */
class Journal implements Store {
  readonly #data: RecordFile;
  readonly #marks: RecordFile;
  readonly #markFirst: boolean;

  constructor(data: RecordFile, marks: RecordFile, markFirst: boolean) {
    this.#data = data;
    this.#marks = marks;
    this.#markFirst = markFirst;
  }

  async put(index: number, seed: number): Promise<void> {
    await this.#mark(index, null);
    if (this.#markFirst) {
      await this.#mark(index, seed);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await this.#data.write(recordOf(seed), index * RECORD_BYTES);
    await this.#data.flush();
    await this.#mark(index, seed);
  }

  async get(index: number): Promise<number | null> {
    const mark = new Uint32Array(MARK_WORDS);
    await this.#marks.read(new Uint8Array(mark.buffer), index * MARK_BYTES);
    const [magic, place, seed, check] = mark;
    if (magic !== MAGIC || place !== index || check !== (seed! ^ MAGIC ^ index) >>> 0) return null;
    const bytes = new Uint8Array(RECORD_BYTES);
    await this.#data.read(bytes, index * RECORD_BYTES);
    const found = seedOf(bytes, index);
    if (found !== seed) throw new Error(`record ${index} is marked with seed ${seed}, and holds ${found}`);
    return found;
  }

  async close(): Promise<void> {
    await this.#data.close();
    await this.#marks.close();
  }

  async #mark(index: number, seed: number | null): Promise<void> {
    const mark = seed === null ? [0, 0, 0, 0] : [MAGIC, index, seed, (seed ^ MAGIC ^ index) >>> 0];
    await this.#marks.write(new Uint8Array(new Uint32Array(mark).buffer), index * MARK_BYTES);
    await this.#marks.flush();
  }
}

export const identity: CacheIdentity = {
  source: 'https://example.org/model/',
  revision: null,
  precision: 'q4',
  format: 'patterns',
  recordVersion: 1,
  files: [],
};

function cacheStore(cache: RecordCache): Store {
  return {
    async put(index, seed) {
      if (!(await cache.write('records', index, recordOf(seed))) || !(await cache.sync()))
        throw new Error(`record ${index} was not kept: ${cache.note}`);
    },
    async get(index) {
      const bytes = new Uint8Array(RECORD_BYTES);
      return (await cache.read('records', index, bytes)) ? seedOf(bytes, index) : null;
    },
    close: () => cache.close(),
  };
}

/** Names of the store's folder, and of the files that belong in it. */
export const storeFiles = (kind: StoreKind): { readonly folder: string; readonly files: readonly string[] } =>
  kind === 'cache'
    ? { folder: modelFolderName(identity), files: ['journal', 'manifest.0', 'manifest.1', 'records.records'] }
    : { folder: 'store', files: ['data', 'marks'] };

export async function openStore(root: RecordFolder, kind: StoreKind): Promise<Store> {
  if (kind === 'cache') {
    const files = [{ name: 'records', recordBytes: RECORD_BYTES, count: RECORDS }];
    return cacheStore(await openRecordCache(root, identity, files, { lock: webLock() }));
  }
  const inner = await root.folder(storeFiles(kind).folder);
  const [data, marks] = await Promise.all([
    inner.open('data', { create: true }),
    inner.open('marks', { create: true }),
  ]);
  return new Journal(data!, marks!, kind === 'mark-first');
}

/** Every record: its seed, null, or what is wrong with it. */
export async function readStore(store: Store): Promise<(number | string | null)[]> {
  const found: (number | string | null)[] = [];
  for (let i = 0; i < RECORDS; i++) found.push(await store.get(i).catch((error: unknown) => (error as Error).message));
  return found;
}

/** Replaces records until the page is gone. `tell` returns when the test knows. */
export async function writeForEver(
  store: Store,
  firstSeed: number,
  tell: (what: 'start' | 'done', index: number, seed: number) => Promise<void>,
): Promise<never> {
  for (let seed = firstSeed; ; seed++) {
    const index = (seed * 7) % RECORDS;
    await tell('start', index, seed);
    await store.put(index, seed);
    await tell('done', index, seed);
  }
}
