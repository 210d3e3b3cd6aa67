/** The model that comes with the repository, against the values that transformers computed in f32 from the same files. */
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { sortedRouting } from '../../src/cli/logits.ts';
import { loadOn } from '../../src/engine/load.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import { expectClose } from '../support/conformance.ts';
import { openModelGpu, pretend } from '../support/gpu.ts';
import { Golden } from '../support/golden.ts';
import { SHIPPED, SHIPPED_GOLDEN, withModel } from '../support/models.ts';

const MINUTES = 60_000;
const gpu = await openModelGpu();
const golden = new Golden(`${SHIPPED_GOLDEN}/golden.safetensors`);
const said = JSON.parse(readFileSync(`${SHIPPED_GOLDEN}/golden.json`, 'utf8')) as Record<
  string,
  { question: string; answer: string }
>;

/** What runs on a software adapter unless told otherwise. */
const model = await loadOn(pretend(gpu, true), pathSource(SHIPPED), { contextLength: 512, prefillChunk: 64 });
afterAll(() => model.dispose());

describe.each(['gpu', 'software'] as const)('the first prompt, with the kernels for %s', (kernels) => {
  it('gives the golden routing, logits and hidden states', { timeout: 10 * MINUTES }, async () => {
    const ids = golden.ids('prompt_ids');
    const result =
      kernels === 'software'
        ? await model.logits(ids, { hidden: true })
        : await withModel(gpu, SHIPPED, { prefillChunk: 64 }, (m) => m.logits(ids, { hidden: true }));
    const routing = sortedRouting(result.routing, ids.length);
    expect([...routing.ids]).toEqual(golden.ids('topk_ids'));
    expectClose(routing.weights, golden.floats('topk_weights'), 1e-3, 'routing weights');
    expectClose(result.logits, golden.floats('logits'), 1e-3, 'logits');
    expectClose(result.hidden!, golden.floats('hidden'), 1e-3, 'hidden states');
  });
});

// All four, and the perplexity of a text, are held to it in Chromium (test/browser/shipped.test.ts), where a visitor's answers come from.
describe.each(['chat0'])('%s', (chat) => {
  it('is answered as the golden answer, from the question', { timeout: 15 * MINUTES }, async () => {
    const { question, answer } = said[chat]!;
    const expected = golden.ids(`${chat}_greedy_ids`);
    const messages = [{ role: 'user' as const, content: question }];
    const options = { temperature: 0, repetitionPenalty: 1, maxTokens: expected.length };
    const ids: number[] = [];
    const answering = model.generate(messages, options);
    for (;;) {
      const next = await answering.next();
      if (next.done) {
        expect(next.value.text).toBe(answer);
        expect(next.value.promptTokens).toBe(golden.ids(`${chat}_prompt_ids`).length);
        break;
      }
      ids.push(next.value.id);
    }
    // The smallest margin between the two best logits of any step is 0.018: no rounding turns that around.
    expect(ids).toEqual(expected);
  });
});
