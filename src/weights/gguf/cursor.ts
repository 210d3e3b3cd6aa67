/** Reads the parts of a GGUF header one after the other, within the bytes that are there. */
import type { CheckpointFault } from '../../errors.ts';
import { MAX_ELEMENTS, MAX_HEADER_BYTES, MAX_KEY_BYTES } from './limits.ts';

/** The header goes on: so many bytes of the file are needed at least. Never leaves readGgufHeader. */
export class Short extends Error {
  readonly needed: number;

  constructor(needed: number) {
    super(`needs ${needed} bytes`);
    this.needed = needed;
  }
}

export type Fail = (fault: CheckpointFault, message: string, details?: Record<string, unknown>) => never;

const utf8 = /* @__PURE__ */ new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class HeaderCursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #size: number;
  readonly fail: Fail;
  at = 0;
  #elements = 0;

  constructor(bytes: Uint8Array, size: number, fail: Fail) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#size = size;
    this.fail = fail;
  }

  /** Moves on over `count` bytes. @returns where they begin */
  #take(count: number): number {
    const end = this.at + count;
    if (end > this.#size)
      this.fail('truncated', `its header needs ${end} bytes, but the file has only ${this.#size}: it is cut`, {
        expected: end,
        found: this.#size,
      });
    if (end > MAX_HEADER_BYTES) this.fail('limit', `has a header of more than ${MAX_HEADER_BYTES} bytes`);
    if (end > this.#bytes.length) throw new Short(end);
    const at = this.at;
    this.at = end;
    return at;
  }

  bytes(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  number(bytes: number, get: (view: DataView, at: number) => number): number {
    return get(this.#view, this.#take(bytes));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(what: string): number {
    const value = this.#view.getBigUint64(this.#take(8), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.fail('overflow', `${what} is ${value}, above 2^53`);
    return Number(value);
  }

  count(what: string, most: number): number {
    const count = this.u64(`the number of ${what}`);
    if (count > most) this.fail('limit', `has ${count} ${what}; at most ${most} are read`, { count });
    return count;
  }

  /** The length of a list, each of whose items takes at least `itemBytes`. */
  elements(what: string, itemBytes: number): number {
    const count = this.u64(`the length of ${what}`);
    this.#elements += count;
    if (this.#elements > MAX_ELEMENTS)
      this.fail('limit', `has lists of more than ${MAX_ELEMENTS} values (${what} has ${count})`, { key: what, count });
    const end = this.at + count * itemBytes;
    if (end > this.#size) this.fail('truncated', `${what} has ${count} values, more than the file: it is cut`);
    return count;
  }

  string(what: string, most = MAX_HEADER_BYTES): string {
    const length = this.u64(`the length of ${what}`);
    if (length > most) this.fail('limit', `${what} has ${length} bytes; at most ${most} are read`);
    const bytes = this.bytes(length);
    try {
      return utf8.decode(bytes);
    } catch {
      return this.fail('header-encoding', `${what} is not UTF-8 (byte ${this.at - length} of the file)`);
    }
  }

  key(): string {
    return this.string('a name', MAX_KEY_BYTES);
  }
}
