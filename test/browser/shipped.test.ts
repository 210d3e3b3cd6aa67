/** The shipped model, in Chromium on its software adapter, against what transformers computed. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { Golden } from '../support/golden.ts';

const MODEL = 'smolmoe-135m-instruct';
const golden = new Golden(`test/golden/${MODEL}/golden.safetensors`);
const texts = JSON.parse(readFileSync(`test/golden/${MODEL}/golden.json`, 'utf8')) as Record<
  'chat0' | 'chat1' | 'chat2' | 'chat3',
  { question: string; answer: string }
> & { text: { mean_nll: number; perplexity: number } };

let site: Site;
let opened: OpenedPage;
beforeAll(async () => {
  site = await openSite('harness.html');
  opened = await site.open('/harness.html');
  const device = await opened.page.evaluate(() => window.harness.load('/models/smolmoe-135m-instruct/', 512));
  expect(device).toEqual({ adapter: 'swiftshader', isFallback: true });
});
afterAll(() => site.close());

describe('the shipped model in Chromium', () => {
  it.each(['chat0', 'chat1', 'chat2', 'chat3'] as const)('%s: the golden answer, token by token', async (name) => {
    const expected = golden.ids(`${name}_greedy_ids`);
    const { question, answer } = texts[name];
    const drawn = await opened.page.evaluate(([q, n]) => window.harness.answer(q, n), [
      question,
      expected.length,
    ] as const);
    expect(drawn.ids).toEqual(expected);
    expect(drawn.text.trim()).toBe(answer);
  });

  it('scores a text as transformers does', async () => {
    const ids = golden.ids('text_ids');
    const nll = await opened.page.evaluate((text) => window.harness.meanNll(text), ids);
    const { perplexity } = texts.text;
    expect(Math.abs(Math.exp(nll) / perplexity - 1)).toBeLessThan(0.01);
  });

  it('draws the same text from a seed in its worker and in the page’s own thread', async () => {
    const asked = ['Tell me a story about a fox.', 7, 24] as const;
    const inWorker = await opened.page.evaluate((a) => window.harness.drawn(...a), asked);
    const here = await opened.page.evaluate(([url, a]) => window.harness.drawnHere(url, 512, ...a), [
      '/models/smolmoe-135m-instruct/',
      asked,
    ] as const);
    expect([inWorker.runsIn, here.runsIn]).toEqual(['worker', 'this-thread']);
    expect(here).toEqual({ ...inWorker, runsIn: 'this-thread' });
    expect(new Set(here.ids).size).toBeGreaterThan(10);
    const other = await opened.page.evaluate((a) => window.harness.drawn(a[0], a[1] + 1, a[2]), asked);
    expect(other.ids).not.toEqual(here.ids);
  });

  it('leaves nothing in the console', () => expect(opened.problems).toEqual([]));
});
