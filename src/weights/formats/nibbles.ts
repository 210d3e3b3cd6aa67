/** From the published order of 4-bit values, nibble i = weight i, to the native one (layout.ts): weights 0..3 low, 4..7 high. */

/** Puts the four nibbles of a 16-bit value into the low halves of four bytes. */
const spread = (u16: number): number => {
  const pairs = (u16 | (u16 << 8)) & 0x00ff00ff;
  return (pairs | (pairs << 4)) & 0x0f0f0f0f;
};

/** One word of eight weights. */
export const nativeNibbles = (word: number): number => (spread(word & 0xffff) | (spread(word >>> 16) << 4)) >>> 0;

/** Bit of weight `i` (0 to 7) in a native word. */
export const nibbleBit = (i: number): number => (i < 4 ? 8 * i : 8 * (i - 4) + 4);
