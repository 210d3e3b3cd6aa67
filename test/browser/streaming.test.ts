/** Chatting before a model is there: what the first token needs, answers while the rest is coming, second visits, and visits without a network. */
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type Site } from '../support/browser.ts';
import { expertHeavy } from '../support/expert-heavy.ts';
import { faultServer, type FaultServer } from '../support/fault-server.ts';
import { filesOf as folderOf, sizeOf } from '../support/served-file.ts';

const LINK = { bytesPerSecond: 10e6, latencyMs: 40 };
const PROMPT = [5, 700];
const TOKENS = 6;

let site: Site;
beforeAll(async () => {
  site = await openSite('stream.html');
});
afterAll(() => site.close());

const totalOf = (server: FaultServer): number =>
  Object.values(server.files).reduce((sum, file) => sum + sizeOf(file), 0);
const weightRequests = (server: FaultServer): number =>
  server.requests.filter(({ path }) => path.endsWith('.safetensors')).length;

async function openPage(context: BrowserContext): Promise<Page> {
  const page = await context.newPage();
  await page.goto(site.at('/stream.html'));
  return page;
}

/** What was sent when the first token of the next answer was there, in bytes. */
async function watchFirst(page: Page, server: FaultServer): Promise<() => number> {
  let sent = NaN;
  await page.exposeFunction('onDrawn', (count: number) => {
    if (count === 1) sent = server.sent;
  });
  return () => sent;
}

const share = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(0)} %`;

describe('a model of which nine bytes in ten are experts, over 10 MB/s', () => {
  let server: FaultServer;
  let context: BrowserContext;
  let drawn: number[];
  beforeAll(async () => {
    server = await faultServer(expertHeavy(), { cors: 'exposed', etags: true, link: LINK });
    context = await site.browser.newContext();
  });
  afterAll(async () => {
    await context.close();
    await server.close();
  });

  it('draws its first token before a third of its bytes were sent', async () => {
    const page = await openPage(context);
    const first = await watchFirst(page, server);
    const startedAt = performance.now();
    const seconds = (): string => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
    await page.evaluate((url) => window.stream.load(url, { start: 'early' }), server.url);
    const said = [`ready after ${share(server.sent, totalOf(server))} (${seconds()})`];
    ({ ids: drawn } = await page.evaluate(([p, n]) => window.stream.answer(p, n), [PROMPT, TOKENS] as const));
    said.push(`first token after ${share(first(), totalOf(server))} of ${totalOf(server)} bytes`);
    expect(first()).toBeLessThan(totalOf(server) / 3);
    await page.evaluate(() => window.stream.settled());
    said.push(
      `all kept after ${share(server.sent, totalOf(server))} (${seconds()}), ${server.requests.length} requests`,
    );
    console.log(said.join('; '));
    expect(await page.evaluate(() => window.stream.kept)).toMatchObject({ isComplete: true });
    await page.close();
  });

  it('answers during the download as when all of it is there, token by token', async () => {
    server.setLink({});
    const page = await openPage(context);
    await page.evaluate((url) => window.stream.load(url, { storage: null }), server.url);
    expect(await page.evaluate(() => window.stream.stats.then(({ mode }) => mode))).toBe('resident');
    const { ids } = await page.evaluate(([p, n]) => window.stream.answer(p, n), [PROMPT, TOKENS] as const);
    expect(drawn).toEqual(ids);
    await page.close();
  });

  it('asks for no weight on the second visit, and for nothing when there is no network', async () => {
    const page = await openPage(context);
    server.reset();
    await page.evaluate((url) => window.stream.load(url, { start: 'early' }), server.url);
    const ask = (): Promise<{ ids: number[] }> =>
      page.evaluate(([p, n]) => window.stream.answer(p, n), [PROMPT, TOKENS] as const);
    expect((await ask()).ids).toEqual(drawn);
    expect(weightRequests(server)).toBe(0);
    console.log(`second visit: ${server.requests.length} requests, ${server.sent} bytes`);
    server.reset();
    await server.close();
    await page.evaluate((url) => window.stream.load(url), server.url);
    expect((await ask()).ids).toEqual(drawn);
    expect(server.requests.length).toBe(0);
  });
});

describe('the shipped model, over 10 MB/s', () => {
  it('is ready before all bytes were sent; its first token costs more', async () => {
    const server = await faultServer(folderOf('models/smolmoe-135m-instruct'), { cors: 'exposed', link: LINK });
    const context = await site.browser.newContext();
    const page = await openPage(context);
    const first = await watchFirst(page, server);
    await page.evaluate((url) => window.stream.load(url, { start: 'early' }), server.url);
    const ready = server.sent;
    await page.evaluate(() => window.stream.answer('Hi', 1));
    console.log(
      `shipped: ready after ${share(ready, totalOf(server))}, first token after ${share(first(), totalOf(server))} of ${totalOf(server)} bytes; ${server.requests.length} requests`,
    );
    await context.close();
    await server.close();
    expect(ready).toBeLessThan(totalOf(server));
    // To be improved, see docs/reliability.md: 1.16 times all bytes when it was measured.
    expect(first()).toBeLessThan(1.25 * totalOf(server));
  });
});
