import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { checksum } from '../../../../src/weights/records/checksum.ts';

const PRIME32 = 2654435761;

/** The buffer of xxHash's own self-test. */
function sanityBuffer(length: number): Uint8Array {
  let state = BigInt(PRIME32);
  return Uint8Array.from({ length }, () => {
    const byte = Number(state >> 56n);
    state = BigInt.asUintN(64, state * 11400714785074694797n);
    return byte;
  });
}

/** XXH32 again, plainly: one byte after the other, in BigInt. */
function plain(bytes: Uint8Array, seed: number): number {
  const [p1, p2, p3, p4, p5] = [2654435761n, 2246822519n, 3266489917n, 668265263n, 374761393n] as const;
  const u32 = (x: bigint): bigint => BigInt.asUintN(32, x);
  const rotate = (x: bigint, r: bigint): bigint => u32((x << r) | (x >> (32n - r)));
  const word = (at: number): bigint =>
    BigInt(new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(at, true));
  const s = BigInt(seed);
  const lanes = [s + p1 + p2, s + p2, s, s - p1].map(u32);
  let at = 0;
  for (; at + 16 <= bytes.length; at += 16)
    for (let i = 0; i < 4; i++) lanes[i] = u32(rotate(u32(lanes[i]! + word(at + 4 * i) * p2), 13n) * p1);
  let h = bytes.length < 16 ? s + p5 : [1n, 7n, 12n, 18n].reduce((sum, r, i) => sum + rotate(lanes[i]!, r), 0n);
  h = u32(h + BigInt(bytes.length));
  for (; at + 4 <= bytes.length; at += 4) h = u32(rotate(u32(h + word(at) * p3), 17n) * p4);
  for (; at < bytes.length; at++) h = u32(rotate(u32(h + BigInt(bytes[at]!) * p5), 11n) * p1);
  h = u32((h ^ (h >> 15n)) * p2);
  h = u32((h ^ (h >> 13n)) * p3);
  return Number(h ^ (h >> 16n));
}

describe('checksum is xxHash32', () => {
  it.each([
    [0, 0, 0x02cc5d05],
    [0, PRIME32, 0x36b78ae7],
    [1, 0, 0xcf65b03e],
    [1, PRIME32, 0xb4545aa4],
    [14, 0, 0x1208e7e2],
    [14, PRIME32, 0x6af1d1fe],
    [222, 0, 0x5bd11dbd],
    [222, PRIME32, 0x58803c5f],
  ])('of %i bytes of the upstream self-test, seed %i', (length, seed, expected) => {
    expect(checksum(sanityBuffer(length), seed)).toBe(expected);
  });

  it.each([
    ['a', 0x550d7456],
    ['abc', 0x32d153ff],
    ['Nobody inspects the spammish repetition', 0xe2293b2f],
  ])('of %j', (text, expected) => {
    expect(checksum(new TextEncoder().encode(text))).toBe(expected);
  });

  test('at any alignment, length and seed', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(7),
        fc.integer({ min: 0, max: 0xffffffff }),
        (data, offset, seed) => {
          const shifted = new Uint8Array(offset + data.length);
          shifted.set(data, offset);
          expect(checksum(shifted.subarray(offset), seed)).toBe(plain(data, seed));
        },
      ),
    );
  });

  test('where an unaligned input is copied in pieces', () => {
    for (const length of [2 ** 16 - 1, 2 ** 16, 2 ** 16 + 1, 2 ** 17 + 17]) {
      const bytes = sanityBuffer(length);
      const shifted = new Uint8Array(length + 1);
      shifted.set(bytes, 1);
      expect(checksum(shifted.subarray(1))).toBe(checksum(bytes));
    }
  });

  test('every flipped bit is seen', () => {
    const bytes = sanityBuffer(100);
    const before = checksum(bytes);
    for (let bit = 0; bit < 800; bit++) {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(checksum(bytes)).not.toBe(before);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
    }
    expect(checksum(bytes)).toBe(before);
  });
});
