/** Crashes of the GPU process under the page that people use: the conversation goes on with the words of an undisturbed one. */
import { chromium, type Browser, type CDPSession, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CHROMIUM, CHROMIUM_ARGS, openSite, type Site } from '../support/browser.ts';
import { faultServer, type FaultServer } from '../support/fault-server.ts';
import { withLetters } from '../support/letters.ts';
import { fixturePath, type Files } from '../support/models.ts';
import { filesOf } from '../support/served-file.ts';

/** Else the third crash within two minutes leaves the page without an adapter, and a few more the browser without a GPU. */
const UNLIMITED = ['--disable-domain-blocking-for-3d-apis', '--disable-gpu-process-crash-limit'];
const SLOW = { bytesPerSecond: 150e3, latencyMs: 5 };
const FAST = { bytesPerSecond: 1e9, latencyMs: 0 };
const QUESTIONS = ['abcdefghijklmnop'.repeat(36), 'ponmlkji', 'hgfe'];
const LOST = 'The graphics device was lost; rebuilding';

let site: Site;
let server: FaultServer;
let browser: Browser;
let devtools: CDPSession;
beforeAll(async () => {
  server = await faultServer(withLetters(filesOf(fixturePath('families/olmoe')) as Files), { cors: 'exposed' });
  site = await openSite();
  browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: [...CHROMIUM_ARGS, ...UNLIMITED] });
  devtools = await browser.newBrowserCDPSession();
}, 300_000);
afterAll(async () => {
  await browser.close();
  await site.close();
  await server.close();
});

const crash = (): Promise<unknown> => devtools.send('Browser.crashGpuProcess' as 'Browser.close');

/** The page, and the notices over its conversation as they came. */
async function openPage(): Promise<{ page: Page; problems: string[] }> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  await page.goto(site.at(`/?model=${server.url}`));
  await page.getByRole('button', { name: 'Load the model' }).click();
  return { page, problems };
}

/** The same words each time, and enough of them to be caught in the middle. */
async function settle(page: Page): Promise<void> {
  await page.locator('.chat').waitFor({ timeout: 120_000 });
  await page.getByRole('button', { name: 'Settings of this conversation' }).click();
  for (const [label, value] of [
    ['Temperature', '1'],
    ['Seed', '7'],
    ['Longest answer', '60'],
  ] as const)
    await page.getByLabel(label, { exact: true }).fill(value);
  await page.keyboard.press('Escape');
}

const send = async (page: Page, text: string): Promise<void> => {
  const box = page.getByRole('textbox', { name: 'Message' });
  await box.fill(text);
  await box.press('Enter');
};
const settled = (page: Page): Promise<void> => page.locator('.log[aria-busy=false]').waitFor({ timeout: 120_000 });
const answers = (page: Page): Promise<string[]> => page.locator('.assistant .text').allTextContents();
const notice = (page: Page, text: string): Promise<unknown> =>
  page.waitForFunction((t) => document.querySelector('p.notice:not([hidden])')?.textContent?.includes(t), text, {
    polling: 5,
    timeout: 60_000,
  });
const noNotice = (page: Page): Promise<void> => page.locator('p.notice').waitFor({ state: 'hidden', timeout: 60_000 });

let want: string[];

it('what an undisturbed page says', { timeout: 300_000 }, async () => {
  const { page, problems } = await openPage();
  await settle(page);
  for (const question of QUESTIONS) {
    await send(page, question);
    await settled(page);
  }
  want = await answers(page);
  expect(want.map((text) => text.length > 40)).toEqual([true, true, true]);
  expect(problems).toEqual([]);
  await page.context().close();
});

it('crashed while it loads, reads, writes and waits, it says the same', { timeout: 300_000 }, async () => {
  server.setLink(SLOW);
  const { page, problems } = await openPage();
  await page.waitForFunction(() => (document.querySelector('progress')?.position ?? 0) > 0, undefined, {
    polling: 5,
  });
  await crash();
  server.setLink(FAST);
  await settle(page);

  await send(page, QUESTIONS[0]!);
  await crash();
  await notice(page, LOST);
  expect((await answers(page)).join('')).toBe('');
  await settled(page);

  await send(page, QUESTIONS[1]!);
  await page.waitForFunction(() => (document.querySelectorAll('.assistant .text')[1]?.textContent ?? '').length > 8);
  await crash();
  expect((await answers(page))[1]!.length).toBeLessThan(want[1]!.length);
  await notice(page, LOST);
  await settled(page);
  await noNotice(page);

  await crash();
  await notice(page, LOST);
  await noNotice(page);
  await send(page, QUESTIONS[2]!);
  await settled(page);
  expect(await answers(page)).toEqual(want);
  expect(problems).toEqual([]);
  await page.context().close();
});
