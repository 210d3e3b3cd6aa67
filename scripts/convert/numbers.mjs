// Number types of checkpoints: bf16, f16, e4m3, each rounded to nearest.
const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

export function toBf16(x) {
  float[0] = x;
  return (word[0] + 0x7fff + ((word[0] >>> 16) & 1)) >>> 16;
}

export function fromBf16(bits) {
  word[0] = bits << 16;
  return float[0];
}

/** Ties to even; beyond 65504 the largest. */
export function toF16(x) {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const size = Math.abs(x);
  if (size >= 65504) return sign | 0x7bff;
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 2 ** -30)));
  const steps = even(size / 2 ** (exponent - 10));
  // A mantissa that grew to 2048 carries into the exponent by itself; below 2^-14 steps count from 0.
  return sign | (size < 2 ** -14 ? steps : ((exponent + 15) << 10) + (steps - 1024));
}

export function fromF16(bits) {
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  const size = exponent ? 2 ** (exponent - 15) * (1 + mantissa / 1024) : mantissa * 2 ** -24;
  return bits & 0x8000 ? -size : size;
}

/** To the nearest whole number, ties to the even one. */
export function even(x) {
  const low = Math.floor(x);
  const rest = x - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

/** 4 bits of exponent with bias 7, 3 of mantissa; beyond 448 the largest. */
export function toE4m3(x) {
  const sign = x < 0 ? 0x80 : 0;
  const size = Math.min(448, Math.abs(x));
  const exponent = Math.max(-6, Math.floor(Math.log2(size || 2 ** -20)));
  const steps = even(size / 2 ** (exponent - 3));
  return sign | (size < 2 ** -6 ? steps : ((exponent + 7) << 3) + (steps - 8));
}

/** What `at` gives for each index: several times as fast as TypedArray.from. */
export function filled(out, at) {
  for (let i = 0; i < out.length; i++) out[i] = at(i);
  return out;
}

const halves = (to) => (values) => bytesOf(filled(new Uint16Array(values.length), (i) => to(values[i])));

/** Values of one type as bytes. */
export const stored = {
  F32: (values) => bytesOf(Float32Array.from(values)),
  BF16: halves(toBf16),
  F16: halves(toF16),
};

export const bytesOf = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);
