/** Twin of shaders/attention/convolve_heads.wgsl. */
export interface ConvolveHeadsTwin {
  readonly x: ArrayLike<number>; // [T, (H + 2 Hk) A]: q, k, v
  /** Taps [C, 2], bias [C], bias of the heads' convolution [C], lengths [Hk]. */
  readonly channels: ArrayLike<number>;
  readonly weights: ArrayLike<number>; // [C, A, 2]
  readonly state: ArrayLike<number>; // [2, 2 C + Hk A / 2]
}

export interface ConvolveHeadsSize {
  readonly tokens: number;
  readonly position: number;
  readonly side: 0 | 1;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

const SMALLEST = 2 ** -23;

/** @returns heads as x, and the state after the step */
export function convolveHeads(
  io: ConvolveHeadsTwin,
  { tokens, position, side, heads, kvHeads, headSize: size }: ConvolveHeadsSize,
): { out: Float64Array; state: Float64Array } {
  const count = (heads + kvHeads) * size; // C
  const half = (kvHeads * size) / 2;
  const row = count + 2 * half;
  const past = 2 * count + half;
  const kept =
    position === 0 ? new Float64Array(past) : Array.from({ length: past }, (_, i) => io.state[side * past + i]!);
  /** q and k of token t of the step, from -2 on. */
  const input = (t: number, c: number): number => (t < 0 ? kept[(2 + t) * count + c]! : io.x[t * row + c]!);
  const delayed = (t: number, i: number): number => (t < 0 ? kept[2 * count + i]! : io.x[t * row + count + half + i]!);
  const ofChannel = (t: number, c: number): number =>
    io.channels[2 * c]! * input(t - 1, c) + io.channels[2 * c + 1]! * input(t, c) + io.channels[2 * count + c]!;
  const group = heads / kvHeads;
  const mean = (t: number, head: number, j: number): number => {
    const at = (h: number): number => input(t, h * size + j);
    const own = head < heads ? Math.floor(head / group) : head - heads;
    if (head < heads) return (at(head) + at(heads + own)) / 2;
    const shared = Array.from({ length: group }, (_, i) => at(own * group + i)).reduce((a, b) => a + b, 0) / group;
    return (at(head) + shared) / 2;
  };
  const head = (t: number, h: number): number[] => {
    const values = Array.from({ length: size }, (_, j) => {
      const c = h * size + j;
      let sum = io.channels[3 * count + c]! + mean(t, h, j);
      for (let i = 0; i < size; i++) {
        const at = 2 * (c * size + i);
        sum += io.weights[at]! * ofChannel(t - 1, h * size + i) + io.weights[at + 1]! * ofChannel(t, h * size + i);
      }
      return sum;
    });
    const length = Math.max(Math.sqrt(values.reduce((sum, v) => sum + v * v, 0)), SMALLEST);
    const scale = (Math.sqrt(size) / length) * (h < heads ? 1 : io.channels[4 * count + h - heads]!);
    return values.map((v) => v * scale);
  };
  const out = new Float64Array(tokens * row);
  for (let t = 0; t < tokens; t++) {
    for (let h = 0; h < heads + kvHeads; h++) out.set(head(t, h), t * row + h * size);
    for (let i = 0; i < half; i++) {
      out[t * row + count + i] = io.x[t * row + count + i]!;
      out[t * row + count + half + i] = delayed(t - 1, i);
    }
  }
  const state = Float64Array.from(io.state);
  if (tokens === 0) return { out, state };
  const last = tokens - 1;
  for (let c = 0; c < count; c++) {
    state[(1 - side) * past + c] = input(last - 1, c);
    state[(1 - side) * past + count + c] = input(last, c);
  }
  for (let i = 0; i < half; i++) state[(1 - side) * past + 2 * count + i] = delayed(last, i);
  return { out, state };
}
