/** Whether a constraint lets a text through, byte by byte: with a vocabulary of bytes, masks need neither tree nor runs. */
import { createTokenMask, type Constraint } from '../../../../../src/text/grammar/index.ts';
import { allBytes, smallVocabulary } from './vocabularies.ts';

const { vocabulary } = smallVocabulary(allBytes);
const encoder = new TextEncoder();

/** @returns bytes that were let through, and whether the text may end after them */
export function follow(constraint: Constraint, text: string | Uint8Array): { length: number; mayEnd: boolean } {
  const mask = createTokenMask(constraint, vocabulary);
  const bytes = typeof text === 'string' ? encoder.encode(text) : text;
  let length = 0;
  for (const byte of bytes) {
    if (!((mask.bits[byte >>> 5]! >>> (byte & 31)) & 1)) break;
    mask.accept(byte);
    length++;
  }
  return { length, mayEnd: mask.mayEnd };
}

/** Whether it is a complete text of the constraint. */
export function accepts(constraint: Constraint, text: string | Uint8Array): boolean {
  const bytes = typeof text === 'string' ? encoder.encode(text) : text;
  const { length, mayEnd } = follow(constraint, bytes);
  return length === bytes.length && mayEnd;
}
