import { describe, expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { attention, partialsBytes, type AttentionShape } from '../../../src/kernels/attention/attention.ts';
import { decodeRows, firstVisible, latentRows, prefillTile } from '../../../src/kernels/attention/attention_plan.ts';
import type { KvFormat } from '../../../src/config/kv-format.ts';
import { attention as twin } from '../../../src/reference/attention/attention.ts';
import { decodeKv, encodeKv } from '../../../src/reference/attention/kv_format.ts';
import { asF32, expectClose, expectMutantToFail, POISON, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { thinned } from '../../support/everyday.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case {
  name: string;
  tokens: number;
  position?: number;
  heads?: number;
  kvHeads?: number;
  keySize?: number;
  valueSize?: number;
  window?: number;
  chunked?: boolean;
  softcap?: number;
  capacity?: number;
  /** All sinks have this size, alternating in sign; absent: no sinks. */
  sinks?: number;
  /** Standard deviation of the scores. */
  spread?: number;
  kv?: KvFormat;
  /** Values are the first of the keys' own, as of latents. */
  isShared?: boolean;
}
const everyPhase: Case[] = [
  { name: 'no_tokens', tokens: 0, position: 3 },
  { name: 'one_token_alone', tokens: 1 },
  { name: 'seven_tokens_from_the_start', tokens: 7 },
  { name: 'middle_of_the_cache', tokens: 5, position: 41 },
  { name: 'head_size_8', tokens: 3, position: 2, keySize: 8, valueSize: 8 },
  { name: 'keys_wider_than_values', tokens: 3, position: 34, keySize: 24, valueSize: 16 },
  { name: 'head_size_32', tokens: 3, position: 2, keySize: 32, valueSize: 32 },
  { name: 'nine_heads_over_three_of_64', tokens: 3, position: 9, heads: 9, kvHeads: 3, keySize: 64, valueSize: 64 },
  { name: 'eight_heads_over_one_of_128', tokens: 3, position: 9, heads: 8, kvHeads: 1, keySize: 128, valueSize: 128 },
  { name: 'latent_192_128', tokens: 3, position: 9, heads: 2, kvHeads: 2, keySize: 192, valueSize: 128 },
  { name: 'head_size_256', tokens: 3, position: 35, heads: 2, kvHeads: 1, keySize: 256, valueSize: 256 },
  { name: 'sizes_that_divide_by_nothing', tokens: 3, position: 30, heads: 10, kvHeads: 2, keySize: 37, valueSize: 67 },
  { name: 'values_wider_than_keys', tokens: 3, position: 5, heads: 1, kvHeads: 1, keySize: 10, valueSize: 300 },
  { name: 'window_1', tokens: 5, position: 6, window: 1 },
  { name: 'window_16', tokens: 7, position: 12, window: 16 },
  { name: 'window_larger_than_the_context', tokens: 7, position: 12, window: 100 },
  { name: 'window_as_long_as_the_context', tokens: 1, position: 15, window: 16 },
  { name: 'window_one_short_of_the_context', tokens: 1, position: 16, window: 16 },
  { name: 'window_across_splits', tokens: 3, position: 134, capacity: 300, window: 16 },
  { name: 'window_across_later_splits', tokens: 2, position: 258, capacity: 300, window: 16 },
  { name: 'window_that_leaves_a_split_midway', tokens: 8, position: 139, capacity: 300, window: 16 },
  { name: 'window_that_starts_in_the_last_split', tokens: 3, position: 150, capacity: 300, window: 16 },
  { name: 'stretches_of_16', tokens: 7, position: 12, window: 16, chunked: true },
  { name: 'stretches_across_splits', tokens: 5, position: 150, capacity: 300, window: 48, chunked: true },
  { name: 'capped', tokens: 4, position: 37, softcap: 2 },
  { name: 'capped_far_out', tokens: 3, position: 37, spread: 1e4, softcap: 30 },
  { name: 'sinks', tokens: 4, position: 5, sinks: 1 },
  { name: 'sinks_and_window', tokens: 3, position: 135, capacity: 300, sinks: 2, window: 12 },
  { name: 'sinks_that_dwarf_the_scores', tokens: 4, position: 5, sinks: 1e4 },
  { name: 'huge_logits', tokens: 4, position: 37, spread: 1e4 },
  { name: 'tiny_logits', tokens: 4, position: 37, spread: 1e-6 },
  { name: 'ends_with_a_split', tokens: 1, position: 127, capacity: 300 },
  { name: 'starts_a_split', tokens: 1, position: 128, capacity: 300 },
  { name: 'crosses_into_a_split', tokens: 5, position: 125, capacity: 300, sinks: 1 },
  { name: 'fills_the_cache_to_the_end', tokens: 8, position: 251, capacity: 259, sinks: 3 },
  { name: 'keys_and_values_in_f16', tokens: 3, position: 130, capacity: 300, kv: 'f16' },
  { name: 'keys_and_values_in_int8', tokens: 3, position: 41, valueSize: 24, kv: 'int8' },
  { name: 'values_in_the_keys', tokens: 3, position: 41, kvHeads: 1, keySize: 40, valueSize: 28, isShared: true },
  { name: 'capacity_of_one_split', tokens: 3, position: 125, capacity: 128 },
];
const prefillOnly: Case[] = [
  { name: 'two_query_tiles', tokens: 33 },
  { name: 'two_query_tiles_in_the_middle', tokens: 33, position: 31, sinks: 1 },
  { name: 'window_that_leaves_tiles_without_keys', tokens: 70, window: 16 },
  { name: 'stretches_inside_tiles', tokens: 50, position: 22, window: 11, chunked: true },
  { name: 'window_16_over_many_tiles', tokens: 50, position: 22, window: 16 },
  {
    name: 'wide_tiles_of_16_queries',
    tokens: 33,
    position: 39,
    heads: 2,
    kvHeads: 1,
    keySize: 20,
    valueSize: 160,
  },
];
const cases: [string, AttentionShape['phase'], Case][] = [
  ...everyPhase.flatMap((c) => [
    [c.name, 'decode', c] as [string, 'decode', Case],
    [c.name, 'prefill', c] as [string, 'prefill', Case],
  ]),
  ...prefillOnly.map((c): [string, 'prefill', Case] => [c.name, 'prefill', c]),
];

function inputsOf(c: Case) {
  const { tokens, position = 0, heads = 4, kvHeads = 2, keySize = 16, valueSize = 16, capacity = 72 } = c;
  const { window = null, chunked = false, softcap, spread = 1.5, kv = 'f32', isShared = false } = c;
  const scale = 0.3;
  const q = normals(1, tokens * heads * keySize, spread / (scale * Math.sqrt(keySize)));
  const kCache = normals(2, kvHeads * capacity * keySize);
  const vCache = normals(3, kvHeads * capacity * valueSize);
  // Memory that no query may see: beyond the context, and before every window.
  const begin = firstVisible(position, window, chunked);
  for (const [cache, size] of [
    [kCache, keySize],
    [vCache, valueSize],
  ] as const) {
    for (let h = 0; h < kvHeads; h++) {
      cache.fill(NaN, h * capacity * size, (h * capacity + begin) * size);
      cache.fill(NaN, (h * capacity + position + tokens) * size, (h + 1) * capacity * size);
    }
  }
  const sinks =
    c.sinks === undefined ? undefined : Float32Array.from({ length: heads }, (_, h) => c.sinks! * (h % 2 ? -1 : 1));
  const shape = { heads, kvHeads, keySize, valueSize, scale, window, chunked, softcap, capacity, kv };
  const words = { kCache: encodeKv(kCache, kv, keySize), vCache: encodeKv(vCache, kv, valueSize) };
  const keys = decodeKv(words.kCache, kv, keySize);
  const values = isShared ? keys.filter((_, i) => i % keySize < valueSize) : decodeKv(words.vCache, kv, valueSize);
  const rest = { q, ...(sinks && { sinks }) };
  return {
    io: { ...rest, kCache: keys, vCache: values },
    inputs: { ...rest, ...words },
    shape,
    step: { tokens, position },
  };
}

async function run(c: Case, phase: AttentionShape['phase']): Promise<Float32Array> {
  const { inputs, shape, step } = inputsOf(c);
  const got = await runKernel(gpu, {
    inputs,
    outputs: {
      out: step.tokens * shape.heads * shape.valueSize,
      partials: partialsBytes({ ...shape, tokens: step.tokens }) / 4,
    },
    step,
    record: (r, v) =>
      attention(
        r,
        c.name,
        {
          q: v.q!,
          kCache: v.kCache!,
          vCache: c.isShared ? v.kCache! : v.vCache!,
          out: v.out!,
          ...(v.sinks && { sinks: v.sinks }),
          ...(phase === 'decode' && { partials: v.partials! }),
        },
        { ...shape, phase },
      ),
  });
  if (phase === 'prefill') expect(got.partials!.every((word) => word === POISON)).toBe(true);
  return asF32(got.out!);
}

async function check(c: Case, phase: AttentionShape['phase']): Promise<void> {
  const { io, shape, step } = inputsOf(c);
  // exp(s - max) has the absolute error of s: about 1e-7 |s|, |s| up to 4 spreads; sums over hundreds of keys shrink the RMS to a tenth and add a few 1e-7.
  const bound = 5e-6 + 4e-7 * (c.spread ?? 1.5);
  expectClose(await run(c, phase), twin(io, { ...shape, ...step }), bound, `${phase} ${c.name}`);
}

const named = (...names: string[]): Case[] => [...everyPhase, ...prefillOnly].filter((c) => names.includes(c.name));

describe('attention', () => {
  it.each(thinned(cases, 5))('%s, %s', (_name, phase, c) => check(c, phase));

  it('gives the same in one prefill as token by token', async () => {
    const all: Case = { name: 'tokens', tokens: 6, position: 126, capacity: 300, window: 100, sinks: 0.5 };
    const { heads, valueSize } = inputsOf(all).shape;
    const whole = await run(all, 'prefill');
    const q = inputsOf(all).io.q;
    expect(q.length).toBe(6 * heads * 16);
    const few = await run(all, 'decode');
    expect(few).toHaveLength(6 * heads * valueSize);
    expectClose(few, whole, 1e-5, 'prefill against decode');
  });

  it('asks for scratch only where splits exist, and says so when it is missing', async () => {
    const shape = { heads: 2, kvHeads: 2, keySize: 8, valueSize: 8, scale: 1, window: null, capacity: 129 };
    expect(partialsBytes({ heads: 2, valueSize: 8, capacity: 128, tokens: 8 })).toBe(0);
    expect(partialsBytes({ heads: 2, valueSize: 8, capacity: 129, tokens: 3 })).toBe(4 * 3 * 2 * 2 * 10);
    const x = normals(1, 16);
    const forgets = runKernel(gpu, {
      inputs: { x },
      outputs: { out: 16 },
      step: { tokens: 1, position: 0 },
      record: (r, v) =>
        attention(r, 'bare', { q: v.x!, kCache: v.x!, vCache: v.x!, out: v.out! }, { ...shape, phase: 'decode' }),
    });
    await expect(forgets).rejects.toThrow('needs partials');
  });

  it('chooses tiles that fit 16 KiB', () => {
    for (const size of [8, 16, 37, 64, 128, 192, 256, 576]) {
      const { queries, slice } = prefillTile({ keySize: size, valueSize: size });
      const quads = queries / 4;
      const parts = 64 / quads;
      const vectors = slice * (quads + 1) + Math.max(slice * (parts + 1), 4 * parts * quads) + 128 + quads;
      expect(16 * vectors).toBeLessThanOrEqual(16384);
      expect(decodeRows({ heads: 8, kvHeads: 1, keySize: size })).toBe(4);
    }
    // Latents: eight workgroups a split where there are so many heads; DeepSeek-V3 has 128, but four do not fit beside its row of 576.
    expect([4, 16, 20, 128].map((heads) => latentRows({ heads, keySize: 576, valueSize: 512 }))).toEqual([1, 2, 2, 2]);
    expect(decodeRows({ heads: 14, kvHeads: 2, keySize: 64 })).toBe(1);
    expect(decodeRows({ heads: 9, kvHeads: 3, keySize: 64 })).toBe(3);
  });
});

type Mutant = [what: string, from: string, to: string, caught: Case[]];
const mutants = (path: string, phase: AttentionShape['phase'], list: Mutant[]): void => {
  it.each(thinned(list, list.length))('notices a kernel that %s', async (_what, from, to, caught) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      path,
      (s) => s.replace(from, to),
      async () => {
        for (const c of caught) await check(c, phase);
      },
    );
  });
};

