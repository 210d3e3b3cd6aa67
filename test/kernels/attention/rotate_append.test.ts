import { describe, expect, it } from 'vitest';
import type { GroupedAttention } from '../../../src/config/model-config.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { rotateAppend } from '../../../src/kernels/attention/rotate_append.ts';
import { ropeTable } from '../../../src/layers/rope.ts';
import { rotateAppend as twin } from '../../../src/reference/attention/rotate_append.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { thinned } from '../../support/everyday.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case {
  name: string;
  tokens: number;
  position?: number;
  heads?: number;
  kvHeads?: number;
  size?: number;
  capacity?: number;
  norm?: GroupedAttention['qkNorm'];
  clip?: number;
  pairs?: number;
  interleaved?: boolean;
  amplitude?: number;
}
const cases: Case[] = [
  { name: 'no_tokens', tokens: 0 },
  { name: 'one_token_at_the_start', tokens: 1 },
  { name: 'fills_the_cache_to_the_end', tokens: 7, position: 4, capacity: 11 },
  { name: 'more_tokens_than_a_workgroup', tokens: 33, position: 5, capacity: 40, heads: 2, kvHeads: 2 },
  { name: 'odd_head_counts', tokens: 3, position: 2, heads: 9, kvHeads: 3, size: 64 },
  { name: 'eight_heads_a_kv_head', tokens: 2, heads: 8, kvHeads: 1, size: 128 },
  { name: 'partial_rotary', tokens: 3, position: 9, size: 24, pairs: 4 },
  { name: 'one_rotating_pair', tokens: 2, position: 9, size: 10, pairs: 1 },
  { name: 'no_rotation', tokens: 3, position: 9, pairs: 0 },
  { name: 'interleaved', tokens: 3, position: 9, interleaved: true },
  { name: 'interleaved_partial', tokens: 3, position: 9, size: 40, pairs: 8, interleaved: true },
  { name: 'amplitude', tokens: 3, position: 9, amplitude: 1.3466 },
  { name: 'norm_per_head', tokens: 3, position: 1, norm: 'per-head', size: 128 },
  { name: 'norm_over_the_projection', tokens: 3, position: 1, norm: 'full', heads: 4, kvHeads: 4, size: 32 },
  {
    name: 'norm_over_projections_of_unequal_size',
    tokens: 2,
    position: 1,
    norm: 'full',
    heads: 6,
    kvHeads: 2,
    size: 24,
  },
  {
    name: 'norm_of_turned_heads',
    tokens: 3,
    position: 1,
    norm: 'per-head-rotated',
    size: 24,
    pairs: 8,
    amplitude: 1.3,
    clip: 0.8,
  },
  { name: 'clip', tokens: 3, position: 1, clip: 0.8 },
  { name: 'norm_then_clip_then_rotate', tokens: 3, position: 1, norm: 'full', clip: 0.8, interleaved: true },
];

async function check(c: Case): Promise<void> {
  const { name, tokens, position = 0, heads = 4, kvHeads = 2, size = 16, capacity = 16, norm = 'none' } = c;
  const { clip = null, pairs = size / 2, interleaved = false, amplitude = 1 } = c;
  const rope = {
    inverseFrequencies: Array.from({ length: pairs }, (_, j) => 100 ** (-j / pairs)),
    amplitude,
    interleaved,
  };
  const attention: GroupedAttention = {
    kind: 'grouped',
    heads,
    kvHeads,
    headSize: size,
    scale: 1,
    qkNorm: norm,
    clip,
    bias: { qkv: false, o: false },
    window: null,
    sinks: false,
    rope,
  };
  const stretch = (n: number): number => (norm === 'full' ? n * size : size);
  const normEps = 1e-3; // large enough to be missed
  const io = {
    qkv: normals(1, tokens * (heads + 2 * kvHeads) * size, 0.7),
    ...(norm !== 'none' && {
      qGamma: normals(2, stretch(heads), 0.2, 1),
      kGamma: normals(3, stretch(kvHeads), 0.2, 1),
    }),
    rope: ropeTable(rope, capacity),
  };
  const kCache = normals(4, kvHeads * capacity * size);
  const vCache = normals(5, kvHeads * capacity * size);
  const got = await runKernel(gpu, {
    inputs: io,
    outputs: { q: tokens * heads * size, kCache, vCache },
    step: { tokens, position },
    record: (r, v) =>
      rotateAppend(
        r,
        name,
        {
          qkv: v.qkv!,
          rope: v.rope!,
          q: v.q!,
          kCache: v.kCache!,
          vCache: v.vCache!,
          ...(v.qGamma && v.kGamma && { qGamma: v.qGamma, kGamma: v.kGamma }),
        },
        { attention, capacity, normEps },
      ),
  });
  const shape = { tokens, position, heads, kvHeads, size, capacity, norm, eps: normEps, clip, pairs, interleaved };
  const expected = twin({ ...io, kCache, vCache }, shape);
  // A norm over at most 144 values and two products: a few 1e-7 each.
  expectClose(asF32(got.q!), expected.q, 5e-6, `${name} q`);
  expectClose(asF32(got.kCache!), expected.kCache, 5e-6, `${name} k`);
  expectClose(asF32(got.vCache!), expected.vCache, 1e-7, `${name} v`);
}

const only = (...names: string[]): Case[] => cases.filter((c) => names.includes(c.name));

describe('attention/rotate_append', () => {
  it.each(thinned(cases, 3))('$name', check);

  it('refuses a step that overruns the cache', async () => {
    await expect(check({ name: 'overrun', tokens: 3, position: 14 })).rejects.toThrow('overrun a cache of 16');
  });

  const HEADS = 'attention/grouped_heads';
  it.each([
    ['forgets epsilon', HEADS, ' + EPS', '', only('norm_per_head')],
    [
      'clamps only q and k',
      HEADS,
      'clamp(value, -CLIP, CLIP)',
      'select(clamp(value, -CLIP, CLIP), value, head.is_v)',
      only('clip'),
    ],
    [
      "reads the first head's gamma",
      HEADS,
      ' % select(K_NORM, Q_NORM, is_q)',
      ' % SIZE',
      only('norm_over_the_projection'),
    ],
    [
      'appends at t',
      'attention/rotate_append',
      'let position = u_step.position + t',
      'let position = t',
      only('fills_the_cache_to_the_end'),
    ],
    [
      'norms heads before they turn',
      HEADS,
      'return value * gain(head, d);',
      'return value;',
      only('norm_of_turned_heads'),
    ],
    ['turns v too', HEADS, '!head.is_v && d < 2u', 'd < 2u', only('odd_head_counts')],
    ['turns the whole head', HEADS, 'd < 2u * PAIRS', 'd < SIZE', only('partial_rotary')],
  ])('notices a kernel that %s', async (_what, path, from, to, few) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      path,
      (s) => s.replace(from, to),
      async () => {
        for (const c of few) await check(c);
      },
    );
  });

  it.each([
    ['turns the other way', 'low * cosine - high * sine', 'low * cosine + high * sine'],
    ['pairs the halves when interleaved', 'return 2u * pair + 1u', 'return pair + PAIRS'],
  ])('notices a rotation that %s', async (_what, from, to) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'shared/rope',
      (s) => s.replace(from, to),
      async () => {
        for (const c of only('interleaved')) await check(c);
      },
    );
  });
});
