/** Several draws at once against the same ones by one: the bits of every row, as long as the tokens before it came out as they were guessed. */
import { expect, it } from 'vitest';
import { subview } from '../../../src/gpu/buffer.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { GREEDY, type SamplingParams } from '../../../src/gpu/step.ts';
import { promptCounts, sample, sampleRows, SAMPLED_WORDS } from '../../../src/kernels/sample/sample.ts';
import { expectMutantToFail, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });
const [VOCAB, ROWS, POSITION] = [61, 4, 17];
const logits = normals(3, ROWS * VOCAB);
const SAMPLINGS: SamplingParams[] = [
  { ...GREEDY, repetitionPenalty: 1.3, frequencyPenalty: 0.5 },
  { ...GREEDY, temperature: 1.5, topP: 0.95, frequencyPenalty: 2, presencePenalty: 0.5, seed: 5 },
];

/** Draws row by row; each token goes in with the next. @returns sampled [T, 4] */
async function byOne(sampling: SamplingParams): Promise<number[]> {
  const sampled: number[] = [];
  let counts: Uint32Array<ArrayBuffer> = promptCounts([3, 9], VOCAB);
  for (let row = 0; row < ROWS; row++) {
    const got = await runKernel(gpu, {
      inputs: { logits: logits.slice(row * VOCAB, (row + 1) * VOCAB) },
      outputs: { counts, sampled: SAMPLED_WORDS, nextIds: 1 },
      step: { tokens: 1, position: POSITION + row, sampling },
      record: (r, v) =>
        sample(
          r,
          'sample',
          { logits: v.logits!, counts: v.counts!, sampled: v.sampled!, nextIds: v.nextIds! },
          { vocab: VOCAB },
        ),
    });
    sampled.push(...got.sampled!);
    counts = got.counts!;
  }
  return sampled;
}

async function check(sampling: SamplingParams): Promise<void> {
  const expected = await byOne(sampling);
  const drawn = Array.from({ length: ROWS }, (_, t) => expected[SAMPLED_WORDS * t]!);
  const got = await runKernel(gpu, {
    inputs: { logits, ids: Uint32Array.from([7, ...drawn.slice(0, -1)]), counts: promptCounts([3, 9], VOCAB) },
    outputs: { sampled: ROWS * SAMPLED_WORDS },
    step: { tokens: ROWS, position: POSITION, sampling },
    record: (r, { logits: all, ids, counts, sampled }) =>
      sampleRows(
        r,
        'sample',
        { logits: all!, ids: ids!, counts: counts!, sampled: subview(sampled!, 0, sampled!.size) },
        { vocab: VOCAB },
      ),
  });
  expect([...got.sampled!]).toEqual(expected);
}

it.each(SAMPLINGS)('draws each token as if it were drawn alone: %o', check);

it.each([
  ['the position of the token', 'u_step.position + logits_row + 1u', 'u_step.position + 1u'],
  ['the guesses before it', 't <= logits_row', 't < logits_row'],
  ['its row', 'logits[logits_row * V + id]', 'logits[id]'],
])('notices draws that forget %s', async (_what, from, to) => {
  const path = from.startsWith('logits[') ? 'shared/logits' : 'sample/sample';
  await expectMutantToFail(
    gpu,
    shaderText,
    path,
    (s) => s.replace(from, to),
    async () => {
      for (const sampling of SAMPLINGS) await check(sampling);
    },
  );
});
