/** attention_decode that makes the step's q, k and v itself, against the twins of the kernels that it replaces. */
import { describe, expect, it } from 'vitest';
import type { GroupedAttention, LatentAttention } from '../../../src/config/model-config.ts';
import type { BufferView } from '../../../src/gpu/buffer.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { attention, partialsBytes } from '../../../src/kernels/attention/attention.ts';
import { canMakeHeads, type HeadsSource } from '../../../src/kernels/attention/heads.ts';
import type { KvFormat } from '../../../src/config/kv-format.ts';
import { latentHeads } from '../../../src/kernels/attention/latent.ts';
import { groupedHeads } from '../../../src/kernels/attention/rotate_append.ts';
import { ropeTable } from '../../../src/layers/rope.ts';
import { attention as attentionTwin } from '../../../src/reference/attention/attention.ts';
import { decodeKv, encodeKv, keptRow } from '../../../src/reference/attention/kv_format.ts';
import { latentAbsorb as absorbTwin, latentRaise as raiseTwin } from '../../../src/reference/attention/latent.ts';
import { rotateAppend as groupedTwin } from '../../../src/reference/attention/rotate_append.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import type { Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, runKernel, type Words } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { thinned } from '../../support/everyday.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case {
  readonly name: string;
  readonly kind?: 'grouped' | 'latent';
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
  readonly kv?: KvFormat;
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
  { name: 'f16', position: 41, norm: 'per-head', kv: 'f16' },
  { name: 'f16_tokens_in_two_splits', tokens: 4, position: 126, capacity: 300, sinks: true, kv: 'f16' },
  { name: 'int8', position: 41, norm: 'per-head', kv: 'int8' },
  { name: 'int8_tokens_in_two_splits', tokens: 3, position: 126, heads: 6, kvHeads: 2, capacity: 300, kv: 'int8' },
  { name: 'latent_first', kind: 'latent' },
  { name: 'latent', kind: 'latent', position: 41, layout: INT4, kvRank: 96, heads: 16 },
  {
    name: 'latent_in_two_splits',
    kind: 'latent',
    tokens: 3,
    position: 126,
    capacity: 300,
    interleaved: true,
    kvRank: 72,
  },
  { name: 'latent_of_published_sizes', kind: 'latent', position: 9, heads: 2, size: 128, kvRank: 512 },
  { name: 'latent_in_f16', kind: 'latent', tokens: 2, position: 35, kv: 'f16' },
  { name: 'latent_in_int8', kind: 'latent', tokens: 2, position: 127, capacity: 300, kv: 'int8' },
];

const EPS = 1e-3; // large enough to be missed

interface Prepared {
  readonly inputs: Record<string, Words>;
  readonly source: (label: string, views: Readonly<Record<string, BufferView>>) => HeadsSource;
  readonly made: Made;
  readonly shape: { heads: number; kvHeads: number; keySize: number; valueSize: number };
  /** As they lie on the GPU, before; of latents the second is not there. */
  readonly kCache: Words;
  readonly vCache: Words;
  /** Of a head, and what attention's result becomes. */
  readonly outSize: number;
  readonly finish: (attended: Float64Array) => Float64Array;
}

interface Made {
  readonly q: Float64Array;
  readonly kCache: Float64Array;
  readonly vCache: Float64Array;
}

/** What a step makes, rounded as its caches are. @param sizes of rows of keys and of values */
function kept(made: Made, [keySize, valueSize]: readonly [number, number], { kv = 'f32' }: Case): Made {
  const rounded = (cache: Float64Array, size: number): Float64Array =>
    Float64Array.from(
      Array.from({ length: cache.length / size }, (_, r) => [...cache.slice(r * size, (r + 1) * size)]).flatMap(
        (row) => (row.some(Number.isNaN) ? row : keptRow(row, kv)),
      ),
    );
  return { q: made.q, kCache: rounded(made.kCache, keySize), vCache: rounded(made.vCache, valueSize) };
}

