import { describe, expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { GREEDY } from '../../../src/gpu/step.ts';
import {
  MAX_TOP_LOGPROBS,
  readTopLogprobs,
  sampledWords,
  topLogprobs,
} from '../../../src/kernels/sample/top_logprobs.ts';
import { logSum } from '../../../src/reference/sample/sample.ts';
import { topLogprobs as twin } from '../../../src/reference/sample/top_logprobs.ts';
import { expectMutantToFail, POISON, runKernel } from '../../support/conformance.ts';
import { thinned } from '../../support/everyday.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });
const F32 = new Float32Array(1);
const bitsOf = (value: number): number => {
  F32[0] = value;
  return new Uint32Array(F32.buffer)[0]!;
};

interface Case {
  name: string;
  logits: Float32Array<ArrayBuffer>;
  top: number;
}

async function check({ name, logits, top }: Case): Promise<void> {
  const sampled = new Uint32Array(sampledWords(MAX_TOP_LOGPROBS)).fill(POISON);
  sampled[2] = bitsOf(logSum(logits));
  const sampling = { ...GREEDY, topLogprobs: top };
  const got = await runKernel(gpu, {
    inputs: { logits },
    outputs: { sampled },
    step: { tokens: 1, position: 3, sampling },
    record: (r, v) => topLogprobs(r, name, { logits: v.logits!, sampled: v.sampled! }, { vocab: logits.length }),
  });
  const words = got.sampled!;
  expect([...words.subarray(0, 4)], `${name}: what was drawn`).toEqual([...sampled.subarray(0, 4)]);
  expect(
    words.subarray(sampledWords(top)).every((w) => w === POISON),
    `${name}: words behind the last rank`,
  ).toBe(true);
  const ranked = readTopLogprobs(words, top, logits.length);
  const expected = twin(logits, top);
  expect(
    ranked.map(({ id }) => id),
    name,
  ).toEqual(expected.map(({ id }) => id));
  ranked.forEach(({ id, logprob }, rank) => {
    // One rounding of the difference and one of the sum, each of half an ulp.
    const bound = 1e-6 + 1.2e-7 * Math.abs(logits[id]!);
    if (logits[id]! > -1e30)
      expect(Math.abs(logprob - expected[rank]!.logprob), `${name}, ${rank}`).toBeLessThan(bound);
    else expect(logprob, `${name}, ${rank}`).toBeLessThan(-9e29);
  });
}

const equal = (length: number, value: number): Float32Array<ArrayBuffer> => new Float32Array(length).fill(value);
const withValues = (base: Float32Array<ArrayBuffer>, values: Record<number, number>): Float32Array<ArrayBuffer> => {
  for (const [id, value] of Object.entries(values)) base[Number(id)] = value;
  return base;
};

const cases: Case[] = [
  ...[1, 2, 19, 20, 21, 127, 128, 129, 577].map((vocab) => ({
    name: `vocab_${vocab}`,
    logits: normals(vocab, vocab, 2),
    top: 20,
  })),
  { name: 'one', logits: normals(3, 300), top: 1 },
  { name: 'equal', logits: equal(300, 1.5), top: 20 },
  {
    name: 'ties_within_and_across_lanes',
    logits: withValues(equal(1000, -2), { 800: 3, 417: 3, 289: 3, 161: 3, 162: 3, 999: 4 }),
    top: 8,
  },
  {
    name: 'all_of_one_lane',
    logits: Float32Array.from({ length: 4000 }, (_, i) => (i % 128 === 5 ? i / 500 : -9)),
    top: 20,
  },
  { name: 'signed_zeros', logits: withValues(equal(70, -1), { 3: -0, 2: 0, 60: 0, 61: -0 }), top: 5 },
  { name: 'masked', logits: withValues(equal(64, -Infinity), { 40: 3, 9: -1, 50: -1e38 }), top: 6 },
  { name: 'large', logits: normals(2, 577, 1e4), top: 20 },
  { name: 'vocab_50304', logits: normals(5, 50304, 2.5), top: 20 },
  { name: 'vocab_152064', logits: normals(6, 152064, 2), top: 5 },
];

describe('sample/top_logprobs', () => {
  it.each(thinned(cases, 3))('$name', check);

  const byName =
    (...names: string[]) =>
    async (): Promise<void> => {
      for (const c of cases) if (names.includes(c.name)) await check(c);
    };
  it.each([
    ['lets the higher id win a tie', 'a.id < b.id', 'a.id > b.id', byName('equal')],
    ['forgets the sum', '- bitcast<f32>(sampled[2])', '', byName('vocab_577')],
    ['takes the first lane for the owner', 'let owner = winner.id % WG;', 'let owner = 0u;', byName('vocab_577')],
    ['names a token twice', 'is_before(last, one) && ', '', byName('one', 'vocab_577')],
    ['looks at a part of the owner', 'owner + lane * WG, WG * WG', 'owner + lane * WG, V', byName('vocab_50304')],
    ['names one too many', 'rank < ranks', 'rank <= ranks', byName('one')],
  ])('notices a kernel that %s', async (_what, from, to, suite) => {
    await expectMutantToFail(gpu, shaderText, 'sample/top_logprobs', (text) => text.replace(from, to), suite);
  });
});
