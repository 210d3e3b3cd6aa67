/** Twin of shaders/weights/q4_k and q6_k: one row of a matrix in super-blocks of 256 weights (src/weights/layout.ts). */
import { f16ToF32, f32ToF16 } from '../util/half.ts';
import { K_BLOCK, type KLayout } from '../weights/layout.ts';

/** The planes of one row. */
export interface KRow {
  readonly values: Uint8Array;
  readonly scales: Uint8Array;
  readonly highs: Uint8Array;
}

const half = (bytes: Uint8Array, at: number): number => f16ToF32(bytes[at]! | (bytes[at + 1]! << 8));

function putHalf(bytes: Uint8Array, at: number, value: number): number {
  const bits = f32ToF16(value);
  bytes[at] = bits & 255;
  bytes[at + 1] = bits >> 8;
  return f16ToF32(bits);
}

/** Where the bits of weight k above the low four are. */
function highPlace(
  { kind }: KLayout,
  k: number,
): { readonly byte: number; readonly shift: number; readonly mask: number } {
  const [chunk, quad, i] = [k >> 5, (k >> 2) & 7, k & 3];
  if (kind === 'q5_k') return { byte: 4 * chunk + i, shift: quad, mask: 1 };
  return { byte: 8 * chunk + 4 * (quad >> 2) + i, shift: 2 * (quad & 3), mask: 3 };
}

const lowPlace = (k: number): { readonly byte: number; readonly shift: number } => ({
  byte: 4 * (k >> 3) + (k & 3),
  shift: k & 4,
});

function codeOf(row: KRow, layout: KLayout, k: number): number {
  const low = lowPlace(k);
  const nibble = (row.values[low.byte]! >> low.shift) & 15;
  if (layout.kind === 'q4_k') return nibble;
  const { byte, shift, mask } = highPlace(layout, k);
  return nibble | (((row.highs[byte]! >> shift) & mask) << 4);
}

function putCode(row: KRow, layout: KLayout, k: number, q: number): void {
  const low = lowPlace(k);
  row.values[low.byte]! |= (q & 15) << low.shift;
  if (layout.kind === 'q4_k') return;
  const { byte, shift } = highPlace(layout, k);
  row.highs[byte]! |= (q >> 4) << shift;
}

/** Six bits each of group j, scale and minimum: 0 to 3 whole, the others in what those leave. */
function pairOf(bytes: Uint8Array, at: number, j: number): [scale: number, minimum: number] {
  const byte = (i: number): number => bytes[at + i]!;
  if (j < 4) return [byte(j) % 64, byte(j + 4) % 64];
  return [(byte(j + 4) % 16) + 16 * (byte(j - 4) >> 6), (byte(j + 4) >> 4) + 16 * (byte(j) >> 6)];
}

function putPair(bytes: Uint8Array, at: number, j: number, scale: number, minimum: number): void {
  if (j < 4) {
    bytes[at + j]! |= scale;
    bytes[at + j + 4]! |= minimum;
    return;
  }
  bytes[at + j + 4]! |= (scale % 16) + 16 * (minimum % 16);
  bytes[at + j - 4]! |= (scale >> 4) << 6;
  bytes[at + j]! |= (minimum >> 4) << 6;
}

export function decodeK(row: KRow, layout: KLayout, k: number, groups: number): number {
  const q = codeOf(row, layout, k);
  const block = Math.floor(k / K_BLOCK);
  if (layout.kind === 'q6_k') {
    const signed = (row.scales[k >> 4]! << 24) >> 24;
    return half(row.scales, 16 * groups + 2 * block) * signed * (q - 32);
  }
  const at = 16 * block;
  const [scale, minimum] = pairOf(row.scales, at + 4, (k >> 5) & 7);
  return half(row.scales, at) * scale * q - half(row.scales, at + 2) * minimum;
}

const clamped = (x: number, least: number, most: number): number => Math.max(least, Math.min(most, Math.round(x)));
const ratio = (a: number, b: number): number => (b === 0 ? 0 : a / b);

/** Plain rounding: a group's largest weight takes the largest code. */
export function encodeK(row: KRow, layout: KLayout, w: Float64Array, groups: number): void {
  for (let block = 0; block < groups; block++) {
    const part = w.subarray(block * K_BLOCK, (block + 1) * K_BLOCK);
    if (layout.kind === 'q6_k') encodeSigned(row, layout, part, block, groups);
    else encodeMinimum(row, layout, part, block);
  }
}

const groupsOf = (w: Float64Array, size: number): Float64Array[] =>
  Array.from({ length: Math.ceil(w.length / size) }, (_, g) => w.subarray(g * size, (g + 1) * size));

function encodeSigned(row: KRow, layout: KLayout, w: Float64Array, block: number, groups: number): void {
  const parts = groupsOf(w, 16);
  const largest = parts.map((g) => Math.max(...g.map(Math.abs)) / 31);
  const d = putHalf(row.scales, 16 * groups + 2 * block, Math.max(...largest) / 127);
  parts.forEach((group, g) => {
    const s = clamped(ratio(largest[g]!, d), -128, 127);
    row.scales[16 * block + g] = s;
    group.forEach((x, i) => putCode(row, layout, block * K_BLOCK + 16 * g + i, clamped(ratio(x, d * s), -32, 31) + 32));
  });
}

function encodeMinimum(row: KRow, layout: KLayout, w: Float64Array, block: number): void {
  const most = layout.kind === 'q4_k' ? 15 : 31;
  const parts = groupsOf(w, 32);
  const least = parts.map((g) => -Math.min(0, ...g));
  const steps = parts.map((g, i) => (Math.max(0, ...g) + least[i]!) / most);
  const at = 16 * block;
  const d = putHalf(row.scales, at, Math.max(...steps) / 63);
  const dmin = putHalf(row.scales, at + 2, Math.max(...least) / 63);
  parts.forEach((group, g) => {
    const scale = clamped(ratio(steps[g]!, d), 0, 63);
    const minimum = clamped(ratio(least[g]!, dmin), 0, 63);
    putPair(row.scales, at + 4, g, scale, minimum);
    group.forEach((x, i) =>
      putCode(row, layout, block * K_BLOCK + 32 * g + i, clamped(ratio(x + dmin * minimum, d * scale), 0, most)),
    );
  });
}
