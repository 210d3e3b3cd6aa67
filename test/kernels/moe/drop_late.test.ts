import { describe, expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { dropLate } from '../../../src/kernels/moe/drop_late.ts';
import { dropLate as twin } from '../../../src/reference/moe/drop_late.ts';
import { expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

async function check(tokens: number, capacity: number): Promise<void> {
  const weights = normals(1, tokens);
  const ids = normals(2, tokens).map((x) => (x > 1 ? 2 : x > -0.5 ? 0 : 5));
  const bits = new Uint32Array(weights.buffer);
  const routed = Uint32Array.from({ length: 2 * tokens }, (_, i) => (i % 2 ? bits[i >> 1]! : ids[i >> 1]!));
  const got = await runKernel(gpu, {
    inputs: {},
    outputs: { routed },
    step: { tokens, position: 0 },
    record: (r, v) => dropLate(r, 'drop', { routed: v.routed! }, { capacity }),
  });
  const kept = new Uint32Array(Float32Array.from(twin(ids, weights, capacity)).buffer);
  expect([...got.routed!]).toEqual([...routed].map((word, i) => (i % 2 ? kept[i >> 1]! : word)));
}

describe('moe/drop_late', () => {
  it.each([
    [0, 1],
    [5, 1],
    [130, 20],
    [130, 200],
  ])('%i tokens, %i an expert', check);

  it.each([
    ['keeps one more', 'before >= CAPACITY', 'before > CAPACITY'],
    ['counts every expert', 'routed[2u * i] == expert', 'true'],
    ['drops early tokens', 'i < t; i++', 'i < u_step.tokens; i++'],
  ])('notices a kernel that %s', async (_what, from, to) => {
    await expectMutantToFail(
      gpu,
      shaderText,
      'moe/drop_late',
      (text) => text.replace(from, to),
      () => check(130, 20),
    );
  });
});
