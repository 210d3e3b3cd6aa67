/** The views of what a whole text, a layer or a model does: heatmap, load, popularity, capacity, repetition, pairs, flow, domains, atlas. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { describeViews, openViews, showView, type ViewCase } from '../support/viz-conformance.ts';

const CASES: readonly ViewCase[] = [
  {
    element: 'moe-heatmap',
    link: 's.as=share&s.order=load',
    state: { as: 'share', order: 'load' },
    summary: /216 tokens, 2 of 8 experts each; an even load is 54\.0 choices, and chance/,
    lacks: { trace: 'none', says: /No trace yet/ },
  },
  {
    element: 'moe-load',
    link: 's.group=losses',
    state: { group: 'losses' },
    summary: /216 tokens, 2 of 8 experts.*by chance 0\.\d+ to 0\.\d+/,
    lacks: { trace: 'none', says: /No trace yet/ },
  },
  {
    element: 'moe-popularity',
    link: 's.top=50&s.measure=rare',
    state: { top: 50, measure: 'rare' },
    summary: /216 tokens; the busiest 2 experts of 8 take .* %.*by chance/,
    lacks: { trace: 'none', says: /No trace yet/ },
  },
  {
    element: 'moe-capacity',
    link: 's.factor=2&s.order=gate',
    state: { factor: 2, order: 'gate' },
    summary: /216 tokens; at ×1\.25 .*by chance/,
    lacks: { trace: 'none', says: /No trace yet/ },
  },
  {
    element: 'moe-repetition',
    link: 's.measure=jaccard',
    state: { measure: 'jaccard' },
    summary: /207 pairs .*by chance/,
    lacks: { trace: 'none', says: /No trace yet/ },
    keys: ['ArrowRight'],
  },
  {
    element: 'moe-coactivation',
    link: 's.as=pmi&s.least=3&s.order=id',
    state: { as: 'pmi', least: 3, order: 'id' },
    summary: /216 tokens, 8 experts; by chance .* 14\.3 %/,
    lacks: { trace: 'bare', size: { topK: 1 }, says: /no pairs/ },
  },
  {
    element: 'moe-flow',
    link: 's.first=1&s.third=3&s.pairs=all&s.least=2',
    state: { first: '1', third: '3', pairs: 'all', least: 2 },
    summary: /216 tokens.*Mutual information: layer 0 → 1: .*by chance/,
    lacks: { trace: 'bare', size: { layers: 1 }, says: /one MoE layer/ },
  },
  {
    element: 'moe-domains',
    link: 's.domain=prose',
    state: { domain: 'prose' },
    summary: /216 tokens of 3 kinds of text.*by chance/,
    lacks: { trace: 'bare', says: /what kinds of text.*--prompts/ },
  },
  {
    element: 'moe-atlas',
    link: 's.by=type&s.colour=type',
    state: { by: 'type', colour: 'type' },
    summary: /216 tokens, 32 experts .*by chance about 25\.0 %/,
    lacks: { trace: 'bare', size: { chats: 2 }, says: /fewer than three chats/ },
  },
];

let site: Site;
let opened: OpenedPage;
beforeAll(async () => {
  site = await openSite('viz.html');
  opened = await openViews(site);
}, 120_000);
afterAll(async () => {
  expect(opened.problems).toEqual([]);
  await site.close();
});

describeViews(CASES, () => opened.page);

it('shows published counts by kind of text without a trace', async () => {
  const { page } = opened;
  await page.evaluate(async () => {
    document.querySelector('main')!.replaceChildren();
    await window.viz.show('moe-domains', null, 's.layer=7', { counts: await window.viz.published('mixtral') });
  });
  await page.locator('moe-domains footer').waitFor();
  expect(await page.locator('moe-domains .badge').first().innerText()).toBe('published data');
  expect(await page.locator('moe-domains .summary').innerText()).toMatch(
    /5 kinds of text, layer 7; mean distance 0\.0/,
  );
  expect(await page.locator('moe-domains svg.figure').count()).toBe(6);
});

it('lists the tokens of a pair, which select', async () => {
  const { page } = opened;
  await showView(page, 'moe-coactivation', 'synthetic', { link: 's.with=2&expert=1' });
  const button = page.locator('moe-coactivation .tokens button').first();
  const token = Number(await button.innerText());
  await button.click();
  expect(await page.evaluate(() => window.viz.brush.selection.token)).toBe(token);
});

it('strikes dropped tokens through, in views that share the brush, as long as the capacity view is there', async () => {
  const { page } = opened;
  await showView(page, 'moe-capacity', 'synthetic', { link: 's.factor=0.5' });
  const dropped = await page.evaluate(() => window.viz.brush.dropped?.size ?? 0);
  expect(dropped).toBeGreaterThan(50);
  expect(await page.locator('moe-capacity s').count()).toBeGreaterThan(20);
  await page.evaluate(() => document.querySelector('main')!.replaceChildren());
  expect(await page.evaluate(() => window.viz.brush.dropped)).toBe(null);
});
