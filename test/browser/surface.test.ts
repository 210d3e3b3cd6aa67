/** The same model in a worker and in the page's thread: no outcome tells which. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { faultServer, type FaultServer } from '../support/fault-server.ts';
import { withLetters } from '../support/letters.ts';
import { fixturePath, type Files } from '../support/models.ts';
import { filesOf } from '../support/served-file.ts';

/** Of test/browser/pages/surface-cases.ts; one that is missing here would not be run. */
const CASES = [
  'what a model is',
  'progress of a load',
  'tokens, log-probabilities, routing and summary of a seed',
  'text: a chat, a stop string, the tokenizer and the template',
  'chat completions, biases and vectors',
  'an abort in mid-answer',
  'a loop that is left early, and the next request',
  'three requests at once',
  'errors of requests',
  'errors of loads',
  'another budget, evictions, statistics and steps',
  'logits, routing and hidden states',
  'dispose in mid-answer',
  'a model that is loaded again',
  'adapters: one merged, two of which a request chooses',
  'a listener that throws',
];

let site: Site;
let server: FaultServer;
let opened: OpenedPage;
beforeAll(async () => {
  server = await faultServer(withLetters(filesOf(fixturePath('families/olmoe')) as Files), { cors: 'exposed' });
  site = await openSite('surface.html');
  opened = await site.open('/surface.html');
});
afterAll(async () => {
  await site.close();
  await server.close();
});

it('one is in a worker, the other is not, and all cases are run', async () => {
  const runsIn = (worker: 'auto' | false): Promise<string> =>
    opened.page.evaluate(([url, w]) => window.surface.runsIn(url, w), [server.url, worker] as const);
  expect([await runsIn('auto'), await runsIn(false)]).toEqual(['worker', 'this-thread']);
  expect(await opened.page.evaluate(() => window.surface.cases)).toEqual(CASES);
});

it.each(CASES)('%s', async (name) => {
  const run = (worker: 'auto' | false): Promise<unknown> =>
    opened.page.evaluate(([n, url, w]) => window.surface.run(n, url, w), [name, server.url, worker] as const);
  const inWorker = await run('auto');
  const here = await run(false);
  expect(inWorker).toEqual(here);
  expect(JSON.stringify(here).length).toBeGreaterThan(20);
});

it('leaves nothing in the console but the errors of a listener', async () => {
  const uncaught = await opened.page.evaluate(() => window.surface.uncaught);
  expect(new Set(uncaught)).toEqual(new Set(['Uncaught Error: of a listener']));
  expect(opened.problems.filter((problem) => !problem.includes('of a listener'))).toEqual([]);
});
