import { describe, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { weighRows } from '../../../src/kernels/moe/weigh_rows.ts';
import { weighRows as twin } from '../../../src/reference/moe/weigh_rows.ts';
import { asF32, expectClose, expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

async function check(tokens: number, hidden: number): Promise<void> {
  const x = normals(1, tokens * hidden);
  const weights = normals(2, tokens);
  const bits = new Uint32Array(weights.buffer);
  const routed = Uint32Array.from({ length: 2 * tokens }, (_, i) => (i % 2 ? bits[i >> 1]! : 7));
  const got = await runKernel(gpu, {
    inputs: { x, routed },
    outputs: { out: tokens * hidden },
    step: { tokens, position: 0 },
    record: (r, v) => weighRows(r, 'weigh', { x: v.x!, routed: v.routed!, out: v.out! }, { hidden }),
  });
  expectClose(asF32(got.out!), twin(x, weights, hidden), 2e-7, `${tokens} of ${hidden}`); // one product
}

describe('moe/weigh_rows', () => {
  it.each([
    [0, 8],
    [3, 70],
    [5, 64],
  ])('%i tokens of %i values', check);

  it.each([
    ['reads the id', 'routed[2u * t + 1u]', 'routed[2u * t]'],
    ['weighs all tokens alike', 'routed[2u * t + 1u]', 'routed[1u]'],
  ])('notices a kernel that %s', async (_what, from, to) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'moe/weigh_rows',
      (text) => text.replace(from, to),
      () => check(3, 70),
    );
  });
});
