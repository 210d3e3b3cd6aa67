/** A gated short convolution (LFM2): x -> x + out(C * conv(B * h)), where B, C, h = in(norm(x)). */
import type { ShortConvolution } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { causalConv } from '../kernels/mixer/causal_conv.ts';
import { normedLinear } from './attention.ts';
import { linear } from './linear.ts';
import type { RecurrentStep } from './mixer_step.ts';
import type { DeviceParts } from './parts.ts';
import type { ShortConvolutionWeights } from './weights.ts';

export function shortConvolution(
  r: Recorder,
  { taps }: ShortConvolution,
  weights: ShortConvolutionWeights<DeviceParts, BufferView>,
  s: RecurrentStep,
): void {
  const { label, phase, eps, x, scratch, state } = s;
  const channels = weights.outProj.cols;
  normedLinear(
    r,
    `${label} in`,
    phase,
    { x, gamma: s.norm, weights: weights.inProj, out: scratch.projected, normed: scratch.normed },
    { eps, kind: s.normKind },
  );
  causalConv(
    r,
    `${label} convolution`,
    { x: scratch.projected, taps: weights.taps, state: state.convolution, out: scratch.mixed },
    { channels, taps, row: 3 * channels, at: 2 * channels, gates: { b: 0, c: channels }, silu: false },
  );
  linear(
    r,
    `${label} out`,
    { x: scratch.mixed, weights: weights.outProj, residual: x, out: s.out },
    { phase, scale: s.scale },
  );
}
