import { describe, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { rmsNorm } from '../../../src/kernels/norm/rms_norm.ts';
import { rmsNorm as twin } from '../../../src/reference/norm/rms_norm.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { thinned } from '../../support/everyday.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

interface Case {
  name: string;
  tokens: number;
  size: number;
  groups?: number;
  row?: number;
  at?: number;
  scale?: number;
  /** Added, with all else times 0.3. */
  residual?: boolean;
  total?: number;
}
const cases: Case[] = [
  { name: 'no_tokens', tokens: 0, size: 64 },
  { name: 'one_token', tokens: 1, size: 64 },
  { name: 'one_value', tokens: 3, size: 1 },
  { name: 'less_than_a_workgroup', tokens: 2, size: 37 },
  { name: 'prime_sizes', tokens: 7, size: 577 },
  { name: 'part_of_a_row', tokens: 5, size: 24, row: 40, at: 9 },
  { name: 'groups_inside_a_row', tokens: 3, size: 12, groups: 3, row: 40, at: 2 },
  { name: 'added', tokens: 3, size: 70, residual: true },
  { name: 'groups_added', tokens: 3, size: 12, groups: 3, residual: true },
  { name: 'all_scaled', tokens: 3, size: 70, residual: true, total: 0.7 },
  { name: 'large_values', tokens: 2, size: 128, scale: 1e5 },
  { name: 'tiny_values', tokens: 2, size: 128, scale: 1e-12 },
];

async function check({ name, tokens, size, groups = 1, ...c }: Case): Promise<void> {
  const { row = groups * size, at = 0, scale = 1 } = c;
  const x = normals(1, tokens * row, scale);
  const gamma = normals(2, groups * size, 0.2, 1);
  const eps = 1e-5;
  const residual = normals(3, tokens * groups * size);
  const outer = c.residual ? { scale: 0.3 } : {};
  const got = await runKernel(gpu, {
    inputs: { x, gamma, ...(c.residual ? { residual } : {}), ...(c.total ? { total: Float32Array.of(c.total) } : {}) },
    outputs: { out: tokens * groups * size },
    step: { tokens, position: 0 },
    record: (r, v) => {
      const added = { ...(v.residual ? { residual: v.residual } : {}), ...(v.total ? { total: v.total } : {}) };
      rmsNorm(r, name, { x: v.x!, gamma: v.gamma!, out: v.out!, ...added }, { size, eps, groups, row, at, ...outer });
    },
  });
  // Sums of up to 577 f32 squares, an inverseSqrt of 2 ulp and two products: a few 1e-7 each.
  expectClose(
    asF32(got.out!),
    twin(
      x,
      gamma,
      { tokens, size, eps, groups, row, at, ...outer, ...(c.total ? { total: c.total } : {}) },
      c.residual ? residual : undefined,
    ),
    5e-6,
    name,
  );
}

describe('norm/rms_norm', () => {
  it.each(thinned(cases, 3))('$name', check);
  it.each([
    ['forgets epsilon', (s: string) => s.replace('+ EPS', '')],
    ['forgets gamma', (s: string) => s.replace(' * gamma[from_gamma + d]', '')],
    ['norms all groups alike', (s: string) => s.replace('(id % GROUPS) * D', '0u')],
    ['adds the same residual to all groups', (s: string) => s.replace('residual[id * D + d]', 'residual[t * D + d]')],
    [
      'scales the residual too',
      (s: string) => s.replace('y * OUT_SCALE + residual[id * D + d]', '(y + residual[id * D + d]) * OUT_SCALE'),
    ],
    ['scales the norm only', (s: string) => s.replace('y *= total[0]', 'y += 0.0 * total[0]')],
    ['drops the row offset', (s: string) => s.replace('t * X_ROW + X_AT', 't * X_ROW')],
  ])('notices a kernel that %s', async (_what, mutate) => {
    await expectMutantToFail(gpu, shaderText, 'norm/rms_norm', mutate, async () => {
      for (const c of cases) await check(c);
    });
  });
});
