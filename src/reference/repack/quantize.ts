/** Twin of shaders/repack/quantize.wgsl: one group of 32 weights at a time. */
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../util/half.ts';

export interface QuantizedGroup {
  /** As stored: rounded to 16 bits. */
  readonly scaleBits: number;
  readonly scale: number;
  /** Signed: -8..7 or -128..127. */
  readonly codes: readonly number[];
}

const SMALLEST = 2 ** -120;
const CANDIDATES = [0, 1, 2, 3, 4, 5, 6].map((c) => 7.11 + 0.29 * c);
const F16_MAX_BITS = 0x7bff;

export function quantizeGroup(w: readonly number[], bits: 4 | 8, scaleType: 'bf16' | 'f16'): QuantizedGroup {
  const largest = w.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
  const exact = Math.abs(largest) < SMALLEST ? 0 : bits === 4 ? leastSquaresScale(w, largest) : Math.abs(largest) / 127;
  const scaleBits = scaleType === 'bf16' ? f32ToBf16(exact) : f16Bits(exact);
  const scale = scaleType === 'bf16' ? bf16ToF32(scaleBits) : f16ToF32(scaleBits);
  const half = 2 ** (bits - 1);
  const codes = w.map((x) => (scale === 0 ? 0 : clamp(Math.floor(x / scale + 0.5), -half, half - 1)));
  return { scaleBits, scale, codes };
}

/** Of a few divisions of the range, the scale of the one with the smallest squared error. */
function leastSquaresScale(w: readonly number[], largest: number): number {
  let best = -1;
  let scale = 0;
  for (const factor of CANDIDATES) {
    let products = 0;
    let squares = 0;
    for (const x of w) {
      const l = clamp(Math.floor(0.5 - (factor * x) / largest), -8, 7);
      products += (x / largest) * l;
      squares += l * l;
    }
    if (products ** 2 / squares > best) {
      best = products ** 2 / squares;
      scale = (products / squares) * largest;
    }
  }
  return scale;
}

const clamp = (x: number, low: number, high: number): number => Math.max(low, Math.min(high, x));

/** Nearest f16; beyond the range, the largest. */
function f16Bits(value: number): number {
  const bits = f32ToF16(value);
  return (bits & 0x8000) | Math.min(bits & 0x7fff, F16_MAX_BITS);
}
