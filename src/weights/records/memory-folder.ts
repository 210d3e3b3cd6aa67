/** A folder of records in memory: for tests, and where a browser has no private file system. It is gone with the page. */
import { QuotaExceeded, StorageError } from '../../errors.ts';
import type { RecordFile, RecordFolder } from './folder.ts';

/** Memory is taken in pieces of this size when they are first written: reserving room takes none. */
const CHUNK_BYTES = 2 ** 18;

interface Budget {
  used: number;
  readonly bytes: number;
}

/** @param bytes of all files together, holes and reserved room included, as a browser counts them; default: no bound */
export const memoryFolder = (bytes = Infinity): RecordFolder => new MemoryFolder('memory', { used: 0, bytes });

class MemoryFolder implements RecordFolder {
  readonly kind = 'memory';
  readonly label: string;
  readonly #budget: Budget;
  readonly #files = new Map<string, Content>();
  readonly #folders = new Map<string, MemoryFolder>();

  constructor(label: string, budget: Budget) {
    this.label = label;
    this.#budget = budget;
  }

  async open(name: string, { create = false } = {}): Promise<RecordFile | null> {
    let content = this.#files.get(name);
    if (!content && !create) return null;
    if (!content) this.#files.set(name, (content = new Content(`${this.label}/${name}`, this.#budget)));
    return new MemoryFile(content);
  }

  async list(): Promise<{ name: string; bytes: number }[]> {
    return [...this.#files].map(([name, { bytes }]) => ({ name, bytes }));
  }

  async remove(name: string): Promise<void> {
    this.#files.get(name)?.resize(0);
    this.#files.delete(name);
  }

  async folder(name: string): Promise<RecordFolder> {
    let inner = this.#folders.get(name);
    if (!inner) this.#folders.set(name, (inner = new MemoryFolder(`${this.label}/${name}`, this.#budget)));
    return inner;
  }

  async folders(): Promise<string[]> {
    return [...this.#folders.keys()];
  }

  async removeFolder(name: string): Promise<void> {
    const inner = this.#folders.get(name);
    if (!inner) return;
    for (const file of inner.#files.keys()) await inner.remove(file);
    for (const folder of inner.#folders.keys()) await inner.removeFolder(folder);
    this.#folders.delete(name);
  }

  async close(): Promise<void> {
    // Nothing is held open.
  }
}

class Content {
  bytes = 0;
  readonly label: string;
  readonly #budget: Budget;
  readonly #chunks = new Map<number, Uint8Array>();

  constructor(label: string, budget: Budget) {
    this.label = label;
    this.#budget = budget;
  }

  resize(bytes: number): void {
    const used = this.#budget.used + bytes - this.bytes;
    if (bytes > this.bytes && used > this.#budget.bytes) {
      throw new QuotaExceeded(`${this.label}: ${bytes} bytes do not fit: ${this.#budget.bytes} are allowed in all`, {
        file: this.label,
        bytes,
      });
    }
    this.#budget.used = used;
    const isShorter = bytes < this.bytes;
    this.bytes = bytes;
    if (!isShorter) return;
    for (const [at, chunk] of this.#chunks) {
      const keep = bytes - at * CHUNK_BYTES;
      if (keep <= 0) this.#chunks.delete(at);
      else if (keep < CHUNK_BYTES) chunk.fill(0, keep); // bytes that come back later are zero
    }
  }

  write(from: Uint8Array, at: number): void {
    if (at + from.length > this.bytes) this.resize(at + from.length);
    this.#pieces(at, from.length, (chunk, offset, begin, end) => {
      let to = this.#chunks.get(chunk);
      if (!to) this.#chunks.set(chunk, (to = new Uint8Array(CHUNK_BYTES)));
      to.set(from.subarray(begin, end), offset);
    });
  }

  read(into: Uint8Array, at: number): number {
    const length = Math.max(0, Math.min(into.length, this.bytes - at));
    this.#pieces(at, length, (chunk, offset, begin, end) => {
      const from = this.#chunks.get(chunk);
      if (from) into.set(from.subarray(offset, offset + end - begin), begin);
      else into.fill(0, begin, end);
    });
    return length;
  }

  #pieces(at: number, length: number, each: (chunk: number, offset: number, begin: number, end: number) => void): void {
    for (let begin = 0; begin < length;) {
      const offset = (at + begin) % CHUNK_BYTES;
      const end = Math.min(length, begin + CHUNK_BYTES - offset);
      each(Math.floor((at + begin) / CHUNK_BYTES), offset, begin, end);
      begin = end;
    }
  }
}

class MemoryFile implements RecordFile {
  readonly #content: Content;
  #isClosed = false;

  constructor(content: Content) {
    this.#content = content;
  }

  get #open(): Content {
    if (this.#isClosed)
      throw new StorageError('failed', `${this.#content.label} was closed`, { file: this.#content.label });
    return this.#content;
  }

  async size(): Promise<number> {
    return this.#open.bytes;
  }

  async read(into: Uint8Array, at: number): Promise<number> {
    return this.#open.read(into, at);
  }

  async write(bytes: Uint8Array, at: number): Promise<void> {
    this.#open.write(bytes, at);
  }

  async truncate(bytes: number): Promise<void> {
    this.#open.resize(bytes);
  }

  async flush(): Promise<void> {
    void this.#open;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}
