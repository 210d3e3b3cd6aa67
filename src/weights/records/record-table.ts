/** Which records of one file are there, and where. Bookkeeping only: it touches no disk. */
import { invariant } from '../../util/assert.ts';
import { NO_SLOT } from './journal.ts';

export interface RecordFileSpec {
  /** Lower-case letters, digits, dots and dashes: it becomes a file name. */
  readonly name: string;
  /** Largest number of bytes of a record. */
  readonly recordBytes: number;
  readonly count: number;
}

/** Pages of the disk and of memory. */
export const RECORD_ALIGNMENT = 4096;

export const strideOf = (recordBytes: number): number => Math.ceil(recordBytes / RECORD_ALIGNMENT) * RECORD_ALIGNMENT;

export const dataName = (spec: RecordFileSpec): string => `${spec.name}.records`;

/** `written`: its bytes are in the file, but a crash may lose it. `marked`: it will be found again. */
export type RecordState = 'absent' | 'written' | 'marked';
const STATES: readonly RecordState[] = ['absent', 'written', 'marked'];

export interface Placed {
  readonly index: number;
  readonly slot: number;
  /** Length of the record. */
  readonly bytes: number;
  readonly sum: number;
}

export class RecordTable {
  readonly spec: RecordFileSpec;
  /** Bytes from one record to the next in the file. */
  readonly stride: number;
  /** How far the file is known to reach, in bytes: writing below needs no new room. */
  fileBytes = 0;
  #present = 0;
  readonly #slots: Uint32Array;
  readonly #bytes: Uint32Array;
  readonly #sums: Uint32Array;
  readonly #states: Uint8Array;
  /** Slots that a record has, or is being written to. */
  readonly #taken: Uint8Array;

  constructor(spec: RecordFileSpec) {
    invariant(/^[a-z0-9][a-z0-9.-]{0,63}$/.test(spec.name), `${JSON.stringify(spec.name)} cannot name a record file`);
    invariant(
      spec.recordBytes > 0 && spec.count >= 0 && spec.count < NO_SLOT,
      `${spec.name} has ${spec.count} records of ${spec.recordBytes} bytes`,
    );
    this.spec = spec;
    this.stride = strideOf(spec.recordBytes);
    this.#slots = new Uint32Array(spec.count).fill(NO_SLOT);
    this.#bytes = new Uint32Array(spec.count);
    this.#sums = new Uint32Array(spec.count);
    this.#states = new Uint8Array(spec.count);
    this.#taken = new Uint8Array(spec.count);
  }

  get present(): number {
    return this.#present;
  }

  state(index: number): RecordState {
    invariant(index >= 0 && index < this.spec.count, `${this.spec.name} has no record ${index}`);
    return STATES[this.#states[index]!]!;
  }

  /** null when absent. */
  find(index: number): Placed | null {
    if (this.state(index) === 'absent') return null;
    return { index, slot: this.#slots[index]!, bytes: this.#bytes[index]!, sum: this.#sums[index]! };
  }

  /** Whether the record is still what `find` gave. */
  holds({ index, slot, bytes, sum }: Placed): boolean {
    if (this.#states[index] === 0) return false;
    return this.#slots[index] === slot && this.#bytes[index] === bytes && this.#sums[index] === sum;
  }

  /** The lowest place that nothing has, so that a file grows no further than it must; -1: there is none. */
  get nextSlot(): number {
    return this.#taken.indexOf(0);
  }

  /** That place; taken until `free` or `drop`. */
  take(): number {
    const slot = this.nextSlot;
    invariant(slot >= 0, `${this.spec.name} has no free place`);
    this.#taken[slot] = 1;
    return slot;
  }

  free(slot: number): void {
    this.#taken[slot] = 0;
  }

  place({ index, slot, bytes, sum }: Placed, state: 'written' | 'marked'): void {
    if (this.#states[index] === 0) this.#present++;
    this.#slots[index] = slot;
    this.#bytes[index] = bytes;
    this.#sums[index] = sum;
    this.#states[index] = STATES.indexOf(state);
    this.#taken[slot] = 1;
  }

  drop(index: number): void {
    if (this.#states[index] === 0) return;
    this.#present--;
    this.#taken[this.#slots[index]!] = 0;
    this.#slots[index] = NO_SLOT;
    this.#states[index] = 0;
  }

  /** Reads back what a manifest or a journal says; NO_SLOT drops. @returns false when it makes no sense */
  replay({ index, slot, bytes, sum }: Placed): boolean {
    const { count } = this.spec;
    if (index >= count || (slot >= count && slot !== NO_SLOT) || bytes > this.spec.recordBytes) return false;
    this.drop(index);
    if (slot === NO_SLOT) return true;
    // A later mark says that the place was given away, whoever had it.
    if (this.#taken[slot]) this.drop(this.#slots.indexOf(slot));
    this.place({ index, slot, bytes, sum }, 'marked');
    return true;
  }

  /** Drops records that begin beyond the end of their file. The one that the end cuts is found when it is read. */
  dropBeyond(bytes: number): void {
    this.#slots.forEach((slot, index) => {
      if (slot * this.stride >= bytes) this.drop(index);
    });
  }

  /** What a manifest may say: marked records only. `count` words each. */
  snapshot(): { readonly slots: Uint32Array; readonly lengths: Uint32Array; readonly sums: Uint32Array } {
    const slots = this.#slots.map((slot, i) => (STATES[this.#states[i]!] === 'marked' ? slot : NO_SLOT));
    return { slots, lengths: this.#bytes.slice(), sums: this.#sums.slice() };
  }

  /** One more than the highest place in use. */
  get usedSlots(): number {
    return this.#taken.lastIndexOf(1) + 1;
  }
}
