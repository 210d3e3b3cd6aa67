/**
 * xxHash32: finds damage, not forgery. Chosen because it is synchronous and needs nothing but 32-bit multiplications: one core hashes a record faster
 * than a disk reads it (`node bench/checksum.mjs`). Assumes little-endian memory, as WebGPU does.
 */

const P1 = 0x9e3779b1 | 0;
const P2 = 0x85ebca77 | 0;
const P3 = 0xc2b2ae3d | 0;
const P4 = 0x27d4eb2f | 0;
const P5 = 0x165667b1 | 0;

/** Bytes copied at a time where the input does not start at a multiple of 4. A multiple of 16. */
const COPY_BYTES = 64 * 1024;

/** @returns an unsigned 32-bit number */
export function checksum(bytes: Uint8Array, seed = 0): number {
  const { length } = bytes;
  const striped = length & ~15;
  let h = length >= 16 ? hashStripes(bytes, striped, seed) : (seed + P5) | 0;
  h = (h + length) | 0;
  let at = striped;
  for (; at + 4 <= length; at += 4) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    h = (h + Math.imul(word, P3)) | 0;
    h = Math.imul((h << 17) | (h >>> 15), P4);
  }
  for (; at < length; at++) {
    h = (h + Math.imul(bytes[at]!, P5)) | 0;
    h = Math.imul((h << 11) | (h >>> 21), P1);
  }
  h = Math.imul(h ^ (h >>> 15), P2);
  h = Math.imul(h ^ (h >>> 13), P3);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The four lanes over the first `striped` bytes (a multiple of 16), joined. */
function hashStripes(bytes: Uint8Array, striped: number, seed: number): number {
  const lanes = Int32Array.of(seed + P1 + P2, seed + P2, seed, seed - P1);
  if (bytes.byteOffset % 4 === 0) {
    addStripes(lanes, new Int32Array(bytes.buffer, bytes.byteOffset, striped / 4));
  } else {
    const copy = new Uint8Array(Math.min(striped, COPY_BYTES));
    for (let at = 0; at < striped; at += copy.length) {
      const n = Math.min(copy.length, striped - at);
      copy.set(bytes.subarray(at, at + n));
      addStripes(lanes, new Int32Array(copy.buffer, 0, n / 4));
    }
  }
  const [a, b, c, d] = lanes as unknown as [number, number, number, number];
  return (((a << 1) | (a >>> 31)) + ((b << 7) | (b >>> 25)) + ((c << 12) | (c >>> 20)) + ((d << 18) | (d >>> 14))) | 0;
}

function addStripes(lanes: Int32Array, words: Int32Array): void {
  let a = lanes[0]! | 0;
  let b = lanes[1]! | 0;
  let c = lanes[2]! | 0;
  let d = lanes[3]! | 0;
  const n = words.length;
  for (let i = 0; i < n; i += 4) {
    a = (a + Math.imul(words[i]!, P2)) | 0;
    b = (b + Math.imul(words[i + 1]!, P2)) | 0;
    c = (c + Math.imul(words[i + 2]!, P2)) | 0;
    d = (d + Math.imul(words[i + 3]!, P2)) | 0;
    a = Math.imul((a << 13) | (a >>> 19), P1);
    b = Math.imul((b << 13) | (b >>> 19), P1);
    c = Math.imul((c << 13) | (c >>> 19), P1);
    d = Math.imul((d << 13) | (d >>> 19), P1);
  }
  lanes[0] = a;
  lanes[1] = b;
  lanes[2] = c;
  lanes[3] = d;
}
