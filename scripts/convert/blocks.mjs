// Blocks of ggml, by plain rounding: Q4_0, Q5_0 and Q8_0 as ggml itself rounds them; for K-quants a group's extremes, where ggml searches.
import { fromF16, stored, toF16 } from './numbers.mjs';

/** ggml's number of a type, weights of a block, its bytes; `put` writes one block. */
const block = (type, weights, bytes, put) => ({
  type,
  weights,
  encode(values) {
    const out = new Uint8Array((values.length / weights) * bytes);
    for (let b = 0; b * weights < values.length; b++)
      put(values.subarray(b * weights, (b + 1) * weights), out.subarray(b * bytes, (b + 1) * bytes));
    return out;
  },
});

function putHalf(out, at, x) {
  const bits = toF16(x);
  out[at] = bits & 255;
  out[at + 1] = bits >> 8;
  return fromF16(bits);
}

const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
const inverse = (d) => (d === 0 ? 0 : Math.fround(1 / d));
const largest = (w) => w.reduce((most, x) => (Math.abs(x) > Math.abs(most) ? x : most), 0);
/** Half away from zero, as C does. */
const away = (x) => Math.sign(x) * Math.floor(Math.abs(x) + 0.5);

/** d q of a signed byte. */
function q80(w, out) {
  const d = Math.fround(Math.abs(largest(w)) / 127);
  putHalf(out, 0, d);
  const by = inverse(d);
  w.forEach((x, i) => (out[2 + i] = away(Math.fround(x * by)) & 255));
}

/** d (q - middle), where the largest weight becomes 0. */
const downFrom = (middle, put) => (w, out) => {
  const d = Math.fround(largest(w) / -middle);
  putHalf(out, 0, d);
  const by = inverse(d);
  const codes = w.map((x) => Math.min(2 * middle - 1, Math.trunc(Math.fround(Math.fround(x * by) + middle + 0.5))));
  put(codes, out);
};

const nibbles = (codes, out, at) => {
  for (let j = 0; j < 16; j++) out[at + j] = (codes[j] & 15) | ((codes[j + 16] & 15) << 4);
};

function fifths(codes, out) {
  codes.forEach((q, i) => (out[2 + (i >> 3)] |= (q >> 4) << (i & 7)));
  nibbles(codes, out, 6);
}

/** d s q - dmin m: a scale and a minimum of six bits for 32 weights. */
function q4k(w, out) {
  const groups = Array.from({ length: 8 }, (_, g) => w.subarray(32 * g, 32 * g + 32));
  const least = groups.map((g) => -Math.min(0, ...g));
  const steps = groups.map((g, i) => (Math.max(0, ...g) + least[i]) / 15);
  const d = putHalf(out, 0, Math.max(...steps) / 63);
  const dmin = putHalf(out, 2, Math.max(...least) / 63);
  groups.forEach((group, j) => {
    const s = clamp(Math.round(steps[j] / d || 0), 0, 63);
    const m = clamp(Math.round(least[j] / dmin || 0), 0, 63);
    if (j < 4) {
      out[4 + j] |= s;
      out[8 + j] |= m;
    } else {
      out[8 + j] |= (s & 15) | ((m & 15) << 4);
      out[j] |= (s >> 4) << 6;
      out[4 + j] |= (m >> 4) << 6;
    }
    const by = inverse(d * s);
    group.forEach((x, i) => {
      const q = clamp(Math.round((x + dmin * m) * by), 0, 15);
      out[16 + 32 * (j >> 1) + i] |= q << (4 * (j & 1));
    });
  });
}

/** d s (q - 32): a signed scale for 16 weights. */
function q6k(w, out) {
  const steps = Array.from({ length: 16 }, (_, g) => Math.abs(largest(w.subarray(16 * g, 16 * g + 16))) / 31);
  const d = putHalf(out, 208, Math.max(...steps) / 127);
  const scales = steps.map((step) => clamp(Math.round(step / d || 0), 0, 127));
  scales.forEach((s, g) => (out[192 + g] = s));
  w.forEach((x, i) => {
    const q = clamp(Math.round(x * inverse(d * scales[i >> 4])), -32, 31) + 32;
    out[64 * (i >> 7) + (i & 63)] |= (q & 15) << (4 * ((i >> 6) & 1));
    out[128 + 32 * (i >> 7) + (i & 31)] |= (q >> 4) << (2 * ((i >> 5) & 3));
  });
}

export const BLOCKS = {
  F32: { type: 0, weights: 1, encode: stored.F32 },
  Q4_0: block(
    2,
    32,
    18,
    downFrom(8, (codes, out) => nibbles(codes, out, 2)),
  ),
  Q5_0: block(6, 32, 22, downFrom(16, fifths)),
  Q8_0: block(8, 32, 34, q80),
  Q4_K: block(12, 256, 144, q4k),
  Q6_K: block(14, 256, 210, q6k),
};

/** What llama.cpp takes where 256 does not divide a row. */
const INSTEAD = { Q4_K: 'Q5_0', Q6_K: 'Q8_0' };

export const blockFor = (wanted, cols) => BLOCKS[cols % BLOCKS[wanted].weights === 0 ? wanted : INSTEAD[wanted]];
