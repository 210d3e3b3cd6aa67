/**
 * Families that no golden values exist for, with random weights: the engine against the forward pass in doubles, which the fixtures hold to
 * golden values part by part. Kernels for GPUs and for software adapters take turns.
 */
import { describe, it } from 'vitest';
import { configOf, FAMILIES_WITHOUT_GOLDEN } from '../support/configs.ts';
import { openModelGpu, pretend } from '../support/gpu.ts';
import { expectReference, promptOf } from '../support/reference.ts';
import { synthetic } from '../support/synthetic.ts';

const gpu = await openModelGpu();
const software = pretend(gpu, true);

describe('families without golden values', () => {
  it.each(FAMILIES_WITHOUT_GOLDEN.map((family, i) => [family, i % 2 ? software : gpu] as const))(
    '%s is the reference',
    async (family, kernels) => {
      const model = synthetic(configOf(family));
      await expectReference(kernels, model, promptOf(model), { prefillChunk: 14 });
    },
  );
});