describe('mutants of attention/attention_prefill', () => {
  mutants('attention/attention_prefill', 'prefill', [
    ['drops the window test', '(key >= from_key) & (key <= position)', '(key <= position)', named('window_16')],
    ['sees one key too many', 'key <= position)', 'key <= position + 1u)', named('seven_tokens_from_the_start')],
    ['takes keys for values', 'v_value(row, min(i', 'k_value(row, min(i', named('keys_and_values_in_int8')],
    ['sees one key too few', 'key <= position)', 'key < position)', named('middle_of_the_cache')],
    ['forgets the scale', 'vec4(scored(product.x)', 'vec4(product.x', named('middle_of_the_cache')],
    ['forgets the sink', 'running_sum = vec4(1.0)', 'running_sum = vec4(0.0)', named('sinks')],
    ['takes the wrong kv head', 'head / (HEADS / KV_HEADS)', 'head % KV_HEADS', named('middle_of_the_cache')],
    [
      'does not fade earlier tiles',
      'sums[i * QUADS + o] *= fade',
      'sums[i * QUADS + o] *= 1.0',
      named('middle_of_the_cache'),
    ],
    [
      'reads values past the end',
      'let row = from_kv + min(base + j, end - 1u)',
      'let row = from_kv + base + j',
      named('middle_of_the_cache'),
    ],
    [
      'gives masked keys a logit of 0',
      'select(vec4(NOTHING)',
      'select(vec4(0.0)',
      named('window_that_leaves_tiles_without_keys'),
    ],
  ]);
});

