/** A few tokens at once are each what they are alone, bit by bit: speculation and short prompts rest on it. */
import { describe, expect, it } from 'vitest';
import { isRecurrent } from '../../src/config/mixers.ts';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { expectClose } from '../support/conformance.ts';
import { openTestGpu, pretend } from '../support/gpu.ts';
import { Golden } from '../support/golden.ts';
import { fixturePath, FIXTURES, withModel } from '../support/models.ts';

const gpu = await openTestGpu({ defaultLimits: true });
const KERNELS = { gpu, software: pretend(gpu, true) };

type Scored = { logits: Float32Array; hidden: Float32Array | null };

/** @param tokens of a step */
const scored = (on: Gpu, fixture: string, ids: readonly number[], tokens: number, few = tokens): Promise<Scored> =>
  withModel(on, fixturePath(fixture), { prefillChunk: tokens, tune: { fewUpTo: few } }, (model) =>
    model.logits(ids, { hidden: true }),
  );

const bits = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer, values.byteOffset, values.length);

function expectSame(found: Scored, one: Scored): void {
  expect([...bits(found.hidden!)], 'hidden states').toEqual([...bits(one.hidden!)]);
  expect([...bits(found.logits)], 'logits').toEqual([...bits(one.logits)]);
}

describe.each(FIXTURES)('%s', (fixture) => {
  const prompt = new Golden(`${fixturePath(fixture)}/golden.safetensors`).ids('prompt_ids').slice(0, 12);

  it.each(['gpu', 'software'] as const)('5 at a time, kernels for %s', async (kernels) => {
    const on = KERNELS[kernels];
    const one = await scored(on, fixture, prompt, 1);
    expectSame(await scored(on, fixture, prompt, 5), one);
  });
});
