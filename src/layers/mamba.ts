/** Mamba's token mixers: x -> x + out(scan(conv(in(norm(x))))). */
import type { Mamba1, Mamba2 } from '../config/model-config.ts';
import type { BufferView } from '../gpu/buffer.ts';
import type { Recorder } from '../gpu/recording.ts';
import { causalConv } from '../kernels/mixer/causal_conv.ts';
import { selectiveScan, type Stretch } from '../kernels/mixer/selective_scan.ts';
import { rmsNorm } from '../kernels/norm/rms_norm.ts';
import { normedLinear } from './attention.ts';
import { linear } from './linear.ts';
import { convolvedChannels, type RecurrentStep } from './mixer_step.ts';
import type { DeviceParts } from './parts.ts';
import type { Mamba1Weights, Mamba2Weights } from './weights.ts';

type Weights1 = Mamba1Weights<DeviceParts, BufferView>;
type Weights2 = Mamba2Weights<DeviceParts, BufferView>;

function project(r: Recorder, weights: DeviceParts, s: RecurrentStep): void {
  const { projected: out, normed } = s.scratch;
  const io = { x: s.x, gamma: s.norm, weights, out, normed };
  normedLinear(r, `${s.label} in`, s.phase, io, { eps: s.eps, kind: s.normKind });
}

/** The convolution over `channels` of a row of what was projected. */
function convolve(
  r: Recorder,
  { taps: weights, convBias: bias }: Weights1 | Weights2,
  { label, scratch, state }: RecurrentStep,
  shape: { readonly channels: number; readonly taps: number; readonly row: number; readonly at: number },
): void {
  const io = { x: scratch.projected, taps: weights, bias, state: state.convolution, out: scratch.convolved };
  causalConv(r, `${label} convolution`, io, { ...shape, silu: true });
}

export function mamba1(r: Recorder, config: Mamba1, weights: Weights1, s: RecurrentStep): void {
  const { channels, states, taps, rank } = config;
  const { label, phase, eps, scratch } = s;
  const row = 2 * channels;
  project(r, weights.inProj, s);
  convolve(r, weights, s, { channels, taps, row, at: 0 });
  const { convolved, selected, steps, normed } = scratch;
  linear(r, `${label} select`, { x: convolved, weights: weights.selectProj, out: selected }, { phase });
  const selectedRow = rank + 2 * states;
  const stepIo = { x: selected, gamma: weights.stepNorm, weights: weights.stepProj, out: steps, normed };
  normedLinear(r, `${label} steps`, phase, stepIo, { eps, row: selectedRow });
  const inner = { size: states, eps, row: selectedRow };
  rmsNorm(r, `${label} b norm`, { x: selected, gamma: weights.bNorm, out: scratch.b }, { ...inner, at: rank });
  const cAt = rank + states;
  rmsNorm(r, `${label} c norm`, { x: selected, gamma: weights.cNorm, out: scratch.c }, { ...inner, at: cAt });
  selectiveScan(
    r,
    `${label} scan`,
    {
      x: { view: convolved, row: channels, at: 0 },
      z: { view: scratch.projected, row, at: channels },
      steps: { view: steps, row: channels, at: 0 },
      b: { view: scratch.b, row: states, at: 0 },
      c: { view: scratch.c, row: states, at: 0 },
      weights: weights.scan,
      state: s.state.scan,
      out: scratch.mixed,
    },
    { channels, headSize: 1, groups: 1, states, aByState: true, stepLimits: [0, Infinity] },
  );
  linear(
    r,
    `${label} out`,
    { x: scratch.mixed, weights: weights.outProj, residual: s.x, out: s.out },
    { phase, scale: s.scale },
  );
}

export function mamba2(r: Recorder, config: Mamba2, weights: Weights2, s: RecurrentStep): void {
  const { heads, headSize, groups, states, taps, stepLimits, normGroups } = config;
  const { label, phase, eps, scratch } = s;
  const channels = heads * headSize;
  const convolvedRow = convolvedChannels(config);
  const row = channels + convolvedRow + heads;
  project(r, weights.inProj, s);
  convolve(r, weights, s, { channels: convolvedRow, taps, row, at: channels });
  const projected = (at: number): Stretch => ({ view: scratch.projected, row, at });
  const convolved = (at: number): Stretch => ({ view: scratch.convolved, row: convolvedRow, at });
  selectiveScan(
    r,
    `${label} scan`,
    {
      x: convolved(0),
      z: projected(0),
      steps: projected(channels + convolvedRow),
      b: convolved(channels),
      c: convolved(channels + groups * states),
      weights: weights.scan,
      state: s.state.scan,
      out: scratch.mixed,
    },
    { channels, headSize, groups, states, aByState: false, stepLimits },
  );
  const normed = scratch.convolved; // read for the last time by the scan
  const shape = { size: channels / normGroups, groups: normGroups, eps };
  rmsNorm(r, `${label} gated norm`, { x: scratch.mixed, gamma: weights.norm, out: normed }, shape);
  linear(
    r,
    `${label} out`,
    { x: normed, weights: weights.outProj, residual: s.x, out: s.out },
    { phase, scale: s.scale },
  );
}