describe('mutants of what scores and sees', () => {
  for (const phase of ['decode', 'prefill'] as const) {
    mutants('shared/softcap', phase, [['does not cap', 'return CAP *', 'return x * CAP *', named('capped')]]);
    mutants('shared/visible', phase, [
      [
        'sees a window in place of a stretch',
        'position / WINDOW * WINDOW',
        'position + 1u - min(position + 1u, WINDOW)',
        named('stretches_of_16'),
      ],
    ]);
  }
});

describe('mutants of attention/attention_decode', () => {
  mutants('attention/attention_decode', 'decode', [
    [
      'sees one key too many',
      'let end = min(position + 1u',
      'let end = min(position + 2u',
      named('seven_tokens_from_the_start'),
    ],
    ['drops the window', 'max(first_visible(position), split * CHUNK)', 'split * CHUNK', named('window_16')],
    ['forgets the sink', 'denominator[r] = 1.0', 'denominator[r] = 0.0', named('sinks')],
    [
      'takes the wrong kv head',
      'first_head / (HEADS / KV_HEADS)',
      'first_head % KV_HEADS',
      named('middle_of_the_cache'),
    ],
    [
      'counts the sink in every split',
      'if (alone) {\n    if (lane',
      'if (true) {\n    if (lane',
      named('crosses_into_a_split'),
    ],
  ]);
});

describe('mutants of attention/key_tiles', () => {
  mutants('attention/key_tiles', 'decode', [
    ['forgets the scale', 'select(NOTHING, scored(score)', 'select(NOTHING, score', named('middle_of_the_cache')],
    [
      'does not fade earlier tiles',
      '(*sums)[r * DIMS + i] *= decay[r]',
      '(*sums)[r * DIMS + i] *= 1.0',
      named('middle_of_the_cache'),
    ],
  ]);
});

describe('mutants of attention/attention_reduce', () => {
  mutants('attention/attention_reduce', 'decode', [
    ['forgets the last split', 's <= last; s++) {\n    let', 's < last; s++) {\n    let', named('starts_a_split')],
    ['forgets the sink', 'denominator = exp(sink - top)', 'denominator = 0.0', named('fills_the_cache_to_the_end')],
    ['forgets the maxima', 'exp(partials[at + VALUE_SIZE] - top)', '1.0', named('crosses_into_a_split')],
    ['starts before the window', 'first_visible(position) / CHUNK', '0u', named('window_across_later_splits')],
  ]);
});
