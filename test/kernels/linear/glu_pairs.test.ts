import { describe, it } from 'vitest';
import type { Activation } from '../../../src/config/model-config.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { gluPairs } from '../../../src/kernels/linear/glu_pairs.ts';
import { gluPairs as twin } from '../../../src/reference/linear/glu_pairs.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });
const SILU: Activation = { kind: 'silu' };
const CLAMPED: Activation = { kind: 'clamped-swiglu', alpha: 1.702, limit: 2 };

const cases: readonly (readonly [tokens: number, width: number, activation: Activation])[] = [
  [0, 64, SILU],
  [1, 1, SILU],
  [3, 131, CLAMPED],
];

async function check([tokens, width, activation]: (typeof cases)[number]): Promise<void> {
  const pairs = normals(3, 2 * tokens * width, 2);
  const got = await runKernel(gpu, {
    inputs: { pairs },
    outputs: { out: tokens * width },
    step: { tokens, position: 0 },
    record: (r, v) => gluPairs(r, 'pairs', { pairs: v.pairs!, out: v.out! }, { width, activation }),
  });
  expectClose(asF32(got.out!), twin(pairs, activation), 5e-6, 'pairs');
}

describe('linear/glu_pairs', () => {
  it.each(cases)('%i tokens of %i', (...c) => check(c));
  it.each([
    ['takes up for gate', 'activate(pair.x, pair.y)', 'activate(pair.y, pair.x)'],
    ['reads the first token', 'pairs[t * F + f]', 'pairs[f]'],
  ])('notices a kernel that %s', async (_what, from, to) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'linear/glu_pairs',
      (s) => s.replace(from, to),
      () => check(cases[2]!),
    );
  });
});
