import { describe, expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { scanState, selectiveScan, type SelectiveScanShape } from '../../../src/kernels/mixer/selective_scan.ts';
import { selectiveScan as twin } from '../../../src/reference/mixer/selective_scan.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { thinned } from '../../support/everyday.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case extends Partial<SelectiveScanShape> {
  name: string;
  tokens: number;
  channels: number;
  states: number;
  position?: number;
  side?: 0 | 1;
  /** Everything in one row, as Mamba-2 has it, or each in a buffer of its own. */
  packed?: boolean;
}

const cases: Case[] = [
  { name: 'no_tokens', tokens: 0, channels: 8, states: 4 },
  { name: 'one_of_everything', tokens: 1, channels: 1, states: 1, aByState: true },
  { name: 'one_token_after_others', tokens: 1, position: 9, channels: 37, states: 16, aByState: true },
  { name: 'a_by_state_from_nothing', tokens: 5, channels: 12, states: 8, aByState: true, position: 0 },
  { name: 'just_a_block', tokens: 16, channels: 8, states: 16, aByState: true, side: 1, position: 1 },
  { name: 'blocks_and_one', tokens: 33, channels: 6, states: 17, position: 4, aByState: true },
  {
    name: 'heads_and_groups',
    tokens: 7,
    position: 2,
    side: 1,
    channels: 48,
    headSize: 8,
    groups: 3,
    states: 20,
    packed: true,
  },
  { name: 'one_group', tokens: 3, channels: 24, headSize: 12, states: 128, packed: true },
  {
    name: 'steps_are_clamped',
    tokens: 4,
    position: 1,
    channels: 8,
    headSize: 4,
    states: 5,
    stepLimits: [0.5, 0.9],
    packed: true,
  },
];

async function check({
  name,
  tokens,
  channels,
  states,
  position = 0,
  side = 0,
  packed = false,
  ...s
}: Case): Promise<void> {
  const { headSize = 1, groups = 1, aByState = false, stepLimits = [0, Infinity] } = s;
  const shape = { channels, headSize, groups, states, aByState, stepLimits } as const;
  const heads = channels / headSize;
  const sizes = { z: channels, x: channels, b: groups * states, c: groups * states, steps: heads };
  const names = Object.keys(sizes) as (keyof typeof sizes)[];
  const row = Object.values(sizes).reduce((n, size) => n + size, 3);
  let at = 3;
  const whole = normals(1, tokens * row);
  const inputs: Record<string, Float32Array<ArrayBuffer>> = packed ? { whole } : {};
  const places = {} as Record<keyof typeof sizes, { from: string; row: number; at: number }>;
  names.forEach((what, i) => {
    if (!packed) inputs[what] = normals(10 + i, tokens * sizes[what]);
    places[what] = packed ? { from: 'whole', row, at } : { from: what, row: sizes[what], at: 0 };
    at += sizes[what];
  });
  const weights = normals(2, 2 * heads + (aByState ? channels * states : heads), 0.7);
  const state = normals(3, scanState(shape));
  const got = await runKernel(gpu, {
    inputs: { ...inputs, weights },
    outputs: { state, out: tokens * channels },
    step: { tokens, position, side },
    record: (r, v) => {
      const view = (what: keyof typeof sizes): { view: typeof v.state & object; row: number; at: number } => ({
        view: v[places[what].from]!,
        row: places[what].row,
        at: places[what].at,
      });
      const io = { x: view('x'), z: view('z'), steps: view('steps'), b: view('b'), c: view('c') };
      selectiveScan(r, name, { ...io, weights: v.weights!, state: v.state!, out: v.out! }, shape);
    },
  });
  const values = (what: keyof typeof sizes): { values: Float32Array; row: number; at: number } => ({
    values: inputs[places[what].from]!,
    row: places[what].row,
    at: places[what].at,
  });
  const io = { x: values('x'), z: values('z'), steps: values('steps'), b: values('b'), c: values('c'), weights, state };
  const expected = twin(io, { ...shape, tokens, position, side });
  // exp and log of 3 ulp each in dt and in the decay, carried on over at most 33 tokens that fade, sums of at most 128 terms: some 1e-6.
  expectClose(asF32(got.out!), expected.out, 1e-5, `${name} out`);
  expectClose(asF32(got.state!), expected.state, 1e-5, `${name} state`);
}

const named = (name: string): Case => cases.find((c) => c.name === name)!;

describe('mixer/selective_scan', () => {
  it.each(thinned(cases, 3))('$name', check);

  it('refuses heads that do not divide', async () => {
    await expect(check({ name: 'odd', tokens: 1, channels: 9, headSize: 2, states: 2 })).rejects.toThrow(
      'do not divide',
    );
  });

  it.each([
    ['starts from a state at position 0', 'if (u_step.position > 0u)', 'if (true)', 'a_by_state_from_nothing'],
    ['writes the side that it reads', '((1u - u_step.side) * CHANNELS', '(u_step.side * CHANNELS', 'just_a_block'],
    ['always reads the first side', '(u_step.side * CHANNELS + channel)', '(channel)', 'just_a_block'],
    ['reads the first group only', '(h / HEADS_OF_GROUP) * STATES', '0u', 'heads_and_groups'],
    ['forgets what passes by', 'weights[HEADS + own / HEAD_SIZE] * ', '0.0 * ', 'one_group'],
    ['forgets the bias of the steps', ' + weights[h])', ')', 'one_group'],
    ['does not clamp', ', STEP_MIN, STEP_MAX)', ', 0.0, 1e9)', 'steps_are_clamped'],
    ['forgets the gate', 'y * gate * sigmoid(gate)', 'y', 'blocks_and_one'],
    [
      'leaves states out',
      'const MINE: u32 = (STATES + LANES - 1u) / LANES',
      'const MINE: u32 = STATES / LANES + 0u * LANES',
      'blocks_and_one',
    ],
  ])('notices a kernel that %s', async (_what, from, to, name) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'mixer/selective_scan',
      (text) => text.replace(from, to),
      async () => check(named(name)),
    );
  });

  it('notices a softplus that is none', async () => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'shared/softplus',
      (text) => text.replace('max(x, 0.0) + tail', 'max(x, 0.0)'),
      async () => check(named('one_group')),
    );
  });
});
