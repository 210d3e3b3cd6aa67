/**
 * Every fixture against the values that transformers computed: routing and greedy ids exactly, logits and hidden states to 1e-3 of RMS;
 * with the kernels for GPUs and those for software adapters, and what a token costs.
 */
import { describe, expect, it } from 'vitest';
import { sortedRouting } from '../../src/cli/logits.ts';
import { loadOn } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import type { Counters } from '../../src/gpu/gpu.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import { expectClose } from '../support/conformance.ts';
import { openModelGpu, pretend } from '../support/gpu.ts';
import { Golden } from '../support/golden.ts';
import { listedDispatches } from '../support/dispatches.ts';
import { isFast } from '../support/everyday.ts';
import { MORE_FORMATS } from '../support/fixture-list.ts';
import { fixturePath, FIXTURES, SWEPT, withModel } from '../support/models.ts';

/** WebGPU's guaranteed limits and no optional feature must be enough. */
const gpu = await openModelGpu();
const KERNELS = { gpu, software: pretend(gpu, true) };

interface Continued {
  readonly ids: readonly number[];
  /** Of each token after the first. */
  readonly perToken: readonly Counters[];
  readonly prefill: Counters;
}

const difference = (after: Counters, before: Counters): Counters =>
  Object.fromEntries(
    Object.entries(after).map(([key, value]) => [key, value - before[key as keyof Counters]]),
  ) as unknown as Counters;

async function continueGreedily(model: Model, ids: readonly number[], maxTokens: number): Promise<Continued> {
  const drawn: number[] = [];
  const counts: Counters[] = [model.counters];
  for await (const token of model.generate({ ids }, { temperature: 0, maxTokens, ignoreEnd: true })) {
    drawn.push(token.id);
    counts.push(model.counters);
  }
  const [prefill, ...perToken] = counts.slice(1).map((after, i) => difference(after, counts[i]!));
  return { ids: drawn, perToken, prefill: prefill! };
}

function expectGolden(result: Awaited<ReturnType<Model['logits']>>, golden: Golden, tokens: number): void {
  if (golden.has('topk_ids')) {
    const routing = sortedRouting(result.routing, tokens);
    expect([...routing.ids]).toEqual(golden.ids('topk_ids'));
    expectClose(routing.weights, golden.floats('topk_weights'), 1e-3, 'routing weights');
  }
  expectClose(result.logits, golden.floats('logits'), 1e-3, 'logits');
  if (golden.has('hidden')) expectClose(result.hidden!, golden.floats('hidden'), 1e-3, 'hidden states');
}

/** Everyday one of the plainest, and one with everything that a layer of experts can have. */
const SOME = FIXTURES.filter((fixture) => ['families/olmoe', 'formats/gpt-oss-mxfp4'].includes(fixture));

const ALL = [...FIXTURES, ...MORE_FORMATS];
/** Both; one for the fixtures whose parts others have, in turn. */
const kernelsOf = (fixture: string): readonly (keyof typeof KERNELS)[] => {
  if (SWEPT.includes(fixture) && !isFast) return ['gpu', 'software'];
  return ALL.indexOf(fixture) % 2 ? ['gpu'] : ['software'];
};

describe.each(isFast ? SOME : ALL)('%s', (fixture) => {
  const folder = fixturePath(fixture);
  const golden = new Golden(`${folder}/golden.safetensors`);
  const prompt = golden.ids('prompt_ids');
  const greedy = golden.ids('greedy_ids');

  it.each(kernelsOf(fixture))('gives the golden values, and the same bits twice, with the kernels for %s', (k) =>
    withModel(KERNELS[k], folder, {}, async (model) => {
      const result = await model.logits(prompt, { hidden: true });
      expectGolden(result, golden, prompt.length);
      const again = await model.logits(prompt);
      expect(Buffer.from(again.logits.buffer).equals(Buffer.from(result.logits.buffer))).toBe(true);
      await model.logits([...prompt].reverse()); // leaves nothing of the prompt in the cache

      const continued = await continueGreedily(model, prompt, greedy.length);
      expect(continued.ids).toEqual(greedy);
      const listed = listedDispatches().get(fixture)?.[k];
      expect(listed, 'its row in docs/performance-dispatches.md').toBeDefined();
      expect(continued.prefill).toMatchObject({
        dispatches: listed!.prefill,
        submits: 1,
        readbacks: 1,
        buffersCreated: 0,
        bindGroupsCreated: 0,
      });
      for (const token of continued.perToken) {
        expect(token).toMatchObject({
          dispatches: listed!.decode,
          submits: 1,
          readbacks: 1,
          buffersCreated: 0,
          bindGroupsCreated: 0,
          pipelinesCreated: 0,
        });
      }
    }),
  );
});

it('gives back every byte', async () => {
  const own = gpu.share();
  const model = await loadOn(own, pathSource(fixturePath('families/deepseek-v3')), { contextLength: 64 });
  await model.logits([1, 2, 3], { hidden: true });
  expect(Object.values(model.gpuBytes).some((bytes) => bytes > 0)).toBe(true);
  await model.dispose();
  expect(Object.values(own.ledger.bytesByRole()).every((bytes) => bytes === 0)).toBe(true);
});
