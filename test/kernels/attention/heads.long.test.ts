/** attention_decode that makes the step's q, k and v itself, against the twins of the kernels that it replaces. */
import { describe, expect, it } from 'vitest';
import type { GroupedAttention, LatentAttention } from '../../../src/config/model-config.ts';
import type { BufferView } from '../../../src/gpu/buffer.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { attention, partialsBytes } from '../../../src/kernels/attention/attention.ts';
import { canMakeHeads, type HeadsSource } from '../../../src/kernels/attention/heads.ts';
import { latentHeads, risingHeads } from '../../../src/kernels/attention/latent_append.ts';
import { groupedHeads } from '../../../src/kernels/attention/rotate_append.ts';
import { ropeTable } from '../../../src/layers/rope.ts';
import { attention as attentionTwin } from '../../../src/reference/attention/attention.ts';
import { latentAppend as latentTwin } from '../../../src/reference/attention/latent_append.ts';
import { rotateAppend as groupedTwin } from '../../../src/reference/attention/rotate_append.ts';
import { linear as linearTwin } from '../../../src/reference/linear/linear.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import type { Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, runKernel, type Words } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { thinned } from '../../support/everyday.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case {
  readonly name: string;
  readonly kind?: 'grouped' | 'latent' | 'rising';
  readonly tokens?: number;
  readonly position?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  /** Of a grouped head; the nope part of a latent one. */
  readonly size?: number;
  readonly capacity?: number;
  readonly window?: number;
  readonly sinks?: boolean;
  readonly norm?: GroupedAttention['qkNorm'];
  readonly clip?: number;
  readonly interleaved?: boolean;
  readonly kvRank?: number;
  readonly layout?: Layout;
}

const INT4: Layout = { kind: 'int', bits: 4, group: 32, scale: 'f16', zeros: true };
/** Large enough to be missed. */
const INNER_EPS = 1e-2;

const cases: Case[] = [
  { name: 'no_tokens', tokens: 0 },
  { name: 'first_token' },
  { name: 'in_the_middle', position: 41 },
  { name: 'several_tokens_see_each_other', tokens: 5, position: 41, norm: 'per-head' },
  { name: 'several_tokens_from_the_start', tokens: 3, window: 2 },
  { name: 'three_heads_a_kv_head', position: 9, heads: 9, kvHeads: 3, size: 64, norm: 'per-head' },
  { name: 'two_workgroups_a_kv_head', position: 9, heads: 8, kvHeads: 1, size: 128 },
  { name: 'sizes_that_divide_by_nothing', position: 33, heads: 10, kvHeads: 2, size: 38, clip: 0.8 },
  { name: 'norm_over_the_projection', position: 7, heads: 6, kvHeads: 2, size: 24, norm: 'full', interleaved: true },
  { name: 'window_without_the_first_key', position: 16, window: 16, sinks: true },
  { name: 'window_of_one', position: 6, window: 1, sinks: true },
  { name: 'alone_in_its_split', position: 128, capacity: 300, sinks: true },
  { name: 'last_of_its_split', position: 127, capacity: 300, norm: 'full' },
  { name: 'tokens_in_two_splits', tokens: 4, position: 126, capacity: 300, sinks: true },
  { name: 'fills_the_cache', position: 299, capacity: 300, norm: 'per-head' },
  { name: 'latent', kind: 'latent', position: 5 },
  { name: 'latent_tokens_in_two_splits', kind: 'latent', tokens: 4, position: 126, capacity: 300, interleaved: true },
  { name: 'latent_of_published_sizes', kind: 'latent', position: 9, heads: 2, size: 128 },
  { name: 'rising_first', kind: 'rising', kvRank: 21 },
  {
    name: 'rising_in_two_splits',
    kind: 'rising',
    tokens: 3,
    position: 126,
    capacity: 300,
    interleaved: true,
    kvRank: 64,
  },
  { name: 'rising_from_integers', kind: 'rising', position: 9, heads: 2, size: 64, kvRank: 96, layout: INT4 },
];

/** From the latent: [T, H (nope + value)]. */
function risenOf(
  mid: Float32Array,
  gamma: Float32Array,
  weights: ArrayLike<number>,
  { row, at, rank, rows }: { row: number; at: number; rank: number; rows: number },
): Float64Array {
  const tokens = mid.length / row;
  return linearTwin({ x: mid, weights, gamma }, { tokens, rows, cols: rank, xRow: row, xAt: at, eps: INNER_EPS });
}

const EPS = 1e-3; // large enough to be missed

interface Prepared {
  readonly inputs: Record<string, Words>;
  readonly source: (label: string, views: Readonly<Record<string, BufferView>>) => HeadsSource;
  readonly made: { q: Float64Array; kCache: Float64Array; vCache: Float64Array };
  readonly shape: { heads: number; kvHeads: number; keySize: number; valueSize: number };
  readonly kCache: Float32Array<ArrayBuffer>;
  readonly vCache: Float32Array<ArrayBuffer>;
}

