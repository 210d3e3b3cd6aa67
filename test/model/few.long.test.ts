/** A few tokens at once are each what they are alone, bit by bit: guesses and short prompts rest on it. */
import { describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { shaderText } from '../../src/gpu/shaders.gen.ts';
import { expectMutantToFail } from '../support/conformance.ts';
import { openModelGpu, pretend } from '../support/gpu.ts';
import { Golden } from '../support/golden.ts';
import { fixturePath, withModel } from '../support/models.ts';

const gpu = await openModelGpu();
const KERNELS = { gpu, software: pretend(gpu, true) };
type Kernels = keyof typeof KERNELS;

/** Between them all that a layer may have in a step of a few; a model with recurrent states has none. */
const CASES: readonly [fixture: string, kernels: Kernels, tokens: readonly number[]][] = [
  ['families/olmoe', 'gpu', [2, 8]],
  ['families/deepseek-v3', 'gpu', [5]], // a latent, a shared expert
  ['formats/gpt-oss-mxfp4', 'software', [5]], // sinks, windows, biases
  ['families/jetmoe', 'software', [5]], // a mixture of heads
  ['families/dbrx', 'gpu', [5]], // layer norms
];

const promptOf = (fixture: string): number[] =>
  new Golden(`${fixturePath(fixture)}/golden.safetensors`).ids('prompt_ids').slice(0, 10);

/** @param tokens of a step. @returns the bits of the logits [T, V] */
const scored = (on: Gpu, fixture: string, tokens: number): Promise<number[]> =>
  withModel(on, fixturePath(fixture), { prefillChunk: tokens, tune: { fewUpTo: tokens } }, async (model) => {
    const { logits } = await model.logits(promptOf(fixture));
    return [...new Uint32Array(logits.buffer)];
  });

describe.each(CASES)('%s, kernels for %s', (fixture, kernels, sizes) => {
  it(`${sizes.join(' and ')} at a time`, async () => {
    const one = await scored(KERNELS[kernels], fixture, 1);
    for (const tokens of sizes) expect(await scored(KERNELS[kernels], fixture, tokens)).toEqual(one);
  });
});

it('notices a token that takes the keys of the step in another order', async () => {
  const one = await scored(gpu, 'families/olmoe', 1);
  await expectMutantToFail(
    gpu,
    shaderText,
    'attention/attention_decode',
    (s) => s.replace('let own_from = position;', 'let own_from = u_step.position;'),
    async () => expect(await scored(gpu, 'families/olmoe', 5)).toEqual(one),
  );
});
