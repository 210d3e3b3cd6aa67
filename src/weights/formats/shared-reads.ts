/**
 * Reads that several matrices need: both halves of interleaved rows, all columns of a transposed block. A few of the latest are kept until
 * the expected number of readers came by, so memory stays at a few blocks.
 */
import type { Checkpoint } from '../checkpoint.ts';

type Bytes = Uint8Array<ArrayBuffer>;

interface Shared {
  readonly bytes: Promise<Bytes>;
  done: number;
}

interface SharedKey {
  readonly key: string;
  readonly readers: number;
  readonly last: boolean;
}

const KEPT = 4;

class SharedReads {
  readonly #latest = new Map<string, Shared>();

  /**
   * @param last whether this reader will not ask for `key` again
   * @param readers the bytes are dropped after the last call of this many
   * @param load must give the same bytes for the same key
   */
  async get(
    { key, readers, last }: SharedKey,
    signal: AbortSignal | undefined,
    load: (signal?: AbortSignal) => Promise<Bytes>,
  ): Promise<Bytes> {
    signal?.throwIfAborted();
    let entry = this.#latest.get(key);
    const own = entry === undefined;
    if (!entry) {
      entry = { bytes: load(signal), done: 0 };
      this.#latest.set(key, entry);
      for (const old of this.#latest.keys()) {
        if (this.#latest.size <= KEPT) break;
        this.#latest.delete(old);
      }
    }
    if (last && ++entry.done >= readers) this.#latest.delete(key);
    try {
      return await entry.bytes;
    } catch (error) {
      if (this.#latest.get(key) === entry) this.#latest.delete(key);
      signal?.throwIfAborted();
      if (own) throw error;
      return load(signal); // the other reader was aborted, or failed where we may succeed
    }
  }
}

const ofCheckpoint = new WeakMap<Checkpoint, SharedReads>();

export function sharedReads(checkpoint: Checkpoint): SharedReads {
  let found = ofCheckpoint.get(checkpoint);
  if (!found) ofCheckpoint.set(checkpoint, (found = new SharedReads()));
  return found;
}
