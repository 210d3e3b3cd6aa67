/** The whole engine on a profile on disk: a quota, several tabs, and SIGKILL of the browser while it keeps a model. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Page } from 'playwright-core';
import { openSite, type Site } from '../support/browser.ts';
import { faultServer, type FaultServer } from '../support/fault-server.ts';
import { filesOf } from '../support/models.ts';
import { makeProfile, type Profile, type RunningProfile } from '../support/profile.ts';
import { integers } from '../support/random.ts';
import type { Answer, StreamOptions } from './pages/stream.ts';

const PROMPT = [3, 141, 59, 26, 53];
const TOKENS = 4;

let site: Site;
let server: FaultServer;
let profile: Profile;
let running: RunningProfile | undefined;
let wanted: number[];

const files = filesOf('test/fixtures/families/mixtral');
const weightBytes = Object.entries(files)
  .filter(([name]) => name.startsWith('model-'))
  .reduce((sum, [, file]) => sum + file.length, 0);
const start = async (): Promise<Page> => (running = await profile.start(site.at('/stream.html'))).page;
const load = (page: Page, options: StreamOptions = {}): Promise<void> =>
  page.evaluate(([url, o]) => window.stream.load(url, o), [server.url, { prefillChunk: 8, ...options }] as const);
const answer = async (page: Page): Promise<number[]> => {
  const got = await page.evaluate(([prompt, tokens]) => window.stream.tryAnswer(prompt, tokens), [
    PROMPT,
    TOKENS,
  ] as const);
  return (got as Answer).ids;
};
const storage = (page: Page): Promise<{ kind: string; note: string | null }> =>
  page.evaluate(() => window.stream.stats.then(({ storage: s }) => s));
const weightsSent = (): number =>
  server.requests.filter(({ path }) => path.startsWith('model-')).reduce((sum, { sent }) => sum + sent, 0);

beforeEach(() => {
  profile = makeProfile();
});
beforeAll(async () => {
  site = await openSite('stream.html');
  server = await faultServer(files, { cors: 'exposed', etags: true });
  const { page, close } = await site.open('/stream.html');
  await load(page, { storage: null });
  wanted = await answer(page);
  await close();
  expect(wanted.length).toBe(TOKENS);
  server.reset();
});
afterEach(async () => {
  await running?.close();
  running = undefined;
  profile.remove();
  server.reset();
  server.setLink({});
});
afterAll(async () => {
  await site.close();
  await server.close();
});

describe('tabs', () => {
  it('four load one model: one keeps it, the others say so, all are right (N11); when it crashes, the next keeps it (D15)', async () => {
    const first = await start();
    const context = first.context();
    const others = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const page = await context.newPage();
        await page.goto(site.at('/stream.html'));
        return page;
      }),
    );
    const pages = [first, ...others];
    await Promise.all(pages.map((page) => load(page)));
    await Promise.all(pages.map((page) => page.evaluate(() => window.stream.settled())));
    const sent = weightsSent();
    const stores = await Promise.all(pages.map(storage));
    console.log(`four tabs: ${(sent / weightBytes).toFixed(2)} times the weights sent`, stores);
    for (const page of pages) expect(await answer(page)).toEqual(wanted);
    expect(stores.filter(({ kind }) => kind === 'opfs').length).toBe(1);
    for (const { note } of stores.filter(({ kind }) => kind !== 'opfs')) expect(note).toMatch(/another tab/);
    // No tab fetches anything twice.
    expect(sent).toBeLessThan(pages.length * 1.1 * weightBytes);

    const keeper = pages[stores.findIndex(({ kind }) => kind === 'opfs')]!;
    const heir = pages.find((page) => page !== keeper)!;
    const session = await context.newCDPSession(keeper);
    session.send('Page.crash').catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 500));
    server.reset();
    await load(heir);
    expect((await storage(heir)).kind).toBe('opfs');
    expect(await answer(heir)).toEqual(wanted);
    expect(weightsSent(), 'bytes of weights that the heir fetched').toBe(0);
  });
});

describe('SIGKILL while the engine keeps a model (N07)', () => {
  it('at random moments: it loads again, with the same tokens', async () => {
    // Slow enough that a kill falls into the download; each start goes on where the last kill left it.
    server.setLink({ bytesPerSecond: 0.4e6 });
    const shares: string[] = [];
    const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
    for (const [kill, share] of [0.3, 0.2, 0.2].entries()) {
      const page = await start();
      const before = weightsSent();
      let isOver = false;
      const loading = load(page, { start: 'early' }).then(() => page.evaluate(() => window.stream.settled()));
      const over = (): void => void (isOver = true);
      loading.then(over, over);
      while (!isOver && weightsSent() - before < share * weightBytes) await pause(20);
      await pause(integers(kill + 1, 1, 700)[0]!);
      await running!.kill();
      shares.push(((weightsSent() - before) / weightBytes).toFixed(2));
    }
    server.setLink({});
    const before = weightsSent();
    const page = await start();
    await load(page, { start: 'early' });
    expect(await answer(page)).toEqual(wanted);
    await page.evaluate(() => window.stream.settled());
    expect(await page.evaluate(() => window.stream.kept)).toMatchObject({ isComplete: true });
    shares.push(((weightsSent() - before) / weightBytes).toFixed(2));
    console.log(`3 kills; of the weights, the starts fetched ${shares.join(', ')}`);
  });
});

describe('a quota of 30 % of what the model needs (N08)', () => {
  it('the model runs, keeps what fits, and says why', async () => {
    const page = await start();
    const session = await page.context().newCDPSession(page);
    const { origin } = new URL(page.url());
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: Math.round(0.3 * weightBytes) });
    await load(page, { expertsResident: 0.25 });
    expect(await answer(page)).toEqual(wanted);
    await page.evaluate(() => window.stream.settled());
    const { kept, stats } = await page.evaluate(async () => ({
      kept: window.stream.kept,
      stats: await window.stream.stats,
    }));
    console.log(`quota of 30 %: ${JSON.stringify(kept)}`, stats.storage);
    expect(stats.storage.note).toMatch(/full|room/);
    expect(kept?.isComplete ?? false).toBe(false);
    await page.evaluate(() => window.stream.evict(1));
    expect(await answer(page)).toEqual(wanted);
    await session.send('Storage.overrideQuotaForOrigin', { origin });
  });
});
