/** The shipped model on the real page without a network, after one visit with it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openBuiltPage, type BuiltPage } from '../support/built-page.ts';
import { answer, copied, kept, load, open, WAIT } from './visitor.ts';

let site: BuiltPage;
beforeAll(async () => {
  site = await openBuiltPage({ shipped: true });
});
afterAll(() => site.close());

it('starts, loads and answers without a server', async () => {
  const { context, problems } = await site.context();
  const first = await open(context, site.url);
  await load(first);
  await copied(first);
  await kept(context, site.url);
  await first.close();
  await site.stop();
  await context.setOffline(true);
  const page = await open(context, site.url);
  await page.getByText('It is on this computer already').waitFor(WAIT);
  await load(page);
  expect(await answer(page, 'What is the capital of France?')).toMatch(/^\w+/);
  expect(problems).toEqual([]);
  await context.close();
});
