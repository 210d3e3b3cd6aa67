import { describe, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { gainAdd } from '../../../src/kernels/norm/gain_add.ts';
import { gainAdd as twin } from '../../../src/reference/norm/gain_add.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

async function check(tokens: number, size: number): Promise<void> {
  const [added, x, gains] = [normals(1, tokens * size), normals(2, tokens * size), normals(3, 3 * size)];
  const got = await runKernel(gpu, {
    inputs: { added, x, gains },
    outputs: { out: tokens * size },
    step: { tokens, position: 0 },
    record: (r, v) => gainAdd(r, 'join', { added: v.added!, x: v.x!, gains: v.gains!, out: v.out! }, { size }),
  });
  expectClose(asF32(got.out!), twin(added, x, gains), 1e-6, `${tokens} of ${size}`); // two products, two sums
}

describe('norm/gain_add', () => {
  it.each([
    [0, 8],
    [1, 1],
    [3, 70],
    [5, 64],
  ])('%i tokens of %i values', check);

  it.each([
    ['forgets the bias', ' + gains[2u * D + d]', ''],
    ['takes one gain for both', 'gains[D + d] * x', 'gains[d] * x'],
    ['joins the first token to all', 'x[at]', 'x[d]'],
  ])('notices a kernel that %s', async (_what, from, to) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'norm/gain_add',
      (text) => text.replace(from, to),
      () => check(3, 70),
    );
  });
});