/** Words of a cache; positions that were never written are NaN, or, where integers cannot be, the scale is. */
const wordsOf = (cache: Float32Array<ArrayBuffer>, size: number, { kv = 'f32' }: Case): Words =>
  kv === 'f32' ? cache : encodeKv(cache, kv, size);

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
    made: kept(groupedTwin({ ...inputs, kCache, vCache }, twinShape), [size, size], c),
    shape: { heads, kvHeads, keySize: size, valueSize: size },
    kCache: wordsOf(kCache, size, c),
    vCache: wordsOf(vCache, size, c),
    outSize: size,
    finish: (attended) => attended,
  };
}

/** Its cache of values is that of the keys. */
function prepareLatent(c: Case): Prepared {
  const { tokens = 1, position = 0, heads = 3, size: nope = 16, capacity = 72, interleaved = false } = c;
  const { kvRank = 24, layout = { kind: 'bf16' } } = c;
  const [rope, value] = [8, 24];
  const keySize = kvRank + rope;
  const pairs = rope / 2;
  const inverseFrequencies = Array.from({ length: pairs }, (_, j) => 100 ** (-j / pairs));
  const config: LatentAttention = {
    ...{ kind: 'latent', heads, qRank: null, kvRank, nopeSize: nope, ropeSize: rope, valueSize: value, scale: 1 },
    ...{ innerNormEps: INNER_EPS, rope: { inverseFrequencies, amplitude: 1, interleaved } },
  };
  const latentAt = heads * (nope + rope);
  const row = latentAt + kvRank + rope;
  const matrix = { rows: heads * (nope + value), cols: kvRank };
  const words = encodeMatrix(normals(7, matrix.rows * matrix.cols, 0.3), layout, matrix);
  const weights = decodeMatrix(words, layout, matrix);
  const inputs = {
    mid: normals(1, tokens * row, 0.5),
    words,
    kvGamma: normals(8, kvRank, 0.2, 1),
    rope: ropeTable(config.rope, capacity),
  };
  const cache = cacheOf(4, 1, keySize, c);
  const size = { tokens, position, heads, nope, rope, value, kvRank, capacity, pairs, interleaved };
  const absorbed = absorbTwin(
    { q: inputs.mid, down: inputs.mid, weights, gamma: inputs.kvGamma, table: inputs.rope, cache },
    { ...size, eps: INNER_EPS, qRow: row, downRow: row, latentAt },
  );
  const { kCache } = kept({ ...absorbed, kCache: absorbed.cache, vCache: absorbed.cache }, [keySize, keySize], c);
  return {
    inputs,
    source: (label, v) =>
      latentHeads(
        label,
        { mid: v.mid!, kvUp: { view: v.words!, layout, ...matrix }, kvGamma: v.kvGamma!, rope: v.rope! },
        config,
      ),
    made: { q: absorbed.q, kCache, vCache: kCache.filter((_, i) => i % keySize < kvRank) },
    shape: { heads, kvHeads: 1, keySize, valueSize: kvRank },
    kCache: wordsOf(cache, keySize, c),
    vCache: new Float32Array(1),
    outSize: value,
    finish: (attended) => raiseTwin(attended, weights, size),
  };
}

/** Relative to the RMS: the sum of the bounds of attention and of what makes its heads; or where a rounding of a cache falls the other way. */
const BOUND: Readonly<Record<KvFormat, number>> = { f32: 1e-5, f16: 1e-3, int8: 1e-2 };

