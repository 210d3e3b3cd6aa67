/** The Origin Private File System for a page: sync access handles in an I/O worker of our own. */
import { StorageError } from '../../errors.ts';
import { BufferPool } from './buffer-pool.ts';
import { Chain } from './chain.ts';
import type { RecordFile, RecordFolder } from './folder.ts';
import { OpfsConnection } from './opfs-connection.ts';
import { Gate } from './gate.ts';
import { closedFile } from './opfs-errors.ts';
import type { Args, CallName, Result } from './opfs-protocol.ts';

/** Large reads go in pieces, so that the worker reads the next one while the page copies the last. */
const PIECE_BYTES = 2 * 2 ** 20;
/** Of all files: more would only leave the processor's caches. */
const PIECES_IN_FLIGHT = 4;

export interface RemoteTop extends RecordFolder {
  /** As in opfs-temporary.ts. */
  isTemporary(name: string): Promise<boolean>;
}

/**
 * The folder `path` of this site's storage, made when missing. When the worker dies, every call that waits is rejected, files stay closed, and the
 * next call of a folder starts another worker.
 * @throws StorageError when there is no such worker here
 */
export async function opfsRemoteFolder(path: readonly string[], startWorker: () => Worker): Promise<RemoteTop> {
  const io = new Io(startWorker);
  try {
    await io.call('folder', { path });
  } catch (error) {
    io.close();
    throw error;
  }
  return new RemoteFolder(io, path);
}

/** The worker of the moment, and what its users share. */
class Io {
  readonly #startWorker: () => Worker;
  #connection: Promise<OpfsConnection> | null = null;
  #current: OpfsConnection | null = null;
  #isClosed = false;
  #lastFile = 0;
  readonly buffers = new BufferPool(PIECE_BYTES, PIECES_IN_FLIGHT);
  readonly gate = new Gate(PIECES_IN_FLIGHT);
  readonly files = new Set<RemoteFile>();

  constructor(startWorker: () => Worker) {
    this.#startWorker = startWorker;
  }

  newFile(): number {
    return ++this.#lastFile;
  }

  async connect(): Promise<OpfsConnection> {
    if (this.#isClosed) throw new StorageError('failed', 'The storage was closed: load the model again');
    if (this.#current?.isOver) this.#connection = this.#current = null;
    this.#connection ??= OpfsConnection.start(this.#startWorker);
    try {
      this.#current = await this.#connection;
    } catch (error) {
      this.#connection = null;
      throw error;
    }
    if (this.#isClosed) this.#current.close();
    return this.#current;
  }

  async call<K extends CallName>(call: K, args: Args<K>): Promise<Result<K>> {
    return (await this.connect()).call(call, args);
  }

  close(): void {
    this.#isClosed = true;
    this.#current?.close();
  }
}

class RemoteFolder implements RemoteTop {
  readonly kind = 'opfs';
  readonly #io: Io;
  readonly #path: readonly string[];

  constructor(io: Io, path: readonly string[]) {
    this.#io = io;
    this.#path = path;
  }

  get label(): string {
    return this.#path.join('/');
  }

  async open(name: string, { create = false }: { readonly create?: boolean } = {}): Promise<RecordFile | null> {
    const file = this.#io.newFile();
    const connection = await this.#io.connect();
    const isThere = await connection.call('open', { path: this.#path, name, create, file });
    return isThere ? new RemoteFile(this.#io, connection, file, [...this.#path, name]) : null;
  }

  list(): Promise<readonly { readonly name: string; readonly bytes: number }[]> {
    return this.#io.call('list', { path: this.#path });
  }

  remove(name: string): Promise<void> {
    return this.#io.call('remove', { path: this.#path, name });
  }

  async folder(name: string): Promise<RecordFolder> {
    const path = [...this.#path, name];
    await this.#io.call('folder', { path });
    return new RemoteFolder(this.#io, path);
  }

  folders(): Promise<readonly string[]> {
    return this.#io.call('folders', { path: this.#path });
  }

  removeFolder(name: string): Promise<void> {
    return this.#io.call('removeFolder', { path: this.#path, name });
  }

  isTemporary(name: string): Promise<boolean> {
    return this.#io.call('isTemporary', { path: this.#path, name });
  }

  /** Of the folder that `opfsRemoteFolder` gave: ends the worker. */
  async close(): Promise<void> {
    for (const file of [...this.#io.files])
      if (this.#path.every((part, i) => file.path[i] === part)) await file.close().catch(() => undefined);
    if (this.#path.length === 1) this.#io.close();
  }
}

class RemoteFile implements RecordFile {
  readonly #io: Io;
  /** A file lives and dies with the worker that opened it. */
  readonly #connection: OpfsConnection;
  readonly #file: number;
  readonly path: readonly string[];
  /** Reads are sent in order and answered when they are; anything else is sent after the one before it was answered. */
  readonly #chain = new Chain();
  #isClosed = false;

  constructor(io: Io, connection: OpfsConnection, file: number, path: readonly string[]) {
    this.#io = io;
    this.#connection = connection;
    this.#file = file;
    this.path = path;
    io.files.add(this);
  }

  size(): Promise<number> {
    return this.#next(() => this.#connection.call('size', { file: this.#file }));
  }

  async read(into: Uint8Array, at: number): Promise<number> {
    const pieces = await this.#next(() => this.#startRead(into, at));
    let total = 0;
    for (const bytes of await Promise.all(pieces)) total += bytes;
    return total;
  }

  write(bytes: Uint8Array, at: number): Promise<void> {
    return this.#next(async () => {
      for (let done = 0; done < bytes.length; done += PIECE_BYTES) {
        const piece = bytes.subarray(done, done + PIECE_BYTES);
        const buffer = this.#io.buffers.take(piece.length);
        new Uint8Array(buffer).set(piece);
        const args = { file: this.#file, at: at + done, length: piece.length, buffer };
        this.#io.buffers.give((await this.#connection.call('write', args, [buffer])).buffer);
      }
    });
  }

  truncate(bytes: number): Promise<void> {
    return this.#next(() => this.#connection.call('truncate', { file: this.#file, bytes }));
  }

  flush(): Promise<void> {
    return this.#next(() => this.#connection.call('flush', { file: this.#file }));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    const closed = this.#next(async () => {
      if (!this.#connection.isOver) await this.#connection.call('close', { file: this.#file });
    });
    this.#isClosed = true;
    this.#io.files.delete(this);
    await closed;
  }

  /** Sends all pieces; what it returns may still be under way. */
  async #startRead(into: Uint8Array, at: number): Promise<Promise<number>[]> {
    const pieces: Promise<number>[] = [];
    for (let done = 0; done < into.length; done += PIECE_BYTES) {
      await this.#io.gate.enter();
      const piece = this.#readPiece(into.subarray(done, done + PIECE_BYTES), at + done);
      piece.catch(() => undefined); // when several fail, the first one is reported
      pieces.push(piece);
    }
    return pieces;
  }

  async #readPiece(into: Uint8Array, at: number): Promise<number> {
    const args = { file: this.#file, at, length: into.length, buffer: this.#io.buffers.take(into.length) };
    try {
      const { bytes, buffer } = await this.#connection.call('read', args, [args.buffer]);
      into.set(new Uint8Array(buffer, 0, bytes));
      this.#io.buffers.give(buffer);
      return bytes;
    } finally {
      this.#io.gate.leave();
    }
  }

  #next<T>(action: () => Promise<T>): Promise<T> {
    if (this.#isClosed) return Promise.reject(closedFile(this.path.join('/')));
    return this.#chain.run(action);
  }
}
