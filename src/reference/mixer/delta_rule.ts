const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/**
 * Twin of shaders/mixer/delta_rule.wgsl. qk [T, 2, key heads, key size], v [T, vRow], gates [T, gateRow], weights [a_log, bias], state
 * [2, heads, value size, key size]; returns out [T, heads, value size] and the state after it.
 */
export function deltaRule(
  io: {
    qk: ArrayLike<number>;
    v: ArrayLike<number>;
    gates: ArrayLike<number>;
    weights: ArrayLike<number>;
    state: ArrayLike<number>;
  },
  shape: {
    tokens: number;
    position: number;
    side: 0 | 1;
    heads: number;
    keyHeads: number;
    keySize: number;
    valueSize: number;
    vRow: number;
    vAt: number;
    gateRow: number;
    aAt: number;
    bAt: number;
  },
): { out: Float64Array; state: Float64Array } {
  const { tokens, position, side, heads, keyHeads, keySize, valueSize } = shape;
  const channels = heads * valueSize;
  const out = new Float64Array(tokens * channels);
  const after = Float64Array.from(io.state);
  for (let channel = 0; channel < channels; channel++) {
    const h = Math.floor(channel / valueSize);
    const from = Math.floor(h / (heads / keyHeads)) * keySize;
    const s = Float64Array.from({ length: keySize }, (_, n) =>
      position === 0 ? 0 : io.state[(side * channels + channel) * keySize + n]!,
    );
    for (let t = 0; t < tokens; t++) {
      const gate = (at: number): number => io.gates[t * shape.gateRow + at + h]!;
      const q = (n: number): number => io.qk[t * 2 * keyHeads * keySize + from + n]!;
      const k = (n: number): number => io.qk[(t * 2 + 1) * keyHeads * keySize + from + n]!;
      const fade = Math.exp(-Math.exp(io.weights[h]!) * softplus(gate(shape.aAt) + io.weights[heads + h]!));
      let known = 0;
      for (let n = 0; n < keySize; n++) {
        s[n] = s[n]! * fade;
        known += s[n]! * k(n);
      }
      const delta = (io.v[t * shape.vRow + shape.vAt + channel]! - known) / (1 + Math.exp(-gate(shape.bAt)));
      let y = 0;
      for (let n = 0; n < keySize; n++) {
        s[n] = s[n]! + delta * k(n);
        y += s[n]! * q(n);
      }
      out[t * channels + channel] = y;
    }
    if (tokens > 0) s.forEach((value, n) => (after[((1 - side) * channels + channel) * keySize + n] = value));
  }
  return { out, state: after };
}
