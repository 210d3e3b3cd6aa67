/** A small buffer that is mapped once a token, and reused. */
import { invariant } from '../util/assert.ts';
import type { BufferView } from './buffer.ts';
import type { Gpu } from './gpu.ts';

export class Readback {
  readonly #gpu: Gpu;
  readonly #buffer: GPUBuffer;

  constructor(gpu: Gpu, label: string, bytes: number) {
    this.#gpu = gpu;
    this.#buffer = gpu.createBuffer(label, 'readback', bytes);
  }

  /** Adds the copy to `encoder`; submit it, then `await read(bytes)`. */
  encode(encoder: GPUCommandEncoder, from: BufferView, at = 0): void {
    invariant(at + from.size <= this.#buffer.size, `readback of ${from.size} bytes at ${at} into ${this.#buffer.size}`);
    encoder.copyBufferToBuffer(from.buffer, from.offset, this.#buffer, at, from.size);
  }

  async read(bytes: number): Promise<ArrayBuffer> {
    await this.#buffer.mapAsync(GPUMapMode.READ, 0, bytes);
    this.#gpu.counters.readbacks++;
    this.#gpu.counters.readbackBytes += bytes;
    const copy = this.#buffer.getMappedRange(0, bytes).slice(0);
    this.#buffer.unmap();
    return copy;
  }

  dispose(): void {
    this.#gpu.destroyBuffer(this.#buffer);
  }
}
