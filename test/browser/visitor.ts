/** What a visitor does on the built page, and waits for. */
import type { BrowserContext, Page } from 'playwright-core';
import { expect } from 'vitest';

export const WAIT = { timeout: 300_000 };

export async function open(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

/** Waits until the page's own copy of itself is whole. */
export const copied = (page: Page): Promise<unknown> =>
  page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));

export async function load(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Load the model' }).click(WAIT);
  await page.locator('.chat').waitFor(WAIT);
}

/** The first answer, as far as it goes until it is stopped. */
export async function answer(page: Page, question = 'abcd'): Promise<string> {
  const box = page.getByRole('textbox', { name: 'Message' });
  await box.fill(question);
  await box.press('Enter');
  await expect.poll(() => page.locator('.assistant .text').first().textContent(), WAIT).toMatch(/\w{4}/);
  await page.keyboard.press('Escape');
  await page.locator('.log[aria-busy=false]').waitFor(WAIT);
  return (await page.locator('.assistant .text').first().textContent()) ?? '';
}

/** Waits until another visit would find the model on this computer, whole. */
export async function kept(context: BrowserContext, url: string): Promise<void> {
  const page = await open(context, url);
  const keeping = async (): Promise<string | null> => {
    await page.reload();
    await page.getByText('from localhost').waitFor(WAIT);
    const line = page.locator('[data-fact=keeping]');
    await expect.poll(() => line.textContent(), WAIT).not.toBe('');
    return line.textContent();
  };
  await expect.poll(keeping, WAIT).toMatch(/^It is on this computer already/);
  await page.close();
}
