/** Workers that die, that are shared, that are told of other sources, and that leave nothing behind. */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { faultServer, type FaultServer } from '../support/fault-server.ts';
import { fixturePath } from '../support/models.ts';
import { filesOf } from '../support/served-file.ts';

/** WEBMOE_CYCLES=100: a long sweep. */
const CYCLES = Number(process.env.WEBMOE_CYCLES ?? 3);
const MODEL = fixturePath('families/olmoe');

let site: Site;
let server: FaultServer;
let opened: OpenedPage;
beforeAll(async () => {
  server = await faultServer(filesOf(MODEL), { cors: 'exposed' });
  site = await openSite('surface.html');
  opened = await site.open('/surface.html');
});
afterAll(async () => {
  await site.close();
  await server.close();
});

describe('a worker that ends', () => {
  it.each(['terminate', 'crash', 'close'] as const)(
    'by %s: every call is rejected within a second, and the model can be restarted',
    async (how) => {
      const death = await opened.page.evaluate(([url, h]) => window.surface.death(url, h), [server.url, how] as const);
      console.log(`${how}: calls rejected after ${death.ends.map(({ ms }) => ms.toFixed(0)).join(', ')} ms`);
      for (const { code, isLost, ms } of death.ends) {
        expect({ code, isLost }).toEqual({ code: 'worker-lost', isLost: true });
        expect(ms).toBeLessThan(1000);
      }
      expect(death).toMatchObject({ lost: 'worker-lost', later: 'worker-lost', same: true });
    },
  );
});

it('files, and sources that stay on the page, in one worker for two models', async () => {
  const names = Object.keys(filesOf(MODEL));
  const wanted = await opened.page.evaluate((url) => window.surface.tokens(url, { worker: false }), server.url);
  const got = await opened.page.evaluate(([url, n]) => window.surface.otherSources(url, n), [
    server.url,
    names,
  ] as const);
  const [first] = wanted.ids;
  expect(got).toEqual({ files: [first, 'the chosen files'], source: [first, 'of the page'] });
});

it('a SharedWorker serves several tabs, and goes on when one is closed', async () => {
  const context = opened.page.context();
  const [one, two] = [await context.newPage(), await context.newPage()];
  for (const page of [one, two]) await page.goto(site.at('/surface.html'));
  const wanted = await opened.page.evaluate((url) => window.surface.tokens(url, { worker: false }), server.url);
  const inShared = (page: Page): Promise<{ ids: readonly number[]; runsIn: string }> =>
    page.evaluate((url) => window.surface.inSharedWorker(url), server.url);
  const answers = await Promise.all([one, two].map(inShared));
  for (const { ids, runsIn } of answers) {
    expect(ids).toEqual(wanted.ids);
    expect(runsIn).toBe('worker');
  }
  await one.close();
  expect((await inShared(two)).ids).toEqual(wanted.ids);
  await two.close();
});

it(`${CYCLES} models loaded and disposed leave no worker, port or lock`, async () => {
  const left = await opened.page.evaluate(([url, count]) => window.surface.cycles(url, count), [
    server.url,
    CYCLES,
  ] as const);
  expect(left).toEqual({ workers: 0, ports: 0, locks: 0 });
});

it('leaves nothing in the console', () => expect(opened.problems).toEqual([]));
