import { describe, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { layerNorm } from '../../../src/kernels/norm/layer_norm.ts';
import { layerNorm as twin } from '../../../src/reference/norm/layer_norm.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { thinned } from '../../support/everyday.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case {
  readonly name: string;
  readonly tokens: number;
  readonly size: number;
  readonly bias?: boolean;
  readonly spread?: number;
  readonly mean?: number;
}
const cases: Case[] = [
  { name: 'no_tokens', tokens: 0, size: 64 },
  { name: 'one_value', tokens: 3, size: 1, bias: true },
  { name: 'less_than_a_workgroup', tokens: 2, size: 37 },
  { name: 'prime_sizes', tokens: 7, size: 577, bias: true },
  { name: 'far_from_zero', tokens: 2, size: 128, mean: 100, bias: true },
  { name: 'tiny_values', tokens: 2, size: 128, spread: 1e-4 },
];

async function check({ name, tokens, size, bias = false, spread = 1, mean = 0 }: Case): Promise<void> {
  const x = normals(1, tokens * size, spread, mean);
  const gains = normals(2, bias ? 2 * size : size, 0.2, 1);
  const eps = 1e-5;
  const got = await runKernel(gpu, {
    inputs: { x, gains },
    outputs: { out: tokens * size },
    step: { tokens, position: 0 },
    record: (r, v) => layerNorm(r, name, { x: v.x!, gains: v.gains!, out: v.out! }, { size, eps, bias }),
  });
  // x - mean loses what its own rounding is of the mean: 100 spreads lie 7 bits above 6e-8.
  expectClose(asF32(got.out!), twin(x, gains, { tokens, size, eps }), mean === 0 ? 5e-6 : 1e-4, name);
}

describe('norm/layer_norm', () => {
  it.each(thinned(cases, 3))('$name', check);
  it.each([
    ['forgets epsilon', (s: string) => s.replace('+ EPS', '')],
    ['forgets the mean', (s: string) => s.replace('(x[t * D + d] - center) * scale', 'x[t * D + d] * scale')],
    ['squares without the mean', (s: string) => s.replace('let v = x[t * D + d] - center', 'let v = x[t * D + d]')],
    ['takes gains for biases', (s: string) => s.replace('gains[D + d]', 'gains[d]')],
  ])('notices a kernel that %s', async (_what, mutate) => {
    await expectMutantToFail(gpu, shaderText, 'norm/layer_norm', mutate, async () => {
      for (const c of cases) await check(c);
    });
  });
});
