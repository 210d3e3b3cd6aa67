import { describe, it } from 'vitest';
import { isGated } from '../../../src/config/activation.ts';
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
const SQUARED: Activation = { kind: 'relu-squared' };
const UNGATED: Activation = { kind: 'relu-ungated' };
const GELU: Activation = { kind: 'gelu-ungated' };

const cases: readonly (readonly [tokens: number, pairs: number, activation: Activation])[] = [
  [0, 64, SILU],
  [1, 1, SILU],
  [3, 131, CLAMPED],
  [3, 131, SQUARED],
  [3, 131, UNGATED],
  [3, 131, GELU],
];

async function check([tokens, count, activation]: (typeof cases)[number]): Promise<void> {
  const pairs = normals(3, 2 * tokens * count, 2);
  const values = isGated(activation) ? 1 : 2;
  const got = await runKernel(gpu, {
    inputs: { pairs },
    outputs: { out: tokens * count * values },
    step: { tokens, position: 0 },
    record: (r, v) => gluPairs(r, 'pairs', { pairs: v.pairs!, out: v.out! }, { pairs: count, activation }),
  });
  expectClose(asF32(got.out!), twin(pairs, activation, 2 * count), 5e-6, 'pairs');
}

describe('linear/glu_pairs', () => {
  it.each(cases)('%i tokens of %i', (...c) => check(c));
  it.each([
    ['takes up for gate', 'activate(v, pair.x, pair.y)', 'activate(v, pair.y, pair.x)', 2],
    ['reads the first token', 'pairs[t * F + f]', 'pairs[f]', 2],
    ['has the halves of up exchanged', 'PAIR_VALUES + v) *', 'PAIR_VALUES + 1u - v) *', 3],
  ])('notices a kernel that %s', async (_what, from, to, which) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'linear/glu_pairs',
      (s) => s.replace(from, to),
      () => check(cases[which]!),
    );
  });
});
