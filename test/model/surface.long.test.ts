/** What apps hold in Node: the same surface as in a browser, in this thread. */
import { expect, it } from 'vitest';
import { load as loadEngine } from '../../src/cli/load-engine.ts';
import { InvalidRequest } from '../../src/errors.ts';
import { load } from '../../src/node.ts';
import { fixturePath } from '../support/models.ts';

const OPTIONS = { contextLength: 64, prefillChunk: 8 };
const PROMPT = { ids: [3, 141, 59, 26, 53, 58, 97, 93, 23] };
const SAMPLED = { seed: 5, temperature: 1, maxTokens: 5, ignoreEnd: true };

async function collect(answer: AsyncGenerator<{ readonly id: number; readonly logprob: number }>): Promise<object[]> {
  const found: object[] = [];
  for await (const { id, logprob } of answer) found.push({ id, logprob });
  return found;
}

it('answers as the engine does, restarts, and ends', async () => {
  const path = fixturePath('families/olmoe');
  const engine = await loadEngine(path, OPTIONS);
  const wanted = await collect(engine.generate(PROMPT, SAMPLED));
  await engine.dispose();

  const model = await load(path, OPTIONS);
  const steps: number[] = [];
  const stop = model.onStep(({ tokens }) => steps.push(tokens));
  expect(model).toMatchObject({
    runsIn: 'this-thread',
    side: 'local',
    contextLength: 64,
    tokenizer: null,
    template: null,
  });
  expect(await collect(model.generate(PROMPT, SAMPLED))).toEqual(wanted);
  expect(steps).toEqual([8, 1, 1, 1, 1, 1]);
  await model.restart();
  expect(await collect(model.generate(PROMPT, SAMPLED))).toEqual(wanted);
  expect(steps).toHaveLength(12);
  stop();
  expect(await collect(model.generate(PROMPT, SAMPLED))).toEqual(wanted);
  expect(steps).toHaveLength(12);
  expect((await model.expertStats())?.mode).toBe('resident');
  await model.dispose();
  await expect(model.restart()).rejects.toBeInstanceOf(InvalidRequest);
  await expect(model.generate(PROMPT).next()).rejects.toBeInstanceOf(InvalidRequest);
});
