// Plain rounding to nearest of matrices W [N, K], group by group along a row; no calibration, no search.

/** The largest and the smallest of `values` in [begin, end), 0 included. */
function range(values, begin, end) {
  let [low, high] = [0, 0];
  for (let i = begin; i < end; i++) {
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  return [low, high];
}

const clamp = (x, most) => Math.max(0, Math.min(most, x));

/**
 * w = scale (q - zero).
 * @param round a scale as its type stores it
 * @param symmetric zero is 2^(bits-1) everywhere; else a whole number of the group's own
 * @returns codes [N K], scales and zeros [N G]
 */
export function integers(values, { rows, cols, group, bits, symmetric, round }) {
  const groups = cols / group;
  const most = 2 ** bits - 1;
  const middle = 2 ** (bits - 1);
  const codes = new Uint8Array(rows * cols);
  const scales = new Float32Array(rows * groups);
  const zeros = new Uint8Array(rows * groups);
  for (let g = 0; g < rows * groups; g++) {
    const begin = g * group;
    const [low, high] = range(values, begin, begin + group);
    const step = symmetric ? Math.max(high / (middle - 1), -low / middle) : (high - low) / most;
    scales[g] = round(step);
    zeros[g] = symmetric || scales[g] === 0 ? middle : clamp(Math.round(-low / scales[g]), most);
    for (let i = begin; i < begin + group; i++)
      codes[i] = scales[g] === 0 ? zeros[g] : clamp(Math.round(values[i] / scales[g] + zeros[g]), most);
  }
  return { codes, scales, zeros };
}

/**
 * w = scale q + offset, as MLX quantises: the offset is the group's edge that is further from 0, and the scale, negative where that is the upper one, such
 * that 0 is a step of the grid, for it is a common weight.
 */
export function offsets(values, { rows, cols, group, bits, round }) {
  const count = (rows * cols) / group;
  const most = 2 ** bits - 1;
  const codes = new Uint8Array(rows * cols);
  const scales = new Float32Array(count);
  const edges = new Float32Array(count);
  for (let g = 0; g < count; g++) {
    const begin = g * group;
    const [low, high] = range(values, begin, begin + group);
    const edge = -low > high ? low : high;
    const even = (edge === low ? high - low : low - high) / most;
    edges[g] = round(edge);
    scales[g] = even === 0 ? 0 : round(edge / Math.round(edge / even));
    for (let i = begin; i < begin + group; i++)
      codes[i] = scales[g] === 0 ? 0 : clamp(Math.round((values[i] - edges[g]) / scales[g]), most);
  }
  return { codes, scales, edges };
}

/** Codes in words of 32 bits, the first in the lowest. */
export function pack(codes, bits) {
  const perWord = 32 / bits;
  const words = new Uint32Array(Math.ceil(codes.length / perWord));
  codes.forEach((q, i) => (words[Math.floor(i / perWord)] |= q << (bits * (i % perWord))));
  return words;
}
