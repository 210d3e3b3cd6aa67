/** The part of the Origin Private File System that record folders use, in memory: for faults that no browser shows on demand. */

interface Content {
  bytes: Uint8Array<ArrayBuffer>;
}

export interface FakeOpfsOptions {
  /** Most bytes that one call to a sync access handle moves. */
  readonly mostBytes?: number;
  /** Writes stop here: the disk is full. */
  readonly roomBytes?: number;
  /** Asked before a sync access handle is opened; what it throws, opening throws. */
  readonly onOpen?: (name: string) => void;
}

const missing = (): never => {
  throw new DOMException('no such entry', 'NotFoundError');
};

/** @returns what `navigator.storage.getDirectory()` gives */
export function fakeOpfs(options: FakeOpfsOptions = {}): FileSystemDirectoryHandle {
  return new FakeDirectory('', options) as unknown as FileSystemDirectoryHandle;
}

class FakeDirectory {
  readonly kind = 'directory';
  readonly #entries = new Map<string, FakeDirectory | FakeFile>();
  readonly name: string;
  readonly #options: FakeOpfsOptions;
  #isRemoved = false;

  constructor(name: string, options: FakeOpfsOptions) {
    this.name = name;
    this.#options = options;
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<FakeFile> {
    if (this.#isRemoved) missing();
    let entry = this.#entries.get(name);
    if (!entry && create) this.#entries.set(name, (entry = new FakeFile(name, this.#options)));
    return entry instanceof FakeFile ? entry : missing();
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<FakeDirectory> {
    if (this.#isRemoved) missing();
    let entry = this.#entries.get(name);
    if (!entry && create) this.#entries.set(name, (entry = new FakeDirectory(name, this.#options)));
    return entry instanceof FakeDirectory ? entry : missing();
  }

  async removeEntry(name: string): Promise<void> {
    const entry = this.#entries.get(name);
    if (this.#isRemoved || !entry) missing();
    this.#entries.delete(name);
    if (entry instanceof FakeDirectory) entry.#remove();
  }

  #remove(): void {
    this.#isRemoved = true;
    for (const entry of this.#entries.values()) if (entry instanceof FakeDirectory) entry.#remove();
  }

  async *entries(): AsyncGenerator<[string, FakeDirectory | FakeFile]> {
    if (this.#isRemoved) missing();
    yield* this.#entries;
  }
}

class FakeFile {
  readonly kind = 'file';
  readonly name: string;
  readonly #content: Content = { bytes: new Uint8Array(0) };
  readonly #options: FakeOpfsOptions;

  constructor(name: string, options: FakeOpfsOptions) {
    this.name = name;
    this.#options = options;
  }

  async getFile(): Promise<Blob> {
    return new Blob([this.#content.bytes]);
  }

  async createSyncAccessHandle(): Promise<FakeHandle> {
    this.#options.onOpen?.(this.name);
    return new FakeHandle(this.#content, this.#options);
  }

  async createWritable(): Promise<FakeWritable> {
    return new FakeWritable(this.#content);
  }
}

function resize(content: Content, bytes: number): void {
  const before = content.bytes;
  content.bytes = new Uint8Array(bytes);
  content.bytes.set(before.subarray(0, bytes));
}

function put(content: Content, bytes: Uint8Array, at: number): void {
  if (at + bytes.length > content.bytes.length) resize(content, at + bytes.length);
  content.bytes.set(bytes, at);
}

class FakeHandle {
  readonly #content: Content;
  readonly #most: number;
  readonly #room: number;

  constructor(content: Content, { mostBytes = Infinity, roomBytes = Infinity }: FakeOpfsOptions) {
    this.#content = content;
    this.#most = mostBytes;
    this.#room = roomBytes;
  }

  read(into: Uint8Array, { at }: { at: number }): number {
    const from = this.#content.bytes.subarray(at, at + Math.min(into.length, this.#most));
    into.set(from);
    return from.length;
  }

  write(bytes: Uint8Array, { at }: { at: number }): number {
    const count = Math.max(0, Math.min(bytes.length, this.#most, this.#room - at));
    if (count > 0) put(this.#content, bytes.subarray(0, count), at);
    return count;
  }

  getSize(): number {
    return this.#content.bytes.length;
  }

  truncate(bytes: number): void {
    resize(this.#content, bytes);
  }

  flush(): void {}

  close(): void {}
}

/** Commits on `close`. */
class FakeWritable {
  readonly #target: Content;
  readonly #draft: Content;

  constructor(target: Content) {
    this.#target = target;
    this.#draft = { bytes: target.bytes.slice() };
  }

  async write({ position, data }: { position: number; data: Uint8Array }): Promise<void> {
    put(this.#draft, data, position);
  }

  async truncate(bytes: number): Promise<void> {
    resize(this.#draft, bytes);
  }

  async close(): Promise<void> {
    this.#target.bytes = this.#draft.bytes;
  }

  async abort(): Promise<void> {}
}
