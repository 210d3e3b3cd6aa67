/** A typed array that grows at its end. Views of what is there stay valid: nothing is ever moved within a buffer. */
type Numbers = Uint8Array | Uint16Array | Int32Array | Float32Array | Float64Array;

export class GrowingArray<T extends Numbers> {
  readonly #make: (length: number) => T;
  readonly #empty: number;
  #buffer: T;
  #length = 0;

  /** @param empty what a new place holds */
  constructor(make: (length: number) => T, empty: number) {
    this.#make = make;
    this.#empty = empty;
    this.#buffer = make(0);
  }

  /** What is there, without a copy. */
  get view(): T {
    return this.#buffer.subarray(0, this.#length) as T;
  }

  /** Adds `count` empty places. @returns a view of them */
  add(count: number): T {
    const from = this.#length;
    this.#length += count;
    if (this.#length > this.#buffer.length) this.#move(0, Math.max(this.#length, 2 * this.#buffer.length));
    return this.#buffer.subarray(from, this.#length).fill(this.#empty) as T;
  }

  /** Drops the first `count`; views of before keep the buffer of before. */
  drop(count: number): void {
    const kept = this.#length - count;
    this.#move(count, kept);
    this.#length = kept;
  }

  #move(from: number, size: number): void {
    const buffer = this.#make(size);
    buffer.set(this.#buffer.subarray(from, Math.min(this.#buffer.length, from + size)));
    this.#buffer = buffer;
  }
}
