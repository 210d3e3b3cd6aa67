/**
 * Twin of shaders/mixer/causal_conv.wgsl. x [T, row], taps [channels, taps], bias [channels], state [2, taps - 1, channels]; returns out
 * [T, channels] and the state after it.
 */
export function causalConv(
  io: { x: ArrayLike<number>; taps: ArrayLike<number>; bias?: ArrayLike<number>; state: ArrayLike<number> },
  shape: {
    tokens: number;
    position: number;
    side: 0 | 1;
    channels: number;
    taps: number;
    row: number;
    at: number;
    gates?: { b: number; c: number };
    silu: boolean;
  },
): { out: Float64Array; state: Float64Array } {
  const { tokens, position, side, channels, taps, row, at, gates, silu } = shape;
  const past = taps - 1;
  const out = new Float64Array(tokens * channels);
  const state = Float64Array.from(io.state);
  for (let c = 0; c < channels; c++) {
    const inputs: number[] = [];
    for (let j = 0; j < past; j++) inputs.push(position === 0 ? 0 : io.state[(side * past + j) * channels + c]!);
    for (let t = 0; t < tokens; t++) {
      const gate = gates ? io.x[t * row + gates.b + c]! : 1;
      inputs.push(gate * io.x[t * row + at + c]!);
      let y = io.bias ? io.bias[c]! : 0;
      for (let j = 0; j < taps; j++) y += io.taps[c * taps + j]! * inputs[t + j]!;
      if (gates) y *= io.x[t * row + gates.c + c]!;
      out[t * channels + c] = silu ? y / (1 + Math.exp(-y)) : y;
    }
    if (tokens === 0) continue;
    inputs.slice(tokens).forEach((u, j) => (state[((1 - side) * past + j) * channels + c] = u));
  }
  return { out, state };
}
