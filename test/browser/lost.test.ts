/** The GPU process is crashed, as `chrome://gpucrash` does it: the answer is the one of an undisturbed run, or the end is clear. */
import { chromium, type Browser, type CDPSession, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CHROMIUM, CHROMIUM_ARGS, openSite, type Site } from '../support/browser.ts';
import { faultServer, type FaultServer } from '../support/fault-server.ts';
import { fixturePath } from '../support/models.ts';
import { filesOf } from '../support/served-file.ts';
import type { StreamOptions } from './pages/stream.ts';

const PROMPT = Array.from({ length: 45 }, (_, i) => (37 * i + 5) % 256);
const TOKENS = 40;
const OPTIONS: StreamOptions = { prefillChunk: 4, storage: null, expertsResident: 0.5 };

/** Else the third crash within two minutes leaves the page without an adapter, and a few more the browser without a GPU. */
const UNLIMITED = ['--disable-domain-blocking-for-3d-apis', '--disable-gpu-process-crash-limit'];

let site: Site;
let server: FaultServer;
let browser: Browser;
let page: Page;
let session: CDPSession;
let want: { readonly first: number[]; readonly second: number[]; readonly bits: string };

beforeAll(async () => {
  site = await openSite('stream.html');
  server = await faultServer(filesOf(fixturePath('families/olmoe')), { cors: 'exposed' });
  browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: [...CHROMIUM_ARGS, ...UNLIMITED] });
  page = await openPage();
  session = await browser.newBrowserCDPSession();
  await load(page);
  want = { first: await answer(PROMPT), second: await answer(SECOND), bits: await bits() };
}, 300_000);
afterAll(async () => {
  await browser.close();
  await server.close();
  await site.close();
});

async function openPage(): Promise<Page> {
  const opened = await browser.newPage();
  await opened.goto(site.at('/stream.html'));
  return opened;
}

const SECOND = [...PROMPT.slice(0, 30), 3, 1, 4, 1, 5];

const load = (on: Page): Promise<void> =>
  on.evaluate(([url, options]) => window.stream.load(url, options), [server.url, OPTIONS] as const);
const answer = (prompt: readonly number[], tokens = TOKENS): Promise<number[]> =>
  page.evaluate(async ([ids, most]) => (await window.stream.answer(ids, most)).ids, [
    prompt as number[],
    tokens,
  ] as const);
const bits = (): Promise<string> => page.evaluate((ids) => window.stream.logitBits(ids), PROMPT);
const phases = (on = page): Promise<string[]> =>
  on.evaluate(() => window.stream.recoveries.map((e) => `${e.phase} ${e.attempt}`));
const crash = (on = session): Promise<unknown> => on.send('Browser.crashGpuProcess' as 'Browser.close');
const until = (what: () => boolean): Promise<unknown> => page.waitForFunction(what, undefined, { polling: 5 });

const RECOVERED = ['lost 1', 'rebuilding 1', 'recovered 1'];

it('loads although it is lost on the way', { timeout: 120_000 }, async () => {
  const loading = load(page);
  await until(() => window.stream.loadedBytes > 0);
  await crash();
  await loading;
  expect(await answer(PROMPT)).toEqual(want.first);
});

it('reads a prompt, writes, and goes on, with the tokens of an undisturbed run', { timeout: 120_000 }, async () => {
  await load(page);
  const first = answer(PROMPT); // twelve chunks, the first of them now
  await crash();
  expect(await first).toEqual(want.first);
  expect(await phases()).toEqual(RECOVERED);

  await page.evaluate(() => (window.onDrawn = (count) => (document.body.dataset.drawn = String(count))));
  const second = answer(SECOND);
  await until(() => Number(document.body.dataset.drawn) >= 5);
  await crash();
  expect(await second).toEqual(want.second);
  expect(await phases()).toEqual([...RECOVERED, ...RECOVERED]);

  await crash();
  await until(() => window.stream.recoveries.filter((e) => e.phase === 'recovered').length === 3);
  expect(await bits()).toBe(want.bits);
});

it('ends in a clear state when each new device is lost, too', { timeout: 120_000 }, async () => {
  // Another page: one whose model goes after four crashes of the GPU process may crash itself (docs/reliability.md).
  await page.close();
  page = await openPage();
  await load(page);
  await crash();
  for (const n of [1, 2]) {
    await page.waitForFunction(
      (attempt) => window.stream.recoveries.some((e) => e.phase === 'rebuilding' && e.attempt === attempt),
      n,
      { polling: 5 },
    );
    await crash();
  }
  const failure = await page.evaluate((ids) => window.stream.tryAnswer(ids, 3), PROMPT);
  expect(failure).toMatchObject({ name: 'DeviceLost', code: 'device-lost' });
  expect((await phases()).at(-1)).toBe('gave-up 3');
  expect(await page.evaluate(async () => (await window.stream.model.lost).reason)).toBe('unknown');
});

it('and so it does where the browser holds the card back after two crashes', { timeout: 120_000 }, async () => {
  const { page: other, close } = await site.open('/stream.html');
  const own = await site.browser.newBrowserCDPSession();
  await load(other);
  await crash(own);
  await other.waitForFunction(() => window.stream.recoveries.some((e) => e.phase === 'recovered'));
  await crash(own);
  await other.waitForFunction(() => window.stream.recoveries.at(-1)?.phase === 'gave-up', undefined, {
    timeout: 60_000,
  });
  const failure = await other.evaluate((ids) => window.stream.tryAnswer(ids, 3), PROMPT);
  expect(failure).toMatchObject({ name: 'DeviceLost' });
  expect((failure as { message: string }).message).toContain('no graphics adapter for two minutes');
  await close();
});