async function check(c: Case): Promise<void> {
  const { name, tokens = 1, position = 0, capacity = 72, window = null, kv = 'f32' } = c;
  const isLatent = c.kind === 'latent';
  const { inputs, source, made, shape, kCache, vCache, outSize, finish } = isLatent
    ? prepareLatent(c)
    : prepareGrouped(c);
  const sinks = c.sinks ? normals(6, shape.heads, 1) : undefined;
  // Of latents, scores are of as many products as the rank: less each.
  const whole = { ...shape, scale: isLatent ? 0.03 : 0.3, window, capacity, kv };
  const got = await runKernel(gpu, {
    inputs: { ...inputs, ...(sinks && { sinks }) },
    outputs: {
      out: tokens * shape.heads * outSize,
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
          vCache: isLatent ? v.kCache! : v.vCache!,
          partials: v.partials!,
          out: v.out!,
          ...(v.sinks && { sinks: v.sinks }),
        },
        { ...whole, phase: 'decode' },
      ),
  });
  const expected = finish(attentionTwin({ ...made, ...(sinks && { sinks }) }, { ...whole, tokens, position }));
  expectClose(asF32(got.out!), expected, BOUND[kv], `${name} out`);
  const valuesOf = (words: Uint32Array<ArrayBuffer>, size: number): ArrayLike<number> => decodeKv(words, kv, size);
  expectWritten(valuesOf(got.kCache!, shape.keySize), made.kCache, BOUND[kv], `${name} k`);
  if (!isLatent) expectWritten(valuesOf(got.vCache!, shape.valueSize), made.vCache, BOUND[kv], `${name} v`);
}

/** What the twin leaves unwritten must be so here. */
function expectWritten(actual: ArrayLike<number>, expected: Float64Array, bound: number, what: string): void {
  expect(Array.from(actual, Number.isNaN)).toEqual(Array.from(expected, Number.isNaN));
  const zeroed = (values: ArrayLike<number>): number[] => Array.from(values, (v) => (Number.isNaN(v) ? 0 : v));
  expectClose(zeroed(actual), zeroed(expected), bound, what);
}

describe('attention/attention_decode that makes its heads', () => {
  it.each(thinned(cases, 5))('$name', check);

  const DECODE = 'attention/attention_decode';
  it.each([
    ['leaves out its own key', DECODE, 'own < end; own++', 'own < end - 1u; own++', 'in_the_middle'],
    ['takes its own key from the cache, too', DECODE, 'min(end, own_from)', 'end', 'in_the_middle'],
    ['appends at the wrong place', DECODE, 'k_put(from_kv + own,', 'k_put(from_kv + own - 1u,', 'in_the_middle'],
    [
      "appends another token's key",
      DECODE,
      'own == position &&',
      'own != position &&',
      'several_tokens_see_each_other',
    ],
    ['forgets what came before', DECODE, 'denominator[r] * decay[r] +', '', 'several_tokens_see_each_other'],
    [
      'takes the key for the value',
      DECODE,
      '= head_at(own_t, HEADS + KV_HEADS +',
      '= head_at(own_t, HEADS +',
      'in_the_middle',
    ],
    ['does not scale its norms', DECODE, 'result.scale = norm_scale', 'let ignored = norm_scale', 'last_of_its_split'],
    [
      'does not clamp',
      'attention/grouped_heads',
      'value = clamp(',
      'let ignored = clamp(',
      'sizes_that_divide_by_nothing',
    ],
    ['forgets epsilon', 'attention/latent_heads', ' + EPS', '', 'latent_first'],
    ['takes down another head', 'attention/latent_heads', 'head * HEAD_ROWS + n', 'n', 'latent_in_two_splits'],
    ['leaves out a slice', 'attention/latent_heads', 's < SLICES', 's < SLICES - 1u', 'latent'],
    ["takes a scale's neighbour", 'attention/kv_up', 'at % 4u', '(at + 1u) % 4u', 'latent'],
    [
      'raises through the key rows',
      'attention/kv_raise',
      'head * HEAD_ROWS + NOPE',
      'head * HEAD_ROWS',
      'latent_first',
    ],
    ['raises once more', 'attention/attention_reduce', 'workgroup.y * PASSES', '1u * PASSES', 'latent_in_two_splits'],
    ['forgets the scale of a key', 'kv/int8', 'most / 127.0 * signed_bytes', 'signed_bytes', 'int8'],
    ['scales values by the key', DECODE, 'fresh_value[u], value_most)', 'fresh_value[u], most)', 'int8'],
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
