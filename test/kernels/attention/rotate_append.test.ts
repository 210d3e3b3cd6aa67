import { describe, expect, it } from 'vitest';
import type { GroupedAttention } from '../../../src/config/model-config.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import type { KvFormat } from '../../../src/config/kv-format.ts';
import { rotateAppend } from '../../../src/kernels/attention/rotate_append.ts';
import { ropeTable } from '../../../src/layers/rope.ts';
import { decodeKv, encodeKv } from '../../../src/reference/attention/kv_format.ts';
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
  kv?: KvFormat;
  /** The norm of q and k has no gains. */
  plain?: boolean;
  valueNorm?: boolean;
  temperature?: GroupedAttention['temperature'];
}
/** Relative to the RMS of a cache: half a step of f16, or of int8, at values of four RMS. */
const STEP: Readonly<Record<KvFormat, number>> = { f32: 0, f16: 2e-3, int8: 2e-2 };

const cases: Case[] = [
  { name: 'f16', tokens: 3, position: 2, heads: 6, kvHeads: 2, size: 20, norm: 'per-head', kv: 'f16' },
  { name: 'int8', tokens: 3, position: 2, heads: 4, kvHeads: 2, size: 72, norm: 'full', kv: 'int8' },
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
  { name: 'norm_without_gains', tokens: 3, position: 1, norm: 'per-head-rotated', plain: true, size: 24, pairs: 8 },
  { name: 'normed_values', tokens: 3, position: 1, norm: 'per-head', valueNorm: true, size: 24 },
  { name: 'hot_queries', tokens: 5, position: 3, pairs: 0, temperature: { scale: 0.5, every: 3 } },
  { name: 'clip', tokens: 3, position: 1, clip: 0.8 },
  { name: 'norm_then_clip_then_rotate', tokens: 3, position: 1, norm: 'full', clip: 0.8, interleaved: true },
];

async function check(c: Case): Promise<void> {
  const { name, tokens, position = 0, heads = 4, kvHeads = 2, size = 16, capacity = 16, norm = 'none' } = c;
  const { kv = 'f32', plain = false, valueNorm = false, temperature } = c;
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
    qkGains: norm !== 'none' && !plain,
    valueNorm,
    ...(temperature && { temperature }),
    rope,
  };
  const stretch = (n: number): number => (norm === 'full' ? n * size : size);
  const normEps = 1e-3; // large enough to be missed
  const io = {
    qkv: normals(1, tokens * (heads + 2 * kvHeads) * size, 0.7),
    ...(norm !== 'none' &&
      !plain && {
        qGamma: normals(2, stretch(heads), 0.2, 1),
        kGamma: normals(3, stretch(kvHeads), 0.2, 1),
      }),
    rope: ropeTable(rope, capacity),
  };
  const [kCache, vCache] = [4, 5].map((seed) =>
    decodeKv(encodeKv(normals(seed, kvHeads * capacity * size), kv, size), kv, size),
  ) as [Float64Array, Float64Array];
  const got = await runKernel(gpu, {
    inputs: io,
    outputs: {
      q: tokens * heads * size,
      kCache: encodeKv(kCache, kv, size),
      vCache: encodeKv(vCache, kv, size),
    },
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
        { attention, capacity, normEps, kv },
      ),
  });
  const options = { norm, eps: normEps, clip, pairs, interleaved, valueNorm, temperature };
  const shape = { tokens, position, heads, kvHeads, size, capacity, ...options };
  const expected = twin({ ...io, kCache, vCache }, shape);
  // A norm over at most 144 values and two products: a few 1e-7 each.
  expectClose(asF32(got.q!), expected.q, 5e-6, `${name} q`);
  expectClose(decodeKv(got.kCache!, kv, size), expected.kCache, 5e-6 + STEP[kv], `${name} k`);
  expectClose(decodeKv(got.vCache!, kv, size), expected.vCache, (valueNorm ? 5e-6 : 1e-7) + STEP[kv], `${name} v`);
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
    ['appends at t', 'shared/place', 'return u_step.position + t;', 'return t;', only('fills_the_cache_to_the_end')],
    [
      'norms heads before they turn',
      HEADS,
      'value *= gain(head, d);\n#endif\n#if TEMPERED',
      '#endif\n#if TEMPERED',
      only('norm_of_turned_heads'),
    ],
    [
      'forgets where v goes',
      'attention/rotate_append',
      'v_put(row, u, x, most)',
      'k_put(row, u, x, most)',
      only('int8'),
    ],
    [
      'measures one lane only',
      'attention/rotate_append',
      'most = max(most, partial[i])',
      'most = partial[0]',
      only('int8'),
    ],
    [
      'leaves values as they are',
      HEADS,
      'if (head.is_v) { return head.scale; }',
      'if (head.is_v) { return 1.0; }',
      only('normed_values'),
    ],
    ['heats keys too', HEADS, 'if (head.is_q) { value *= 1.0', 'if (!head.is_v) { value *= 1.0', only('hot_queries')],
    ['heats from the start', HEADS, '(position + 1u) / HEAT_EVERY', 'position / HEAT_EVERY', only('hot_queries')],
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
