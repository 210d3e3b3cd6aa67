/** A gated delta net: x -> x + out(norm(rule(conv(q, k, v))) * silu(z)), where q, k, v, z and two gates a head are in(norm(x)). */
import type { DeltaNet } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { causalConv } from '../kernels/mixer/causal_conv.ts';
import { deltaRule } from '../kernels/mixer/delta_rule.ts';
import { gate } from '../kernels/mixer/gate.ts';
import { rmsNorm } from '../kernels/norm/rms_norm.ts';
import { normedLinear } from './attention.ts';
import { linear } from './linear.ts';
import type { RecurrentStep } from './mixer_step.ts';
import type { DeviceParts } from './parts.ts';
import type { DeltaNetWeights } from './weights.ts';

/** Added to the sum of squares of q and of k; a norm's epsilon goes to their mean. */
const LENGTH_EPS = 1e-6;

export function deltaNet(
  r: Recorder,
  config: DeltaNet,
  weights: DeltaNetWeights<DeviceParts, BufferView>,
  s: RecurrentStep,
): void {
  const { heads, keyHeads, keySize, valueSize, taps } = config;
  const { label, phase, eps, scratch } = s;
  const { projected, convolved, selected: qk, steps: normed, mixed } = scratch;
  const [keys, values] = [keyHeads * keySize, heads * valueSize];
  const channels = 2 * keys + values;
  const row = channels + values + 2 * heads;
  const input = { x: s.x, gamma: s.norm, weights: weights.inProj, out: projected, normed: scratch.normed };
  normedLinear(r, `${label} in`, phase, input, { eps, kind: s.normKind });
  const convolution = { x: projected, taps: weights.taps, state: s.state.convolution, out: convolved };
  causalConv(r, `${label} convolution`, convolution, { channels, taps, row, at: 0, silu: true });
  const lengths = { size: keySize, groups: 2 * keyHeads, row: channels, eps: LENGTH_EPS / keySize };
  rmsNorm(r, `${label} q and k norm`, { x: convolved, gamma: weights.qkGains, out: qk }, lengths);
  const bAt = channels + values;
  deltaRule(
    r,
    `${label} rule`,
    {
      qk,
      v: { view: convolved, row: channels, at: 2 * keys },
      a: { view: projected, row, at: bAt + heads },
      bAt,
      weights: weights.rates,
      state: s.state.scan,
      out: mixed,
    },
    config,
  );
  rmsNorm(r, `${label} norm`, { x: mixed, gamma: weights.norm, out: normed }, { size: valueSize, groups: heads, eps });
  const z = { view: projected, row, at: channels };
  gate(r, `${label} gate`, { x: normed, gate: z }, { size: values, silu: true });
  const out = { x: normed, weights: weights.outProj, residual: s.x, out: s.out };
  linear(r, `${label} out`, out, { phase, scale: s.scale });
}
