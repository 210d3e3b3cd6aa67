/** A prompt may go through the model in pieces of any size: the logits stay the same up to rounding. */
import { describe, it } from 'vitest';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { expectClose } from '../support/conformance.ts';
import { openModelGpu, pretend } from '../support/gpu.ts';
import { Golden } from '../support/golden.ts';
import { fixturePath, SWEPT, withModel } from '../support/models.ts';

const gpu = await openModelGpu();
const software = pretend(gpu, true);

describe.each(SWEPT)('%s', (fixture) => {
  const folder = fixturePath(fixture);
  const prompt = new Golden(`${folder}/golden.safetensors`).ids('prompt_ids'); // 40 tokens

  it('gives the same logits whatever the chunks', async () => {
    const logits = (on: Gpu, prefillChunk: number): Promise<Float32Array> =>
      withModel(on, folder, { prefillChunk }, async (model) => (await model.logits(prompt)).logits);
    const whole = await logits(gpu, prompt.length);
    // Chunks of 1 are what decode computes, token by token; after 39 of 40 tokens one is left for it.
    for (const size of [1, 7, 39]) expectClose(await logits(gpu, size), whole, 1e-4, `chunks of ${size}`);
    for (const size of [1, 7, 40])
      expectClose(await logits(software, size), whole, 1e-4, `chunks of ${size}, software`);
  });
});
