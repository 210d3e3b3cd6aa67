import { describe, expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { pickHeads, spreadHeads } from '../../../src/kernels/attention/pick_heads.ts';
import { pickHeads as pickTwin, spreadHeads as spreadTwin } from '../../../src/reference/attention/pick_heads.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

const cases = [
  { name: 'no_tokens', tokens: 0, experts: 4, topK: 2, group: 2, size: 8 },
  { name: 'one_of_everything', tokens: 1, experts: 1, topK: 1, group: 1, size: 1 },
  { name: 'plain', tokens: 3, experts: 8, topK: 2, group: 2, size: 16 },
  { name: 'odd_sizes', tokens: 5, experts: 7, topK: 3, group: 3, size: 11 },
  { name: 'more_experts_than_lanes', tokens: 2, experts: 67, topK: 2, group: 1, size: 5, rising: true },
  { name: 'tied', tokens: 2, experts: 6, topK: 4, group: 2, size: 4, tied: true },
];
type Case = (typeof cases)[number];

function inputOf({ tokens, experts, group, size, tied = false, rising = false }: Case): Float32Array<ArrayBuffer> {
  const row = (experts + 2) * group * size + experts;
  return normals(1, tokens * row).map((v, i) => {
    const e = (i % row) - (row - experts);
    if (e < 0) return v;
    return tied ? 1 : rising ? v + e : v;
  });
}

async function checkPick(c: Case): Promise<void> {
  const x = inputOf(c);
  const got = await runKernel(gpu, {
    inputs: { x },
    outputs: { picked: c.tokens * (c.topK + 2) * c.group * c.size, chosen: c.tokens * 2 * c.topK },
    step: { tokens: c.tokens, position: 0 },
    record: (r, v) => pickHeads(r, c.name, { x: v.x!, picked: v.picked!, chosen: v.chosen! }, c),
  });
  const { picked, ids, weights } = pickTwin(x, c);
  expectClose(asF32(got.picked!), picked, 0, c.name);
  const part = <A extends { slice(from: number, to: number): A }>(from: A, half: number): A[] =>
    ids.map((_, t) => from.slice((2 * t + half) * c.topK, (2 * t + half + 1) * c.topK));
  expect(part(got.chosen!, 0).flatMap((of) => [...of])).toEqual(ids.flat());
  // Two exponentials of 3 ulp and a quotient.
  expectClose(Float32Array.from(part(asF32(got.chosen!), 1).flatMap((of) => [...of])), weights.flat(), 2e-6, c.name);
}

async function checkSpread(c: Case): Promise<void> {
  const { ids, weights } = pickTwin(inputOf(c), c);
  const attended = normals(2, c.tokens * c.group * c.topK * c.size);
  const chosen = Uint32Array.from(
    ids.flatMap((of, t) => [...of, ...new Uint32Array(Float32Array.from(weights[t]!).buffer)]),
  );
  const got = await runKernel(gpu, {
    inputs: { attended, chosen },
    outputs: { out: c.tokens * c.experts * c.group * c.size },
    step: { tokens: c.tokens, position: 0 },
    record: (r, v) => spreadHeads(r, c.name, { attended: v.attended!, chosen: v.chosen!, out: v.out! }, c),
  });
  // Weights rounded to f32, and a product: 1.2e-7 each of the few values that are not 0.
  expectClose(asF32(got.out!), spreadTwin(attended, { ids, weights }, c), 5e-6, c.name);
}

const named = (name: string): Case => cases.find((c) => c.name === name)!;

describe('attention/pick_heads', () => {
  it.each(cases)('$name', checkPick);
  it.each([
    ['takes the next expert', 'place < TOP_K', 'place <= TOP_K && place > 0u', 'plain'],
    ['gives ties to the higher id', 'other < e', 'other > e', 'tied'],
    ['leaves heads beside those of their expert', 'best[head % TOP_K]', 'best[head / GROUP]', 'odd_sizes'],
    ['forgets the softmax', ' / total)', ')', 'plain'],
    ['looks at one round of experts', '(EXPERTS + WG - 1u) / WG', '1u', 'more_experts_than_lanes'],
  ])('notices a kernel that %s', async (_what, from, to, name) => {
    const mutate = (s: string): string => s.replace(from, to);
    await expectMutantToFail(gpu, shaderText, 'attention/pick_heads', mutate, () => checkPick(named(name)));
  });
});

describe('attention/spread_heads', () => {
  it.each(cases)('$name', checkSpread);
  it.each([
    ['forgets the weight', 'value = weight * ', 'value = ', 'plain'],
    ['fills every place', '== e)', '!= 12345u)', 'plain'],
    ['takes the heads of one expert for all', 'head * TOP_K + k)', 'head * TOP_K)', 'odd_sizes'],
  ])('notices a kernel that %s', async (_what, from, to, name) => {
    const mutate = (s: string): string => s.replace(from, to);
    await expectMutantToFail(gpu, shaderText, 'attention/spread_heads', mutate, () => checkSpread(named(name)));
  });
});
