/** The plan, made from headers, against the buffers that loading makes. */
import { describe, expect, it } from 'vitest';
import { plan } from '../../src/engine/load.ts';
import type { Precision } from '../../src/engine/precision.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import { openModelGpu } from '../support/gpu.ts';
import { fixturePath, SWEPT, withModel } from '../support/models.ts';

const gpu = await openModelGpu();

describe('the plan', () => {
  const cases: [string, Precision][] = [
    ...[...SWEPT, 'formats/mixtral-ct-fp8'].map((f): [string, Precision] => [f, 'as-is']),
    ['families/olmoe', 'q8'],
    ['families/deepseek-v3', 'q4'],
    ['families/gpt-oss', 'q4'],
  ];
  it.each(cases)('%s, %s: bytes by kind are those that the GPU gets', async (fixture, weights) => {
    const folder = fixturePath(fixture);
    const options = { weights, contextLength: 72, prefillChunk: 13 };
    const planned = await plan(pathSource(folder), { ...options, limits: gpu.facts.limits });
    await withModel(gpu, folder, options, async (model) => {
      expect(model.gpuBytes).toEqual(planned.bytes);
      expect(planned.bytes.staging).toBe(0);
      expect(model.plan).toEqual(planned);
      await Promise.resolve();
    });
    expect(planned.totalBytes).toBe(Object.values(planned.bytes).reduce((a, b) => a + b, 0));
  });
});
