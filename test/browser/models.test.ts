/** Choosing a model and downloading it, on a scripted engine. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSite, type Site } from '../support/browser.ts';
import { Driver, PHONE } from './driver.ts';

const TOKEN = 'hf_tellNobody123';
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let site: Site;
beforeAll(async () => {
  site = await openSite('fake.html');
});
afterAll(() => site.close());

const open = (query = '', options = {}): Promise<Driver> => Driver.open(site, query, options);
const sources = (page: Page): Promise<unknown[]> => page.evaluate(() => window.fake.sources.map((s) => s.source));
const idBox = (page: Page): ReturnType<Page['getByLabel']> => page.getByLabel(/^Any model on the Hub/);

/** Ids of axe's rules that are broken seriously. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { axe: run } = window as unknown as {
      axe: { run(): Promise<{ violations: { id: string; impact: string }[] }> };
    };
    const found = await run.run();
    return found.violations.filter(({ impact }) => /serious|critical/.test(impact)).map(({ id }) => id);
  });
}

it('a known model is chosen, asked for, and left again', async () => {
  const d = await open('?storage');
  const olmoe = d.page.locator('[data-id="allenai/OLMoE-1B-7B-0924-Instruct"]');
  expect(await olmoe.innerText()).toContain('1.3 B of 6.9 B parameters a token · 16 layers × 64 experts, 8 chosen');
  expect(await olmoe.innerText()).toContain('13.8 GB download · runs in 4 bits · estimate: 190 tokens/s');
  await olmoe.getByText('The arithmetic').click();
  expect(await olmoe.locator('table').innerText()).toMatch(/Together\s+5\.12 GB\s+Budget\s+6\.44 GB/);
  await d.button('Choose OLMoE 1B-7B Instruct').click();
  await d.page.getByText('You are about to load OLMoE-1B-7B-0924-Instruct (129 MB) from huggingface.co').waitFor();
  await expect
    .poll(() => d.page.locator('[data-fact=keeping]').innerText())
    .toMatch(/^129 MB, then kept in this browser\./);
  expect((await sources(d.page)).at(-1)).toEqual({ hub: 'allenai/OLMoE-1B-7B-0924-Instruct' });
  expect(await d.page.evaluate(() => window.fake.loads.length)).toBe(0); // not before the visitor says so
  await d.button('Back to the first model').click();
  await d.page.getByText('You are about to load smolmoe-135m-instruct').waitFor();
  await d.done();
});

it('the list is ordered and filtered, and has no speeds on a software adapter', async () => {
  const d = await open();
  const names = (): Promise<string[]> => d.page.locator('.offer h3').allInnerTexts();
  expect((await names())[0]).toBe('gpt-oss 20B');
  await d.page.getByLabel('Order:').selectOption('speed');
  expect((await names())[0]).toBe('OLMoE 1B-7B Instruct');
  await d.page.getByLabel('Only those that fit whole').check();
  expect(await names()).toEqual(['OLMoE 1B-7B Instruct']);
  await d.done();
  const software = await open('?software');
  expect(await software.page.locator('.picker').innerText()).not.toMatch(/tokens\/s|fastest/);
  await software.done();
});

it('takes an id or an address, and says what is wrong with anything else', async () => {
  const d = await open();
  const look = async (text: string): Promise<void> => {
    await idBox(d.page).fill(text);
    await idBox(d.page).press('Enter');
  };
  await look('not a model');
  expect(await d.page.getByRole('alert').innerText()).toContain('neither a model’s id');
  await look('org/name@v1');
  await d.page.getByText('You are about to load name').waitFor();
  await look('https://example.org/models/tiny');
  await d.page.getByText('You are about to load tiny').waitFor();
  expect((await sources(d.page)).slice(-2)).toEqual([
    { hub: 'org/name', revision: 'v1' },
    'https://example.org/models/tiny/',
  ]);
  await d.done();
});

it('a token goes to its Hub only, and is stored nowhere unless asked', async () => {
  const d = await open();
  await d.page.getByText('Access token, another Hub').click();
  await d.page.getByLabel(/^Access token,/).fill(TOKEN);
  const stored = (): Promise<string> =>
    d.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href]));
  await idBox(d.page).fill('org/gated');
  await d.button('Look at it').click();
  await d.page.getByText('You are about to load gated').waitFor();
  expect((await sources(d.page)).at(-1)).toEqual({ hub: 'org/gated', token: TOKEN });
  expect(await stored()).not.toContain(TOKEN);
  await d.page.getByText('Access token, another Hub').click();
  await d.page.getByLabel('Keep it until this tab is closed').check();
  await idBox(d.page).fill('org/gated');
  await d.button('Look at it').click();
  await expect.poll(stored).toContain(TOKEN);
  expect(await d.page.evaluate(() => JSON.stringify({ ...localStorage }))).not.toContain(TOKEN);
  await d.page.getByText('Access token, another Hub').click();
  await d.page.getByLabel('Address of the Hub').fill('https://hub.example');
  await idBox(d.page).fill('org/other');
  await d.button('Look at it').click();
  await d.page.getByText('from hub.example').waitFor();
  expect((await sources(d.page)).at(-1)).toEqual({ hub: 'org/other', endpoint: 'https://hub.example' });
  expect(await stored()).not.toContain(TOKEN);
  await d.done();
});

it('what is kept is offered, and half a download goes on', async () => {
  const d = await open('?storage');
  const recents = d.page.getByRole('region', { name: 'On this computer' });
  await recents.waitFor();
  expect(await recents.locator('li').count()).toBe(2); // not the folder
  await d.button('Go on: qwen3-30b-a3b').click();
  const keeping = d.page.locator('[data-fact=keeping]');
  await expect.poll(() => keeping.innerText()).toContain('3.10 GB of 16.4 GB are on this computer already');
  await d.done();
});

it('pauses, goes on and is given up', async () => {
  const d = await open('?storage');
  await d.button('Load the model').click();
  const weights = { phase: 'weights', loadedBytes: 58.2e6, totalBytes: 129e6 } as const;
  await d.fake('progress', { ...weights, bytesPerSecond: 12.4e6, remainingSeconds: 5.7 });
  await d.button('Pause').click();
  await d.page.getByText('Paused. What was downloaded is kept').waitFor();
  // Nothing moves, but what is there stays in sight.
  expect(await d.page.locator('[data-fact=progress]').innerText()).toBe('58.2 MB of 129 MB');
  expect(await d.page.locator('progress').evaluate((bar: HTMLProgressElement) => bar.position)).toBeCloseTo(0.451, 3);
  expect(await d.page.evaluate(() => window.fake.loads.length)).toBe(1);
  await d.button('Go on').click();
  await d.button('Pause').waitFor();
  expect(await d.page.evaluate(() => window.fake.loads.length)).toBe(2);
  await d.button('Pause').click();
  await d.button('Cancel').click();
  await d.button('Load the model').waitFor();
  await d.done();
});

it('waits for the connection when it is away', async () => {
  const d = await open('?storage');
  await d.button('Load the model').click();
  await d.page.context().setOffline(true);
  await d.fake('failLoad', 'source');
  await d.page.getByText('No connection. The download goes on by itself').waitFor();
  await d.page.context().setOffline(false);
  await d.button('Pause').waitFor();
  await d.fake('finishLoad');
  await d.page.locator('.chat').waitFor();
  await d.done();
});

it('takes a folder that is dropped on the page', async () => {
  const d = await open();
  await d.page.locator('.start').evaluate((start) => {
    const data = new DataTransfer();
    data.items.add(new File(['{}'], 'config.json'));
    start.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
  });
  await d.page.getByText('Loading the chosen folder').waitFor();
  await d.done();
});

it.each(['light', 'dark'] as const)('can be used by everybody, %s', async (colorScheme) => {
  for (const [name, options] of [
    ['360', { ...PHONE, viewport: { width: 360, height: 800 } }],
    ['768', { viewport: { width: 768, height: 1024 } }],
    ['1440', { viewport: { width: 1440, height: 900 } }],
  ] as const) {
    const d = await open('?storage', { ...options, colorScheme });
    await d.page.getByText('Access token, another Hub').click();
    await d.page.locator('.sum summary').first().click();
    expect(await d.overflow()).toBeLessThanOrEqual(0);
    if (name !== '768') expect(await violations(d.page)).toEqual([]);
    if (process.env.SHOTS) {
      await d.page.locator('#app').evaluate((app) => (app.style.height = 'auto'));
      await d.page.screenshot({ path: `${process.env.SHOTS}/start-${colorScheme}-${name}.png`, fullPage: true });
    }
    await d.done();
  }
});