/** A cache whose positions from `position` on were never written. */
function cacheOf(seed: number, heads: number, size: number, { position = 0, capacity = 72 }: Case) {
  const cache = normals(seed, heads * capacity * size);
  for (let h = 0; h < heads; h++) cache.fill(NaN, (h * capacity + position) * size, (h + 1) * capacity * size);
  return cache;
}

function prepareGrouped(c: Case): Prepared {
  const { tokens = 1, position = 0, heads = 4, kvHeads = 2, size = 16, capacity = 72, norm = 'none' } = c;
  const { clip = null, interleaved = false, window = null, sinks = false } = c;
  const pairs = Math.floor(size / 4);
  const inverseFrequencies = Array.from({ length: pairs }, (_, j) => 100 ** (-j / pairs));
  const rope = { inverseFrequencies, amplitude: 1.2, interleaved };
  const config: GroupedAttention = {
    ...{ kind: 'grouped', heads, kvHeads, headSize: size, scale: 1, qkNorm: norm, clip },
    ...{ bias: { qkv: false, o: false }, window, sinks, rope },
  };
  const stretch = (n: number): number => (norm === 'full' ? n * size : size);
  const inputs = {
    qkv: normals(1, tokens * (heads + 2 * kvHeads) * size, 0.9),
    ...(norm !== 'none' && {
      qGamma: normals(2, stretch(heads), 0.2, 1),
      kGamma: normals(3, stretch(kvHeads), 0.2, 1),
    }),
    rope: ropeTable(rope, capacity),
  };
  const [kCache, vCache] = [cacheOf(4, kvHeads, size, c), cacheOf(5, kvHeads, size, c)];
  const twinShape = { tokens, position, heads, kvHeads, size, capacity, norm, eps: EPS, clip, pairs, interleaved };
  return {
    inputs,
    source: (label, v) =>
      groupedHeads(
        label,
        { qkv: v.qkv!, rope: v.rope!, ...(v.qGamma && v.kGamma && { qGamma: v.qGamma, kGamma: v.kGamma }) },
        { attention: config, normEps: EPS },
      ),
    made: groupedTwin({ ...inputs, kCache, vCache }, twinShape),
    shape: { heads, kvHeads, keySize: size, valueSize: size },
    kCache,
    vCache,
  };
}

function prepareLatent(c: Case): Prepared {
  const { tokens = 1, position = 0, heads = 3, size: nope = 16, capacity = 72, interleaved = false } = c;
  const { kvRank = 20, layout = { kind: 'bf16' } } = c;
  const [rope, value] = [8, 24];
  const keySize = nope + rope;
  const pairs = rope / 2;
  const inverseFrequencies = Array.from({ length: pairs }, (_, j) => 100 ** (-j / pairs));
  const config: LatentAttention = {
    ...{ kind: 'latent', heads, qRank: null, kvRank, nopeSize: nope, ropeSize: rope, valueSize: value, scale: 1 },
    ...{ innerNormEps: INNER_EPS, rope: { inverseFrequencies, amplitude: 1, interleaved } },
  };
  const row = heads * keySize + kvRank + rope;
  const matrix = { rows: heads * (nope + value), cols: kvRank };
  const words = encodeMatrix(normals(7, matrix.rows * matrix.cols, 0.3), layout, matrix);
  const mid = normals(1, tokens * row);
  const kvGamma = normals(8, kvRank, 0.2, 1);
  const isRising = c.kind === 'rising';
  const at = { row, at: heads * keySize, rank: kvRank, rows: matrix.rows };
  const kvUp = isRising
    ? risenOf(mid, kvGamma, decodeMatrix(words, layout, matrix), at)
    : normals(2, tokens * matrix.rows);
  const inputs = {
    mid,
    ...(isRising ? { words, kvGamma } : { kvUp: Float32Array.from(kvUp) }),
    rope: ropeTable(config.rope, capacity),
  };
  const [kCache, vCache] = [cacheOf(4, heads, keySize, c), cacheOf(5, heads, value, c)];
  const [places, size] = [
    { qRow: row, qAt: 0 },
    { tokens, position, heads, nope, rope, value, kvRank, capacity },
  ];
  return {
    inputs,
    source: (label, v) =>
      isRising
        ? risingHeads(
            label,
            { mid: v.mid!, kvUp: { view: v.words!, layout, ...matrix }, kvGamma: v.kvGamma!, rope: v.rope! },
            config,
          )
        : latentHeads(
            label,
            { q: v.mid!, kvUp: v.kvUp!, kvDown: v.mid!, rope: v.rope! },
            { attention: config, ...places, kvDownRow: row, kvDownAt: heads * keySize },
          ),
    made: latentTwin(
      { q: mid, kvUp, kvDown: mid, table: inputs.rope, kCache, vCache },
      {
        ...{ ...size, ...places, pairs, interleaved, upRow: heads * (nope + value), upAt: 0 },
        ...{ downRow: row, downAt: heads * keySize },
      },
    ),
    shape: { heads, kvHeads: heads, keySize, valueSize: value },
    kCache,
    vCache,
  };
}

