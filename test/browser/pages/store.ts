/** Records that come and go while the browser is killed: what is marked must be whole. */
import type { RecordFile, RecordFolder } from '../../../src/weights/records/folder.ts';
import { pattern } from '../../support/record-folder-cases.ts';

export const RECORDS = 12;
const RECORD_BYTES = 2 ** 20 + 12;

/** A place with `RECORDS` records; each holds the pattern of some seed, or nothing. */
export interface Store {
  /** Replaces a record. Once it returns, the record outlives a kill. */
  put(index: number, seed: number): Promise<void>;
  /** The seed of a record, null when it holds none. @throws when the bytes are not those of the seed */
  get(index: number): Promise<number | null>;
  close(): Promise<void>;
}

/** `mark-first` has a fault: the mark is there a while before the bytes are. */
export type StoreKind = 'journal' | 'mark-first';

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
    await this.#data.write(pattern(RECORD_BYTES, seed), index * RECORD_BYTES);
    await this.#data.flush();
    await this.#mark(index, seed);
  }

  async get(index: number): Promise<number | null> {
    const mark = new Uint32Array(MARK_WORDS);
    await this.#marks.read(new Uint8Array(mark.buffer), index * MARK_BYTES);
    const [magic, place, seed, check] = mark;
    if (magic !== MAGIC || place !== index || check !== (seed! ^ MAGIC ^ index) >>> 0) return null;
    const bytes = new Uint8Array(RECORD_BYTES);
    const count = await this.#data.read(bytes, index * RECORD_BYTES);
    const expected = pattern(RECORD_BYTES, seed);
    if (count !== RECORD_BYTES || bytes.some((byte, i) => byte !== expected[i]))
      throw new Error(`record ${index} is marked with seed ${seed}, and its bytes are not`);
    return seed!;
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

export async function openStore(folder: RecordFolder, kind: StoreKind): Promise<Store> {
  const inner = await folder.folder('store');
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
