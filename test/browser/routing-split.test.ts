/** Routing beside the chat, on the built page with a tiny model. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openBuiltPage, type BuiltPage } from '../support/built-page.ts';
import { axeProblems } from '../support/viz-conformance.ts';
import type { MoeElement } from '../../src/viz/index.ts';
import { answer, load, open, WAIT } from './visitor.ts';

let site: BuiltPage;
beforeAll(async () => {
  site = await openBuiltPage();
});
afterAll(() => site.close());

/** Rows of the grid's trace, and what it says of its origin. */
const traced = (root: {
  evaluate: <T>(read: () => T) => Promise<T>;
}): Promise<{ tokens: number; kind: string; chats: number } | null> =>
  root.evaluate(() => {
    const trace = document.querySelector<MoeElement>('.routing-split moe-token-grid')?.trace;
    if (!trace) return null;
    const { layers, topK } = trace.model;
    return {
      tokens: trace.ids.length / layers / topK,
      kind: trace.provenance?.kind ?? '',
      chats: trace.chats?.length ?? 0,
    };
  });

it(
  'stays away until asked for, then follows the answer token by token, and remembers',
  { timeout: 900_000 },
  async () => {
    const { context, problems } = await site.context({ viewport: { width: 1440, height: 900 } });
    const page = await open(context, site.url);
    await load(page);
    const toggle = page.getByRole('button', { name: 'Routing' });
    const split = page.locator('.routing-split');
    expect(await split.isVisible()).toBe(false);
    expect(await toggle.getAttribute('aria-expanded')).toBe('false');
    const before = await answer(page);
    expect(before).toMatch(/^[a-p]{4}/);
    expect(await traced(page)).toBe(null);

    await toggle.click();
    await split.locator('moe-token-grid').waitFor(WAIT);
    const box = page.getByRole('textbox', { name: 'Message' });
    await box.fill('efgh');
    await box.press('Enter');
    await expect.poll(async () => (await traced(page))?.tokens ?? 0, WAIT).toBeGreaterThan(8);
    const seen = (await traced(page))!.tokens;
    await expect.poll(async () => (await traced(page))!.tokens, WAIT).toBeGreaterThan(seen);
    await page.keyboard.press('Escape');
    await page.locator('.log[aria-busy=false]').waitFor(WAIT);
    expect(await traced(page)).toMatchObject({ kind: 'live', chats: 1 });
    await split.locator('moe-token-grid svg.figure').first().waitFor(WAIT);
    await split.locator('moe-heatmap svg.figure').first().waitFor(WAIT);
    expect(await split.getByText('live model').count()).toBe(3);
    expect(await axeProblems(page)).toEqual([]);
    await page.screenshot({ path: `${process.env.WEBMOE_SHOTS ?? 'node_modules/.cache'}/split-1440.png` });

    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    await page.screenshot({ path: `${process.env.WEBMOE_SHOTS ?? 'node_modules/.cache'}/split-390.png` });
    await split.getByRole('button', { name: 'Close' }).click();
    expect(await split.isVisible()).toBe(false);
    expect(await toggle.evaluate((button) => button === document.activeElement)).toBe(true);

    await toggle.click();
    await page.reload();
    await load(page);
    await split.locator('moe-token-grid').waitFor(WAIT);
    expect(problems).toEqual([]);
    await context.close();
  },
);
