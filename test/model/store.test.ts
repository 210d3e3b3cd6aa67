/** Models with fewer slots than experts: the same bits as with all, in every mode, at every size, whatever was evicted. */
import { describe, expect, it } from 'vitest';
import type { LoadOptions } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import type { LogitsResult } from '../../src/engine/session.ts';
import { openTestGpu } from '../support/gpu.ts';
import { fixturePath, FIXTURES, withModel } from '../support/models.ts';
import { prng } from '../../src/util/prng.ts';

const gpu = await openTestGpu({ defaultLimits: true });

const TOKENS = 24;
const PROMPT = 13;

interface Outcome {
  readonly logits: LogitsResult;
  /** Greedy tokens with their log-probabilities and routing. */
  readonly drawn: readonly { readonly id: number; readonly logprob: number; readonly ids: number[][] }[];
}

const promptOf = (model: Model): number[] => {
  const u = prng(5);
  return Array.from({ length: PROMPT }, () => Math.floor(u() * model.config.vocab));
};

async function outcome(model: Model): Promise<Outcome> {
  const prompt = promptOf(model);
  const logits = await model.logits(prompt);
  const drawn: Outcome['drawn'][number][] = [];
  for await (const token of model.generate(
    { ids: prompt },
    { temperature: 0, ignoreEnd: true, maxTokens: TOKENS, repetitionPenalty: 1.1 },
  )) {
    drawn.push({ id: token.id, logprob: token.logprob, ids: token.routing.map((r) => [...r.ids]) });
  }
  return { logits, drawn };
}

const run = (fixture: string, options: Omit<LoadOptions, 'gpu'>): Promise<Outcome> =>
  withModel(gpu, fixturePath(fixture), { prefillChunk: 8, ...options }, outcome);

describe('every fixture', () => {
  it.each(FIXTURES)('%s: the same bits at every size in every mode', async (fixture) => {
    const want = await run(fixture, {});
    for (const mode of ['optimistic', 'lockstep'] as const) {
      for (const expertsResident of [0.75, 0.5, 0.25, 0]) {
        const got = await run(fixture, { mode, expertsResident });
        const name = `${mode} ${expertsResident}`;
        expect(got.drawn, name).toEqual(want.drawn);
        expect(got.logits.logits, name).toEqual(want.logits.logits);
        expect(got.logits.routing, name).toEqual(want.logits.routing);
      }
    }
  });
});
