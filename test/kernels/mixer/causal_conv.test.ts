import { describe, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { causalConv, convState } from '../../../src/kernels/mixer/causal_conv.ts';
import { causalConv as twin } from '../../../src/reference/mixer/causal_conv.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { thinned } from '../../support/everyday.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case {
  name: string;
  tokens: number;
  position?: number;
  side?: 0 | 1;
  channels: number;
  taps: number;
  /** Values before the channels in a row of x. */
  at?: number;
  gated?: boolean;
  biased?: boolean;
  silu?: boolean;
}

const cases: Case[] = [
  { name: 'no_tokens', tokens: 0, channels: 8, taps: 3 },
  { name: 'one_channel', tokens: 5, channels: 1, taps: 3, gated: true },
  { name: 'from_nothing', tokens: 9, channels: 70, taps: 4, biased: true, silu: true },
  { name: 'one_token_first', tokens: 1, channels: 64, taps: 3, gated: true },
  { name: 'one_token_after_others', tokens: 1, position: 6, channels: 64, taps: 4, silu: true },
  { name: 'fewer_tokens_than_taps', tokens: 2, position: 3, side: 1, channels: 33, taps: 4, biased: true },
  { name: 'as_many_as_the_past', tokens: 3, position: 8, channels: 65, taps: 4 },
  { name: 'the_other_side', tokens: 7, position: 9, side: 1, channels: 130, taps: 3, gated: true },
  { name: 'inside_a_longer_row', tokens: 4, position: 2, channels: 40, taps: 2, at: 9, silu: true },
  { name: 'one_tap', tokens: 3, position: 1, channels: 5, taps: 1 },
];

async function check({ name, tokens, position = 0, side = 0, channels, taps, at = 0, ...c }: Case): Promise<void> {
  const gates = c.gated ? { b: at + channels, c: at + 2 * channels } : undefined;
  const row = at + 3 * channels;
  const x = normals(1, tokens * row);
  const weights = normals(2, channels * taps, 0.5);
  const bias = c.biased ? normals(3, channels) : undefined;
  const state = normals(4, convState({ channels, taps }));
  const shape = { channels, taps, row, at, ...(gates && { gates }), silu: c.silu ?? false };
  const got = await runKernel(gpu, {
    inputs: { x, weights, ...(bias && { bias }) },
    outputs: { state, out: tokens * channels },
    step: { tokens, position, side },
    record: (r, v) =>
      causalConv(r, name, { x: v.x!, taps: v.weights!, state: v.state!, out: v.out!, bias: v.bias ?? null }, shape),
  });
  const io = { x, taps: weights, state, ...(bias && { bias }) };
  const expected = twin(io, { ...shape, tokens, position, side });
  // A sum of at most 4 products, a bias, two gates: a few 1e-7.
  expectClose(asF32(got.out!), expected.out, 2e-6, `${name} out`);
  expectClose(asF32(got.state!), expected.state, 2e-7, `${name} state`);
}

describe('mixer/causal_conv', () => {
  it.each(thinned(cases, 3))('$name', check);

  it.each([
    ['starts from a state at position 0', 'u_step.position == 0u', 'false', 'from_nothing'],
    [
      'writes the side that it reads',
      '(1u - u_step.side) * PAST + j',
      'u_step.side * PAST + j',
      'one_token_after_others',
    ],
    ['always reads the first side', '(u_step.side * PAST + at)', '(at)', 'the_other_side'],
    ['keeps the first tokens', 'input(t + 1u + j, c)', 'input(t + j, c)', 'fewer_tokens_than_taps'],
    ['forgets to gate what goes in', 'x[from_x + B_AT + c] * ', '', 'the_other_side'],
    ['forgets silu', 'y *= sigmoid(y);', '', 'inside_a_longer_row'],
    ['forgets the bias', 'var y = bias[c];', 'var y = 0.0;', 'from_nothing'],
  ])('notices a kernel that %s', async (_what, from, to, name) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'mixer/causal_conv',
      (s) => s.replace(from, to),
      async () => check(cases.find((c) => c.name === name)!),
    );
  });
});
