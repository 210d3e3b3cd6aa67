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

/** So many tabs of one browser. */
async function tabs(count: number): Promise<Page[]> {
  const first = await start();
  const others = Array.from({ length: count - 1 }, async () => {
    const page = await first.context().newPage();
    await page.goto(site.at('/stream.html'));
    return page;
  });
  return [first, ...(await Promise.all(others))];
}

const crash = async (page: Page): Promise<void> => {
  const session = await page.context().newCDPSession(page);
  session.send('Page.crash').catch(() => undefined);
};

describe('tabs', () => {
  it('four load one model at once: it is fetched once, all are right (N11); when the one that keeps it crashes, the next does (D15)', async () => {
    const pages = await tabs(4);
    await Promise.all(pages.map((page) => load(page)));
    await Promise.all(pages.map((page) => page.evaluate(() => window.stream.settled())));
    const sent = weightsSent();
    const stores = await Promise.all(pages.map(storage));
    console.log(`four tabs: ${(sent / weightBytes).toFixed(2)} times the weights sent`, stores);
    for (const page of pages) expect(await answer(page)).toEqual(wanted);
    expect(stores).toEqual(pages.map(() => ({ kind: 'opfs', note: null })));
    // Headers of the shards are read by each, until the first has kept them.
    expect(sent).toBeLessThan(1.1 * weightBytes);

    const [one, heir] = pages as [Page, Page];
    await crash(one);
    await new Promise((resolve) => setTimeout(resolve, 500));
    server.reset();
    await load(heir);
    expect((await storage(heir)).kind).toBe('opfs');
    expect(await answer(heir)).toEqual(wanted);
    expect(weightsSent(), 'bytes of weights that the heir fetched').toBe(0);
  });

  it('the first crashes in the middle: the second goes on with what is kept, and keeps the rest', async () => {
    const [first, second] = (await tabs(2)) as [Page, Page];
    server.setLink({ bytesPerSecond: 0.05e6 });
    const lost = load(first, { start: 'early' }).then(() => first.evaluate(() => window.stream.settled()));
    lost.catch(() => undefined);
    while (weightsSent() < 0.3 * weightBytes) await new Promise((resolve) => setTimeout(resolve, 20));
    const waiting = load(second, { start: 'early' });
    waiting.catch(() => undefined); // awaited below
    // What it is told is what the first has kept by now.
    const told = (): Promise<number> =>
      second.evaluate(() => {
        const { phase, loadedBytes, totalBytes } = window.stream;
        return phase === 'elsewhere' && totalBytes > 0 ? loadedBytes / totalBytes : 0;
      });
    // Everything but the experts comes first, in one step: then the first of them.
    let dense = 0;
    const hasExperts = async (): Promise<boolean> => {
      const now = await told();
      dense ||= now;
      return now > dense;
    };
    await expect.poll(hasExperts, { timeout: 120_000 }).toBe(true);
    await crash(first);
    const before = weightsSent();
    await waiting;
    const { presentBytes, totalBytes } = (await second.evaluate(() => window.stream.kept))!;
    console.log(
      `two tabs, the first crashed with ${(presentBytes / totalBytes).toFixed(2)} kept; the second fetched ${weightsSent() - before} bytes to start`,
    );
    expect(presentBytes / totalBytes).toBeGreaterThan(dense);
    server.setLink({});
    expect(await answer(second)).toEqual(wanted);
    await second.evaluate(() => window.stream.settled());
    expect(await second.evaluate(() => window.stream.kept)).toMatchObject({ isComplete: true });

    // And all of it is right: a third reads nothing from the network.
    const all = weightsSent();
    const third = await second.context().newPage();
    await third.goto(site.at('/stream.html'));
    await load(third);
    expect(await answer(third)).toEqual(wanted);
    expect(weightsSent()).toBe(all);
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
