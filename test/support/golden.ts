/** The golden files, read by a reader of their own: a fault in src/weights must not hide here. */
import { readFileSync } from 'node:fs';

interface Entry {
  dtype: 'F32' | 'I32';
  shape: number[];
  data_offsets: [number, number];
}

export class Golden {
  readonly #bytes: Buffer;
  readonly #entries: Record<string, Entry>;
  readonly #data: number;

  constructor(path: string) {
    this.#bytes = readFileSync(path);
    const length = Number(this.#bytes.readBigUInt64LE(0));
    this.#entries = JSON.parse(this.#bytes.subarray(8, 8 + length).toString()) as Record<string, Entry>;
    this.#data = 8 + length;
  }

  has(name: string): boolean {
    return name in this.#entries;
  }

  shape(name: string): number[] {
    return this.#entries[name]!.shape;
  }

  floats(name: string): Float32Array {
    return new Float32Array(this.#range(name, 'F32'));
  }

  ids(name: string): number[] {
    return [...new Int32Array(this.#range(name, 'I32'))];
  }

  #range(name: string, dtype: Entry['dtype']): ArrayBuffer {
    const entry = this.#entries[name];
    if (!entry || entry.dtype !== dtype) throw new Error(`no ${dtype} tensor ${name}`);
    const [begin, end] = entry.data_offsets;
    return Uint8Array.from(this.#bytes.subarray(this.#data + begin, this.#data + end)).buffer;
  }
}
