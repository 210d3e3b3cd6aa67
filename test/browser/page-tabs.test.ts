/** Two tabs of the real page with one model. */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openBuiltPage, type BuiltPage } from '../support/built-page.ts';
import { filesOf } from '../support/models.ts';

const WAIT = { timeout: 300_000 };

let site: BuiltPage;
beforeAll(async () => {
  site = await openBuiltPage();
});
afterAll(() => site.close());

async function answer(page: Page): Promise<string> {
  await page.getByRole('button', { name: 'Load the model' }).click(WAIT);
  await page.locator('.chat').waitFor(WAIT);
  const box = page.getByRole('textbox', { name: 'Message' });
  await box.fill('abcd');
  await box.press('Enter');
  const text = page.locator('.assistant .text').first();
  await expect.poll(() => text.textContent(), WAIT).toMatch(/\w{4}/);
  await page.keyboard.press('Escape');
  await page.locator('.log[aria-busy=false]').waitFor(WAIT);
  return ((await text.textContent()) ?? '').slice(0, 4);
}

it('both load the model at once and answer; it is fetched once', async () => {
  const { context, problems } = await site.context();
  const pages = [await context.newPage(), await context.newPage()];
  for (const page of pages) {
    await page.goto(site.url);
    await page.getByText('then kept in this browser').waitFor(WAIT);
  }
  site.forget();
  const answers = await Promise.all(pages.map(answer));
  const shards = Object.entries(filesOf('test/fixtures/families/olmoe')).filter(([name]) => name.startsWith('model-'));
  const ratio = site.modelBytes / shards.reduce((sum, [, { length }]) => sum + length, 0);
  console.log(`two tabs of the page: ${ratio.toFixed(2)} times the weights sent`);
  for (const text of answers) expect(text).toMatch(/^[a-p]{4}$/);
  expect(ratio).toBeGreaterThan(0.9);
  expect(ratio).toBeLessThan(1.4);
  expect(problems).toEqual([]);
  await context.close();
});
