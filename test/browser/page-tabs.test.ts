/** Two tabs of the real page with one model. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openBuiltPage, type BuiltPage } from '../support/built-page.ts';
import { filesOf } from '../support/models.ts';
import { answer, load, WAIT } from './visitor.ts';

let site: BuiltPage;
beforeAll(async () => {
  site = await openBuiltPage();
});
afterAll(() => site.close());

it('both load the model at once and answer; it is fetched once', async () => {
  const { context, problems } = await site.context();
  const pages = [await context.newPage(), await context.newPage()];
  for (const page of pages) {
    await page.goto(site.url);
    await page.getByText('then kept in this browser').waitFor(WAIT);
  }
  site.forget();
  const answers = await Promise.all(pages.map((page) => load(page).then(() => answer(page))));
  const shards = Object.entries(filesOf('test/fixtures/families/olmoe')).filter(([name]) => name.startsWith('model-'));
  const ratio = site.modelBytes / shards.reduce((sum, [, { length }]) => sum + length, 0);
  console.log(`two tabs of the page: ${ratio.toFixed(2)} times the weights sent`);
  for (const text of answers) expect(text).toMatch(/^[a-p]{4}/);
  expect(ratio).toBeGreaterThan(0.9);
  expect(ratio).toBeLessThan(1.4);
  expect(problems).toEqual([]);
  await context.close();
});
