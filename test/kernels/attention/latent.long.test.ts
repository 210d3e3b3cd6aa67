import { describe, expect, it } from 'vitest';
import type { LatentAttention } from '../../../src/config/model-config.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import type { KvFormat } from '../../../src/config/kv-format.ts';
import { latentAbsorb, latentRaise } from '../../../src/kernels/attention/latent.ts';
import { ropeTable } from '../../../src/layers/rope.ts';
import { decodeKv, encodeKv } from '../../../src/reference/attention/kv_format.ts';
import { latentAbsorb as absorbTwin, latentRaise as raiseTwin } from '../../../src/reference/attention/latent.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import type { Layout } from '../../../src/weights/layout.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

const INT4: Layout = { kind: 'int', bits: 4, group: 32, scale: 'f16', zeros: true };
/** Of a row in the cache, relative to its RMS: half a step of f16; half a step of int8, whose largest value is some four RMS. */
const STEP: Readonly<Record<KvFormat, number>> = { f32: 5e-6, f16: 2e-3, int8: 2e-2 };
const EPS = 1e-2; // large enough to be missed

interface Case {
  name: string;
  tokens: number;
  phase?: 'decode' | 'prefill';
  position?: number;
  heads?: number;
  nope?: number;
  rope?: number;
  value?: number;
  kvRank?: number;
  interleaved?: boolean;
  layout?: Layout;
  kv?: KvFormat;
  /** The matrix holds the heads from here on. */
  firstHead?: number;
}
const cases: Case[] = [
  { name: 'one_token', tokens: 1, phase: 'decode', position: 4 },
  { name: 'prompt', tokens: 6, position: 9, kv: 'f16' },
  { name: 'prompt_in_int8', tokens: 5, position: 3, layout: INT4, kvRank: 64, kv: 'int8', interleaved: false },
  { name: 'sizes_that_divide_by_nothing', tokens: 2, phase: 'decode', nope: 13, rope: 6, value: 21, kvRank: 37 },
  { name: 'later_heads', tokens: 2, phase: 'decode', heads: 5, firstHead: 2 },
];

const CAPACITY = 16;

function inputsOf(c: Case) {
  const { tokens, position = 0, heads = 3, nope = 16, rope = 8, value = 24, kvRank = 40, interleaved = true } = c;
  const { layout = { kind: 'bf16' }, firstHead = 0, kv = 'f32' } = c;
  const pairs = rope / 2;
  const attention: LatentAttention = {
    ...{ kind: 'latent', heads, qRank: null, kvRank, nopeSize: nope, ropeSize: rope, valueSize: value, scale: 1 },
    innerNormEps: EPS,
    rope: {
      inverseFrequencies: Array.from({ length: pairs }, (_, j) => 100 ** (-j / pairs)),
      amplitude: 1,
      interleaved,
    },
  };
  const [qRow, latentAt] = [heads * (nope + rope), 5];
  const downRow = latentAt + kvRank + rope;
  const rows = (nope + value) * (heads - firstHead);
  const words = encodeMatrix(normals(7, rows * kvRank, 0.3), layout, { rows, cols: kvRank });
  const weights = new Float64Array(heads * (nope + value) * kvRank);
  weights.set(decodeMatrix(words, layout, { rows, cols: kvRank }), firstHead * (nope + value) * kvRank);
  const io = {
    q: normals(1, tokens * qRow),
    down: normals(2, tokens * downRow),
    gamma: normals(3, kvRank, 0.2, 1),
    table: ropeTable(attention.rope, CAPACITY),
    attended: normals(4, tokens * heads * kvRank),
  };
  const before = decodeKv(encodeKv(normals(5, CAPACITY * (kvRank + rope)), kv, kvRank + rope), kv, kvRank + rope);
  const shape = { tokens, position, heads, nope, rope, value, kvRank, capacity: CAPACITY, pairs, interleaved };
  const twin = { ...shape, eps: EPS, qRow, downRow, latentAt };
  return { attention, io, words, weights, before, twin, matrix: { layout, rows, cols: kvRank }, firstHead, kv };
}

