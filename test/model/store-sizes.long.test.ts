/** Every fixture at every size and in every mode: the same bits as with all experts on the GPU. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { LoadOptions } from '../../src/engine/load.ts';
import { openModelGpu, openTestGpu } from '../support/gpu.ts';
import { fixturePath, FIXTURES, SWEPT, SHIPPED, withModel } from '../support/models.ts';
import { draw, outcomeOf, type Outcome } from '../support/outcome.ts';

const gpu = await openModelGpu();
const software = await openTestGpu({ asSoftware: true });

const run = (fixture: string, options: Omit<LoadOptions, 'gpu'>): Promise<Outcome> =>
  withModel(gpu, fixturePath(fixture), { prefillChunk: 8, ...options }, (model) => outcomeOf(model, 16));

/** WEBMOE_STORE_FIXTURES=all: also those whose mechanisms another one of the list has, and every size in both modes. */
const LONG = process.env.WEBMOE_STORE_FIXTURES === 'all';
const MODELS = LONG ? FIXTURES : SWEPT;
/** What is replayed at K + 1 slots, and what waits at half of them. */
const EVERYDAY = [
  ['optimistic', 0],
  ['lockstep', 0.5],
] as const;
const CASES = LONG
  ? (['optimistic', 'lockstep'] as const).flatMap((mode) => [0.75, 0.5, 0.25, 0].map((share) => [mode, share] as const))
  : EVERYDAY;

describe('every fixture', () => {
  it.each(MODELS)('%s', async (fixture) => {
    const want = await run(fixture, {});
    for (const [mode, expertsResident] of CASES)
      expect(await run(fixture, { mode, expertsResident }), `${mode} ${expertsResident}`).toEqual(want);
  });
});

/** WEBMOE_STORE_TOKENS=200 is the long sweep of docs/testing.md. */
const TOKENS = Number(process.env.WEBMOE_STORE_TOKENS ?? 8);
const SIZES = TOKENS > 50 ? [0.75, 0.5, 0.25, 0] : [0.5];

describe(`the shipped model: ${TOKENS} greedy tokens`, () => {
  const LONGEST = 7_200_000; // at K + 1 slots every layer of every token is replayed
  const answer = (options: Omit<LoadOptions, 'gpu'>): Promise<number[]> =>
    withModel(software, SHIPPED, { contextLength: 512, ...options }, async (model) =>
      (await draw(model, TOKENS, [1, 9690, 198, 2683, 359, 253, 5356])).map((d) => d.id),
    );
  let want: number[];
  beforeAll(async () => {
    want = await answer({});
    expect(want).toHaveLength(TOKENS);
  }, LONGEST);
  const cases = (['lockstep', 'optimistic'] as const).flatMap((mode) => SIZES.map((size) => [mode, size] as const));
  it.each(cases)('%s, %d of the experts', { timeout: LONGEST }, async (mode, expertsResident) => {
    expect(await answer({ mode, expertsResident })).toEqual(want);
  });
});
