/** Reading a file that somebody else may hold open: through `getFile()`, which asks for no lock. */
import { StorageError } from '../../errors.ts';
import { domName, typed } from './opfs-errors.ts';
import type { RecordFile } from './folder.ts';

/** Blobs come as new ArrayBuffers; larger pieces would only take more memory. */
const PIECE_BYTES = 16 * 2 ** 20;
/** A File stops being readable when the file under it changes. */
const TRIES = 4;

/** @returns how many bytes were read */
export async function readSlice(handle: FileSystemFileHandle, into: Uint8Array, at: number): Promise<number> {
  let done = 0;
  while (done < into.length) {
    const piece = await readPiece(handle, at + done, Math.min(PIECE_BYTES, into.length - done));
    if (piece.byteLength === 0) break;
    into.set(new Uint8Array(piece), done);
    done += piece.byteLength;
  }
  return done;
}

async function readPiece(handle: FileSystemFileHandle, at: number, bytes: number): Promise<ArrayBuffer> {
  for (let tries = 1; ; tries++) {
    try {
      const file = await handle.getFile();
      return await file.slice(at, at + bytes).arrayBuffer();
    } catch (error) {
      if (domName(error) !== 'NotReadableError' || tries === TRIES) throw error;
    }
  }
}

/** A file that can only be read, because somebody else has it open for writing. */
export class SnapshotFile implements RecordFile {
  readonly #handle: FileSystemFileHandle;
  readonly #label: string;
  readonly #onClose: () => void;

  constructor(handle: FileSystemFileHandle, label: string, onClose: () => void) {
    this.#handle = handle;
    this.#label = label;
    this.#onClose = onClose;
  }

  size(): Promise<number> {
    return typed(this.#label, async () => (await this.#handle.getFile()).size);
  }

  read(into: Uint8Array, at: number): Promise<number> {
    return typed(this.#label, () => readSlice(this.#handle, into, at));
  }

  write(): Promise<void> {
    return this.#refuse();
  }

  truncate(): Promise<void> {
    return this.#refuse();
  }

  async flush(): Promise<void> {}

  async close(): Promise<void> {
    this.#onClose();
  }

  async #refuse(): Promise<never> {
    throw new StorageError(
      'in-use',
      `${this.#label} is open in another tab, so that it can only be read here: close that tab`,
      { file: this.#label },
    );
  }
}
