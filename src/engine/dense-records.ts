/**
 * Everything outside the experts, as records: the bytes of its buffers, one buffer after the other in the order of loading, cut into pieces of
 * 4 MiB. What an earlier session kept goes straight to the GPU; what it did not is read back from the GPU and kept.
 */
import { subview, type BufferView } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { Readback } from '../gpu/readback.ts';
import type { Records } from '../weights/records/records.ts';
import type { RecordFileSpec } from '../weights/records/record-table.ts';

export const DENSE_RECORD_BYTES = 4 * 2 ** 20;
const FILE = 'dense';

/** @param bytes of all buffers together */
export const denseFile = (bytes: number): RecordFileSpec => ({
  name: FILE,
  recordBytes: DENSE_RECORD_BYTES,
  count: Math.ceil(bytes / DENSE_RECORD_BYTES),
});

interface Placed {
  /** Where the buffer begins in the whole. */
  readonly at: number;
  readonly view: BufferView;
}

export class DenseRecords {
  readonly #gpu: Gpu;
  readonly #cache: Records;
  readonly #readback: Readback;
  readonly #placed: Placed[] = [];
  #end = 0;
  /** The record read last. */
  readonly #record = new Uint8Array(DENSE_RECORD_BYTES);
  #loaded = -1;

  readonly #totalBytes: number;

  /** @param totalBytes of all buffers together: what the cache was opened for */
  constructor(gpu: Gpu, cache: Records, totalBytes: number) {
    this.#gpu = gpu;
    this.#cache = cache;
    this.#totalBytes = totalBytes;
    this.#readback = new Readback(gpu, 'dense weights to keep', DENSE_RECORD_BYTES);
  }

  /**
   * The next buffer, in the order of loading.
   * @returns whether it was filled; if not, the caller fills it
   */
  async restore(view: BufferView): Promise<boolean> {
    const at = this.#end;
    this.#end += view.size;
    this.#placed.push({ at, view });
    const [first, last] = [recordOf(at), recordOf(this.#end - 1)];
    for (let record = first; record <= last; record++) if (!this.#cache.has(FILE, record)) return false;
    for (let record = first; record <= last; record++) {
      if (!(await this.#load(record))) return false;
      const begin = record * DENSE_RECORD_BYTES;
      const [from, to] = [Math.max(at, begin), Math.min(this.#end, begin + DENSE_RECORD_BYTES)];
      this.#gpu.write(view, this.#record.subarray(from - begin, to - begin), from - at);
    }
    return true;
  }

  async #load(record: number): Promise<boolean> {
    if (this.#loaded === record) return true;
    this.#loaded = -1;
    const bytes = Math.min(DENSE_RECORD_BYTES, this.#totalBytes - record * DENSE_RECORD_BYTES);
    if (!(await this.#cache.read(FILE, record, this.#record.subarray(0, bytes)))) return false;
    this.#loaded = record;
    return true;
  }

  /** Keeps what is not kept yet, from the GPU. @returns false when there was no room */
  async keepMissing(signal?: AbortSignal): Promise<boolean> {
    for (let record = 0; record * DENSE_RECORD_BYTES < this.#end; record++) {
      signal?.throwIfAborted();
      if (this.#cache.has(FILE, record)) continue;
      if (!(await this.#cache.write(FILE, record, await this.#gather(record)))) return false;
    }
    return true;
  }

  async #gather(record: number): Promise<Uint8Array> {
    const begin = record * DENSE_RECORD_BYTES;
    const end = Math.min(begin + DENSE_RECORD_BYTES, this.#end);
    const encoder = this.#gpu.device.createCommandEncoder();
    for (const { at, view } of this.#placed) {
      const [from, to] = [Math.max(at, begin), Math.min(at + view.size, end)];
      if (from < to) this.#readback.encode(encoder, subview(view, from - at, to - from), from - begin);
    }
    this.#gpu.submit(encoder.finish());
    return new Uint8Array(await this.#readback.read(end - begin));
  }

  dispose(): void {
    this.#readback.dispose();
  }
}

const recordOf = (at: number): number => Math.floor(at / DENSE_RECORD_BYTES);
