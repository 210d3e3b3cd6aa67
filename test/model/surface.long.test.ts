/** What apps hold in Node: the same surface as in a browser, in this thread. */
import { expect, it } from 'vitest';
import { load as loadEngine } from '../../src/cli/load-engine.ts';
import { InvalidRequest } from '../../src/errors.ts';
import { load } from '../../src/node.ts';
import { Host } from '../../src/surface/host.ts';
import { Peer } from '../../src/surface/port/peer.ts';
import { fakePorts } from '../support/fake-port.ts';
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

it('answers several at once, here and over a port', async () => {
  const path = fixturePath('families/olmoe');
  const options = { ...OPTIONS, requests: { inFlight: 3 } };
  const asked = [PROMPT, { ids: [7, 7, 7] }, { ids: [200, 1] }, { ids: PROMPT.ids.toReversed() }];
  const model = await load(path, options);
  const steps: number[] = [];
  model.onStep(({ tokens }) => steps.push(tokens));
  const alone: object[][] = [];
  for (const prompt of asked) alone.push(await collect(model.generate(prompt, SAMPLED)));
  steps.length = 0;
  expect(await Promise.all(asked.map((prompt) => collect(model.generate(prompt, SAMPLED))))).toEqual(alone);
  expect(steps.length, 'steps for all').toBeLessThan(asked.length * SAMPLED.maxTokens);
  expect(Math.max(...steps)).toBeLessThanOrEqual(OPTIONS.prefillChunk);
  await model.dispose();

  const host = new Host(async () => ({ model: await loadEngine(path, options), label: 'olmoe' }));
  const { ends } = fakePorts();
  const [page, worker] = [new Peer(ends[0], { calls: {}, streams: {} }), new Peer(ends[1], host.handlers)];
  await page.call('load', [null, { data: {}, callbacks: [] }]);
  const streams = asked.map((prompt) => page.stream('generate', [prompt, { data: SAMPLED, callbacks: [] }]));
  expect(await Promise.all(streams.map((s) => collect(s as never)))).toEqual(alone);
  await host.dispose();
  for (const end of [page, worker]) end.close(new Error('done'));
});