/** Values of heads that the matrix does not hold stay unwritten. */
const ofHeads = <T extends Float32Array | Float64Array>(values: T, heads: number, size: number, first: number): T =>
  values.filter((_, i) => Math.floor(i / size) % heads >= first) as T;

async function check(c: Case): Promise<void> {
  const { attention, io, words, weights, before, twin, matrix, firstHead, kv } = inputsOf(c);
  const { tokens, position, heads, value, kvRank, rope, qRow, downRow, latentAt } = twin;
  const phase = c.phase ?? 'prefill';
  const key = kvRank + rope;
  const got = await runKernel(gpu, {
    inputs: { ...io, words },
    outputs: { q2: tokens * heads * key, cache: encodeKv(before, kv, key), out: tokens * heads * value },
    step: { tokens, position },
    record: (r, v) => {
      const kvUp = { matrix: { view: v.words!, ...matrix }, firstHead };
      const absorbed = { out: v.q2!, cache: { keys: v.cache!, capacity: CAPACITY, format: kv } };
      latentAbsorb(
        r,
        c.name,
        { q: v.q!, down: v.down!, kvUp, kvGamma: v.gamma!, rope: v.table!, ...absorbed },
        { attention, phase, qRow, downRow, latentAt },
      );
      latentRaise(r, c.name, { attended: v.attended!, kvUp, out: v.out! }, { attention, phase });
    },
  });
  const expected = absorbTwin({ ...io, weights, cache: before }, twin);
  // Sums of at most 64 products of values near 1.
  const own = (x: Float32Array | Float64Array, size: number) => ofHeads(x, heads, size, firstHead);
  expectClose(own(asF32(got.q2!), key), own(expected.q, key), 5e-6, `${c.name} q`);
  const cached = firstHead === 0 ? expected.cache : before;
  expectClose(decodeKv(got.cache!, kv, key), cached, STEP[kv], `${c.name} cache`);
  const raised = raiseTwin(io.attended, weights, twin);
  expectClose(own(asF32(got.out!), value), own(raised, value), 5e-6, `${c.name} out`);
}

const named = (name: string): Case => cases.find((c) => c.name === name)!;

describe('attention/latent_absorb and latent_raise', () => {
  it.each(cases)('$name', check);

  it('refuses a step that overruns the cache', async () => {
    await expect(check({ name: 'overrun', tokens: 3, position: 14 })).rejects.toThrow('overrun a cache of 16');
  });

  const [ABSORB, RAISE, ROW] = ['attention/latent_absorb', 'attention/latent_raise', 'attention/latent_row'];
  it.each([
    [
      'takes the value rows',
      ABSORB,
      'let row = head * HEAD_ROWS + n',
      'let row = head * HEAD_ROWS + NOPE + n',
      'prompt',
    ],
    ['appends at t', 'shared/place', 'return u_step.position + t;', 'return t;', 'one_token'],
    ['appends the same token again', ABSORB, 't++) { append(t, lane)', 't++) { append(first, lane)', 'prompt'],
    ['takes the key rows', RAISE, '+ NOPE + v)', '+ v)', 'prompt'],
    ['ignores where heads begin', RAISE, 'HEAD_AT + own', 'own', 'later_heads'],
    ['forgets epsilon', ABSORB, ' + EPS', '', 'one_token'],
    ['does not turn the key', ROW, 'if (r >= 2u * PAIRS) { return down', 'if (r >= 0u) { return down', 'one_token'],
    ['forgets a scale', 'kv/int8', 'most / 127.0)', '1.0)', 'prompt_in_int8'],
    ['swaps halves', 'kv/f16', 'cache[at] = w.x', 'cache[at] = w.y', 'prompt'],
  ])('notices a kernel that %s', async (_what, path, from, to, name) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      path,
      (s) => s.replace(from, to),
      () => check(named(name)),
    );
  });
});
