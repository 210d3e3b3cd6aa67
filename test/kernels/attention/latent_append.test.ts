import { describe, it } from 'vitest';
import type { LatentAttention } from '../../../src/config/model-config.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { latentAppend } from '../../../src/kernels/attention/latent_append.ts';
import { ropeTable } from '../../../src/layers/rope.ts';
import { latentAppend as twin } from '../../../src/reference/attention/latent_append.ts';
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
  nope?: number;
  rope?: number;
  value?: number;
  kvRank?: number;
  capacity?: number;
  interleaved?: boolean;
  /** q, latent and rope key in one row of one buffer. */
  fused?: boolean;
}
const cases: Case[] = [
  { name: 'no_tokens', tokens: 0 },
  { name: 'one_token_at_the_start', tokens: 1 },
  { name: 'fills_the_cache_to_the_end', tokens: 7, position: 4, capacity: 11 },
  { name: 'more_tokens_than_a_workgroup', tokens: 33, position: 5, capacity: 40, heads: 2 },
  { name: 'half_split', tokens: 3, position: 9, interleaved: false },
  { name: 'q_latent_and_key_fused', tokens: 3, position: 2, heads: 3, fused: true },
  {
    name: 'published_sizes',
    tokens: 2,
    position: 5,
    heads: 2,
    nope: 128,
    rope: 64,
    value: 128,
    kvRank: 512,
    fused: true,
  },
  { name: 'values_wider_than_keys', tokens: 2, position: 5, nope: 8, rope: 6, value: 70 },
];

async function check(c: Case): Promise<void> {
  const { name, tokens, position = 0, heads = 4, nope = 16, rope = 8, value = 16, kvRank = 20, capacity = 16 } = c;
  const { interleaved = true, fused = false } = c;
  const pairs = rope / 2;
  const attention: LatentAttention = {
    kind: 'latent',
    heads,
    qRank: null,
    kvRank,
    nopeSize: nope,
    ropeSize: rope,
    valueSize: value,
    scale: 1,
    innerNormEps: 1e-6,
    rope: {
      inverseFrequencies: Array.from({ length: pairs }, (_, j) => 100 ** (-j / pairs)),
      amplitude: 1,
      interleaved,
    },
  };
  const qSize = heads * (nope + rope);
  const mid = qSize + kvRank + rope;
  const q = normals(1, tokens * (fused ? mid : qSize));
  const kvUp = normals(2, tokens * heads * (nope + value));
  const kvDown = normals(3, tokens * (kvRank + rope));
  const table = ropeTable(attention.rope, capacity);
  const kCache = normals(4, heads * capacity * (nope + rope));
  const vCache = normals(5, heads * capacity * value);
  const got = await runKernel(gpu, {
    inputs: { q, kvUp, kvDown, table },
    outputs: { qOut: tokens * qSize, kCache, vCache },
    step: { tokens, position },
    record: (r, v) =>
      latentAppend(
        r,
        name,
        {
          q: v.q!,
          kvUp: v.kvUp!,
          kvDown: fused ? v.q! : v.kvDown!,
          rope: v.table!,
          qOut: v.qOut!,
          kCache: v.kCache!,
          vCache: v.vCache!,
        },
        { attention, capacity, ...(fused && { qRow: mid, kvDownRow: mid, kvDownAt: qSize }) },
      ),
  });
  const expected = twin(
    { q, kvUp, kvDown: fused ? q : kvDown, table, kCache, vCache },
    {
      tokens,
      position,
      heads,
      nope,
      rope,
      value,
      kvRank,
      capacity,
      pairs,
      interleaved,
      qRow: fused ? mid : qSize,
      qAt: 0,
      upRow: heads * (nope + value),
      upAt: 0,
      downRow: fused ? mid : kvRank + rope,
      downAt: fused ? qSize : 0,
    },
  );
  // Two products and a sum of f32 values of about 1; the rest is copied.
  expectClose(asF32(got.qOut!), expected.q, 1e-6, `${name} q`);
  expectClose(asF32(got.kCache!), expected.kCache, 1e-6, `${name} k`);
  expectClose(asF32(got.vCache!), expected.vCache, 0, `${name} v`);
}

describe('attention/latent_append', () => {
  it.each(thinned(cases, 3))('$name', check);

  const HEADS = 'attention/latent_heads';
  it.each([
    ['appends at t', 'attention/latent_append', 'let position = u_step.position + t', 'let position = t'],
    ['takes the latent for the rope key', HEADS, 'DOWN_ROW + KEY_AT', 'DOWN_ROW'],
    ['takes the key for the value', HEADS, 'select(0u, NOPE, is_v)', '0u'],
    ['does not turn the key', HEADS, 'if (r >= 2u * PAIRS)', 'if (!head.is_q)'],
  ])('notices a kernel that %s', async (_what, path, from, to) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      path,
      (s) => s.replace(from, to),
      async () => {
        for (const c of cases.filter((k) => k.name === 'q_latent_and_key_fused')) await check(c);
      },
    );
  });
});