async function check(c: Case): Promise<void> {
  const { name, tokens = 1, position = 0, capacity = 72, window = null } = c;
  const { inputs, source, made, shape, kCache, vCache } =
    (c.kind ?? 'grouped') === 'grouped' ? prepareGrouped(c) : prepareLatent(c);
  const sinks = c.sinks ? normals(6, shape.heads, 1) : undefined;
  const whole = { ...shape, scale: 0.3, window, capacity };
  const got = await runKernel(gpu, {
    inputs: { ...inputs, ...(sinks && { sinks }) },
    outputs: {
      out: tokens * shape.heads * shape.valueSize,
      partials: partialsBytes({ ...whole, tokens }) / 4,
      kCache,
      vCache,
    },
    step: { tokens, position },
    record: (r, v) =>
      attention(
        r,
        name,
        {
          q: source(name, v),
          kCache: v.kCache!,
          vCache: v.vCache!,
          partials: v.partials!,
          out: v.out!,
          ...(v.sinks && { sinks: v.sinks }),
        },
        { ...whole, phase: 'decode' },
      ),
  });
  const expected = attentionTwin({ ...made, ...(sinks && { sinks }) }, { ...whole, tokens, position });
  // The sum of the bounds of attention and of rotate_append.
  expectClose(asF32(got.out!), expected, 1e-5, `${name} out`);
  expectWritten(asF32(got.kCache!), made.kCache, `${name} k`);
  expectWritten(asF32(got.vCache!), made.vCache, `${name} v`);
}

/** What the twin leaves unwritten must be so here. */
function expectWritten(actual: Float32Array, expected: Float64Array, what: string): void {
  expect([...actual].map(Number.isNaN)).toEqual([...expected].map(Number.isNaN));
  const zeroed = (values: ArrayLike<number>): number[] => Array.from(values, (v) => (Number.isNaN(v) ? 0 : v));
  expectClose(zeroed(actual), zeroed(expected), 5e-6, what);
}

describe('attention/attention_decode that makes its heads', () => {
  it.each(thinned(cases, 5))('$name', check);

  const DECODE = 'attention/attention_decode';
  it.each([
    ['leaves out its own key', DECODE, 'own < end; own++', 'own < end - 1u; own++', 'in_the_middle'],
    ['takes its own key from the cache, too', DECODE, 'min(end, own_from)', 'end', 'in_the_middle'],
    ['appends at the wrong place', DECODE, '(from_kv + own) * UNITS', '(from_kv + own - 1u) * UNITS', 'in_the_middle'],
    [
      "appends another token's key",
      DECODE,
      'own == position &&',
      'own != position &&',
      'several_tokens_see_each_other',
    ],
    ['forgets what came before', DECODE, 'denominator[r] * decay[r] +', '', 'several_tokens_see_each_other'],
    ['takes the key for the value', DECODE, 'HEADS + KV_HEADS + kv_head', 'HEADS + kv_head', 'in_the_middle'],
    ['does not scale its norms', DECODE, 'result.scale = norm_scale', 'let ignored = norm_scale', 'last_of_its_split'],
    [
      'does not clamp',
      'attention/grouped_heads',
      'value = clamp(',
      'let ignored = clamp(',
      'sizes_that_divide_by_nothing',
    ],
    ['forgets epsilon', 'attention/latent_heads', ' + EPS', '', 'rising_first'],
    ['raises another head', 'attention/latent_heads', 'head * RISEN + at', 'at', 'rising_in_two_splits'],
    ["takes a scale's neighbour", 'attention/latent_heads', 'at % 4u', '(at + 1u) % 4u', 'rising_from_integers'],
    ['turns nothing', 'attention/latent_heads', 'r >= 2u * PAIRS', 'r >= 0u', 'latent'],
  ])('notices one that %s', async (_what, path, from, to, name) => {
    const caught = cases.find((c) => c.name === name)!;
    await expectMutantToFail(
      gpu,
      shaderText,
      path,
      (s) => s.replace(from, to),
      () => check(caught),
    );
  });

  it('says where there are too many buffers', () => {
    const bindings = Object.fromEntries(['qkv', 'rope', 'q_gamma', 'k_gamma'].map((name) => [name, {} as BufferView]));
    const source: HeadsSource = { module: 'attention/grouped_heads', constants: {}, bindings };
    expect(canMakeHeads(source, { splits: 9, sinks: false })).toBe(true);
    expect(canMakeHeads(source, { splits: 1, sinks: true })).toBe(true);
    expect(canMakeHeads(source, { splits: 2, sinks: true })).toBe(false);
  });
});
