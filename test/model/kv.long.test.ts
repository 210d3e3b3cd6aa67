/** Keys, values and latents kept in fewer bits: near to what they are in 32, the same whatever the chunks, and as large as planned. */
import { describe, expect, it } from 'vitest';
import type { KvFormat } from '../../src/config/kv-format.ts';
import { openModelGpu, pretend } from '../support/gpu.ts';
import { Golden } from '../support/golden.ts';
import { fixturePath, withModel } from '../support/models.ts';

const gpu = await openModelGpu();
const KERNELS = { gpu, software: pretend(gpu, true) };

/** Root mean square of the difference, relative to that of what was expected. */
function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, total] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    total += expected[i]! ** 2;
  }
  return Math.sqrt(difference / total);
}

/** Half a step of each format at a typical value, by a margin for what layers make of it. */
const FAR: Readonly<Record<Exclude<KvFormat, 'f32'>, number>> = { f16: 2e-3, int8: 4e-2 };

describe.each([
  ['families/olmoe', 'f16', 'gpu'],
  ['families/olmoe', 'int8', 'gpu'],
  ['families/deepseek-v3', 'f16', 'gpu'],
  ['families/deepseek-v2', 'int8', 'software'],
] as const)('%s, %s, kernels for %s', (fixture, kv, kernels) => {
  const folder = fixturePath(fixture);
  const golden = new Golden(`${folder}/golden.safetensors`);
  const prompt = golden.ids('prompt_ids');
  const expected = golden.floats('logits');

  // The last token is one that decode computes.
  it('is near the golden values, a chunk and a token', () =>
    withModel(KERNELS[kernels], folder, { kv, prefillChunk: prompt.length - 1 }, async (model) => {
      const { logits } = await model.logits(prompt);
      const far = distance(logits, expected);
      expect(far).toBeGreaterThan(1e-5); // more than f32 is off by
      expect(far).toBeLessThan(FAR[kv]);
      expect(model.gpuBytes.kv).toBe(model.plan.bytes.kv);
      const again = await model.logits(prompt);
      expect(Buffer.from(again.logits.buffer).equals(Buffer.from(logits.buffer))).toBe(true);
    }));
});
