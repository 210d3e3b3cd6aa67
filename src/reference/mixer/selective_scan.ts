interface Stretch {
  readonly values: ArrayLike<number>;
  readonly row: number;
  readonly at: number;
}

const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/**
 * Twin of shaders/mixer/selective_scan.wgsl. weights [bias H, D H, a_log], state [2, channels, states]; returns out [T, channels] and the state
 * after it.
 */
export function selectiveScan(
  io: {
    x: Stretch;
    z: Stretch;
    steps: Stretch;
    b: Stretch;
    c: Stretch;
    weights: ArrayLike<number>;
    state: ArrayLike<number>;
  },
  shape: {
    tokens: number;
    position: number;
    side: 0 | 1;
    channels: number;
    headSize: number;
    groups: number;
    states: number;
    aByState: boolean;
    stepLimits: readonly [number, number];
  },
): { out: Float64Array; state: Float64Array } {
  const { tokens, position, side, channels, headSize, groups, states, aByState, stepLimits } = shape;
  const heads = channels / headSize;
  const at = ({ values, row, at: from }: Stretch, t: number, i: number): number => values[t * row + from + i]!;
  const out = new Float64Array(tokens * channels);
  const after = Float64Array.from(io.state);
  for (let channel = 0; channel < channels; channel++) {
    const h = Math.floor(channel / headSize);
    const group = Math.floor(h / (heads / groups)) * states;
    const s = Float64Array.from({ length: states }, (_, n) =>
      position === 0 ? 0 : io.state[(side * channels + channel) * states + n]!,
    );
    for (let t = 0; t < tokens; t++) {
      const dt = Math.min(Math.max(softplus(at(io.steps, t, h) + io.weights[h]!), stepLimits[0]), stepLimits[1]);
      const x = at(io.x, t, channel);
      let y = io.weights[heads + h]! * x;
      for (let n = 0; n < states; n++) {
        const a = -Math.exp(io.weights[2 * heads + (aByState ? channel * states + n : h)]!);
        s[n] = Math.exp(dt * a) * s[n]! + dt * x * at(io.b, t, group + n);
        y += s[n]! * at(io.c, t, group + n);
      }
      const z = at(io.z, t, channel);
      out[t * channels + channel] = (y * z) / (1 + Math.exp(-z));
    }
    if (tokens > 0) s.forEach((value, n) => (after[((1 - side) * channels + channel) * states + n] = value));
  }
  return { out, state: after };
}
