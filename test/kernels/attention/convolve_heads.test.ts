import { describe, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { convolvedPast, convolveHeads } from '../../../src/kernels/attention/convolve_heads.ts';
import { convolveHeads as twin } from '../../../src/reference/attention/convolve_heads.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case {
  readonly name: string;
  readonly tokens: number;
  readonly position?: number;
  readonly side?: 0 | 1;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

const small = { heads: 6, kvHeads: 2, headSize: 10 };
const cases: readonly Case[] = [
  { ...small, name: 'no_tokens', tokens: 0 },
  { ...small, name: 'from_nothing', tokens: 5 },
  { ...small, name: 'one_token_first', tokens: 1 },
  { ...small, name: 'one_token_second', tokens: 1, position: 1, side: 1 },
  { ...small, name: 'one_token_after_others', tokens: 1, position: 7 },
  { ...small, name: 'two_tokens', tokens: 2, position: 4, side: 1 },
  { name: 'one_head', tokens: 3, position: 2, heads: 1, kvHeads: 1, headSize: 2 },
  { name: 'half_of_an_odd_head', tokens: 3, position: 2, heads: 4, kvHeads: 4, headSize: 7 },
  { name: 'large_heads', tokens: 2, position: 9, heads: 2, kvHeads: 1, headSize: 136 },
];

async function check({ name, tokens, position = 0, side = 0, ...shape }: Case): Promise<void> {
  const { heads, kvHeads, headSize } = shape;
  const channels = (heads + kvHeads) * headSize;
  const x = normals(1, tokens * (heads + 2 * kvHeads) * headSize);
  const vectors = normals(2, 4 * channels + kvHeads);
  const weights = normals(3, 2 * channels * headSize, 0.7 / Math.sqrt(headSize));
  const state = normals(4, convolvedPast(shape));
  const got = await runKernel(gpu, {
    inputs: { x, vectors, weights },
    outputs: { state, out: x.length },
    step: { tokens, position, side },
    record: (r, v) => {
      const io = { x: v.x!, channels: v.vectors!, weights: v.weights!, state: v.state!, out: v.out! };
      convolveHeads(r, name, io, shape);
    },
  });
  const expected = twin({ x, channels: vectors, weights, state }, { ...shape, tokens, position, side });
  // Sums of up to 272 products of sums of two, then the length of a head: some 1e-6.
  expectClose(asF32(got.out!), expected.out, 5e-6, `${name} out`);
  expectClose(asF32(got.state!), expected.state, 0, `${name} state`);
}

describe('attention/convolve_heads', () => {
  it.each(cases)('$name', check);

  it.each([
    ['starts from a state at position 0', 'u_step.position == 0u', 'false', 'from_nothing'],
    ['writes the side that it reads', '(1u - u_step.side) * PAST + c', 'u_step.side * PAST + c', 'two_tokens'],
    ['keeps half of v where it read it', '(1u - u_step.side) * PAST + kept', 'u_step.side * PAST + kept', 'two_tokens'],
    ['always reads the first side', 'u_step.side * PAST + (2u + t - back)', '(2u + t - back)', 'two_tokens'],
    ['turns the past around', '(2u + t - back)', '(back - t - 1u)', 'one_token_after_others'],
    ['keeps the last token twice', 'state[kept] = input(t, 1u, c)', 'state[kept] = input(t, 0u, c)', 'from_nothing'],
    ['forgets the bias of a channel', ' + channels[2u * C + c]', '', 'from_nothing'],
    ['forgets the bias of a head', 'var sum = channels[3u * C + c]', 'var sum = 0.0', 'from_nothing'],
    ['convolves heads with the token alone', 'of_channel(t, 1u, c)', '0.0', 'from_nothing'],
    ['forgets the mean', 'sum + mean(t, head, j)', 'sum', 'from_nothing'],
    ['takes all k for one group', '(head - HEADS) * GROUP + i', 'i', 'from_nothing'],
    ['forgets the lengths of k', 'scale *= channels[4u * C + head - HEADS]', 'scale *= 1.0', 'from_nothing'],
    ['makes heads as long as one', 'sqrt(f32(SIZE)) / max', '1.0 / max', 'from_nothing'],
    ['gives all of v at once', 'if (f < HALF)', 'if (f < 2u * HALF)', 'from_nothing'],
    ['forgets v of the token before', 'else if (u_step.position > 0u)', 'else if (false)', 'one_token_after_others'],
  ])('notices a kernel that %s', async (_what, from, to, name) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'attention/convolve_heads',
      (text) => text.replace(from, to),
      () => check(cases.find((c) => c.name === name)!),
    );
  });
});
