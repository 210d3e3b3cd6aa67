/** Guessed tokens and steps that run ahead change when a token comes, and nothing else: ids, log-probabilities, routing, what the next request finds. */
import { afterAll, expect, it } from 'vitest';
import type { GeneratedToken, GenerateOptions } from '../../src/engine/generation.ts';
import { loadOn } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import { openModelGpu, pretend } from '../support/gpu.ts';
import { fixturePath } from '../support/models.ts';

/** Its lane kernels compile fastest here, and its sampler is the same. */
const gpu = pretend(await openModelGpu(), true);
const PROMPT = [5, 9, 2, 7, 5, 9, 2, 7, 5, 9, 2];
const SAMPLED = { temperature: 0.05, topP: 0.95, repetitionPenalty: 1.01, seed: 11 };

const open = (source = gpu): Promise<Model> =>
  loadOn(source.share(), pathSource(fixturePath('families/olmoe')), {
    contextLength: 192,
    prefillChunk: 16,
    runAhead: 0,
  });
const model = await open();
const running = await loadOn(gpu.share(), pathSource(fixturePath('families/olmoe')), {
  contextLength: 192,
  prefillChunk: 16,
  runAhead: 2,
});
afterAll(() => Promise.all([model.dispose(), running.dispose()]));

interface Answered {
  readonly tokens: readonly GeneratedToken[];
  /** After the first token. */
  readonly submits: number;
}

/** From an empty cache: a prompt in other chunks has other bits. */
async function answer(on: Model, options: GenerateOptions, stopAfter = Infinity): Promise<Answered> {
  const tokens: GeneratedToken[] = [];
  let before = 0;
  const all = { maxTokens: 40, ignoreEnd: true, skipCache: true, ...options };
  for await (const token of on.generate({ ids: PROMPT }, all)) {
    if (tokens.push(token) === 1) before = on.counters.submits;
    if (tokens.length === stopAfter) break;
  }
  return { tokens, submits: on.counters.submits - before };
}

const shown = ({ tokens }: Answered): unknown =>
  tokens.map(({ id, logprob, routing }) => [id, logprob, routing.map((r) => [...r.ids, ...r.weights])]);

it.each([{ temperature: 0 }, SAMPLED])('guessing gives the tokens that steps of one give: %o', async (sampling) => {
  const plain = await answer(model, { ...sampling, speculate: false });
  expect(plain.submits).toBe(39);
  const guessed = await answer(model, { ...sampling, speculate: true });
  expect(shown(guessed)).toEqual(shown(plain));
  expect(guessed.submits).toBeLessThan(39);
});

it('tells of each token that was kept, and of no other', async () => {
  const steps: { position: number; tokens: number }[] = [];
  const stop = model.onStep(({ phase, position, tokens }) => phase === 'decode' && steps.push({ position, tokens }));
  await answer(model, { temperature: 0, speculate: true });
  stop();
  expect(steps).toEqual(Array.from({ length: 39 }, (_, i) => ({ position: PROMPT.length + i, tokens: 1 })));
});

it.each([{ speculate: true }, {}])('leaves what was taken, wherever the reader stops: %o', async (options) => {
  const on = 'speculate' in options ? model : running;
  const ids = (a: Answered): number[] => a.tokens.map(({ id }) => id);
  const whole = ids(await answer(on, { temperature: 0, ...options }));
  for (const after of [2, 9]) {
    await answer(on, { temperature: 0, ...options }, after);
    const fed = [...PROMPT, ...whole.slice(0, after - 1)];
    const next = on.generate(
      { ids: [...fed, 3, 4] },
      { temperature: 0, maxTokens: 4, speculate: false, ignoreEnd: true },
    );
    const seen: number[] = [];
    let step = await next.next();
    for (; !step.done; step = await next.next()) seen.push(step.value.id);
    expect(step.value.cachedTokens).toBe(fed.length);
    const anew: number[] = [];
    for await (const { id } of on.generate(
      { ids: [...fed, 3, 4] },
      { temperature: 0, maxTokens: 4, skipCache: true, ignoreEnd: true },
    ))
      anew.push(id);
    expect(seen).toEqual(anew);
  }
});

it('runs ahead of the reader by two steps, and never past the end', async () => {
  const sampled = { ...SAMPLED, speculate: false };
  const plain = await answer(model, sampled);
  const ahead = await answer(running, sampled);
  expect(shown(ahead)).toEqual(shown(plain));
  expect(ahead.submits).toBe(39);
  expect((await answer(running, sampled, 5)).submits).toBe(4 + 2);
});

it('guesses while steps run ahead', async () => {
  const plain = await answer(model, { temperature: 0, speculate: false });
  const both = await answer(running, { temperature: 0, speculate: { most: 3, ngram: 2 } });
  expect(shown(both)).toEqual(shown(plain));
  expect(both.submits).toBeLessThan(39);
});

it('guesses, runs ahead and is tuned where the adapter is no software', async () => {
  const { facts } = gpu;
  const hardware = gpu.share({ ...facts, adapter: { ...facts.adapter, isFallback: false } });
  const options = { contextLength: 192, prefillChunk: 16 };
  const tuned = await loadOn(hardware.share(), pathSource(fixturePath('families/olmoe')), options);
  const found = tuned.tuning;
  const sampled = await answer(tuned, SAMPLED);
  await tuned.dispose();
  expect(found.fewUpTo).toBeGreaterThanOrEqual(1);
  const exact = { ...options, tune: found, speculate: false, runAhead: 0 };
  const plain = await loadOn(hardware.share(), pathSource(fixturePath('families/olmoe')), exact);
  expect(shown(sampled)).toEqual(shown(await answer(plain, SAMPLED)));
  await plain.dispose();
});

it('refuses a guess that no step can check', async () => {
  await expect(answer(model, { speculate: { most: 8 } })).rejects.toThrow('speculate.most');
});
