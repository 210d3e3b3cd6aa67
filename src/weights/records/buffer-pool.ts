/** ArrayBuffers that go to a worker and come back: a fresh one of a few megabytes costs as much as reading a file of that size. */
export class BufferPool {
  readonly #spare: ArrayBuffer[] = [];
  readonly #bufferBytes: number;
  readonly #most: number;

  /** Keeps at most `most` buffers of `bufferBytes`. */
  constructor(bufferBytes: number, most: number) {
    this.#bufferBytes = bufferBytes;
    this.#most = most;
  }

  /** A buffer of at least `bytes`. */
  take(bytes: number): ArrayBuffer {
    if (bytes > this.#bufferBytes || bytes * 4 < this.#bufferBytes) return new ArrayBuffer(bytes);
    return this.#spare.pop() ?? new ArrayBuffer(this.#bufferBytes);
  }

  give(buffer: ArrayBuffer): void {
    if (buffer.byteLength === this.#bufferBytes && this.#spare.length < this.#most) this.#spare.push(buffer);
  }
}
