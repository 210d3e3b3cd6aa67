/**
 * Marks that a record is whole, appended after its bytes are safe. Every entry carries a check that depends on the manifest that it continues, so a
 * torn tail and entries of an earlier journal read as the end.
 */
import { checksum } from './checksum.ts';

export interface JournalEntry {
  /** Index in the manifest's list of files. */
  readonly file: number;
  readonly index: number;
  /** Place in the file, in strides; NO_SLOT: the record is dropped. */
  readonly slot: number;
  readonly sum: number;
}

export const NO_SLOT = 0xffffffff;
/** Words: file, index, slot, checksum of the record, check. */
export const ENTRY_BYTES = 20;
const ENTRY_WORDS = ENTRY_BYTES / 4;

/** @param epoch of the manifest that they continue */
export function encodeEntries(entries: readonly JournalEntry[], epoch: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(entries.length * ENTRY_WORDS);
  entries.forEach(({ file, index, slot, sum }, i) => {
    words.set([file, index, slot, sum], i * ENTRY_WORDS);
    words[i * ENTRY_WORDS + 4] = checkOf(words, i, epoch);
  });
  return new Uint8Array(words.buffer);
}

/** The entries before the first that is torn, damaged, or of another epoch. @param bytes at an offset that is a multiple of 4 */
export function decodeEntries(bytes: Uint8Array, epoch: number): JournalEntry[] {
  const count = Math.floor(bytes.length / ENTRY_BYTES);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, count * ENTRY_WORDS);
  const entries: JournalEntry[] = [];
  for (let i = 0; i < count; i++) {
    const at = i * ENTRY_WORDS;
    if (words[at + 4] !== checkOf(words, i, epoch)) break;
    entries.push({ file: words[at]!, index: words[at + 1]!, slot: words[at + 2]!, sum: words[at + 3]! });
  }
  return entries;
}

const checkOf = (words: Uint32Array, entry: number, epoch: number): number =>
  checksum(new Uint8Array(words.buffer, words.byteOffset + entry * ENTRY_BYTES, ENTRY_BYTES - 4), epoch);
