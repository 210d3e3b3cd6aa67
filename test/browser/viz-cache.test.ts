/** The views of memory, time and change: cache, residency, rules, time, comparison, interventions, and the simulated gate. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MoeElement, Runner } from '../../src/viz/index.ts';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { axeProblems, describeViews, openViews, showView, type ViewCase } from '../support/viz-conformance.ts';

const CASES: readonly ViewCase[] = [
  {
    element: 'moe-cache-timeline',
    link: 's.policy=lru&s.share=0.5',
    state: { policy: 'lru', share: 0.5 },
    summary: /step.*hit rate \d.* %/,
    lacks: { trace: 'none', says: /No trace yet/ },
  },
  {
    element: 'moe-compare',
    link: 's.with=phases',
    state: { with: 'phases' },
    summary: /experts in common \(chance 25\.0 %\)/,
    lacks: { trace: 'none', says: /No trace yet/ },
  },
  {
    element: 'moe-gate-simulation',
    link: 's.kind=top-2&s.seed=3&s.balance=0.1',
    state: { kind: 'top-2', seed: 3, balance: 0.1 },
    summary: /Simulation, 400 steps of 64 points.*chance/,
    lacks: null,
  },
  {
    element: 'moe-policies',
    link: 's.show=bytes',
    state: { show: 'bytes' },
    summary: /tokens of answers.*Belady .*chance 20 %/,
    lacks: { trace: 'none', says: /No trace yet/ },
  },
  {
    element: 'moe-residency',
    link: 's.policy=belady&s.share=0.75',
    state: { policy: 'belady', share: 0.75 },
    summary: /Simulation: next-use, 25 % of the experts.*by chance/,
    lacks: { trace: 'none', says: /No trace yet/ },
  },
  {
    element: 'moe-timeline',
    link: 's.show=bytes&s.lane=prefill',
    state: { show: 'bytes', lane: 'prefill' },
    summary: /Prompt: .* a second\. Answer: .* no chance level/,
    lacks: { trace: 'bare', says: /no times/ },
  },
];

let site: Site;
let opened: OpenedPage;
beforeAll(async () => {
  site = await openSite('viz.html');
  opened = await openViews(site);
});
afterAll(async () => {
  expect(opened.problems).toEqual([]);
  await site.close();
});

describeViews(CASES, () => opened.page);

describe('what is a simulation says so', () => {
  it.each(['moe-residency', 'moe-policies', 'moe-gate-simulation'])('%s', async (element) => {
    await showView(opened.page, element, 'synthetic');
    expect(await opened.page.locator(`${element} .badge`).innerText()).toBe('simulation');
  });
});

/** A model of ten tokens whose likeliest next token is the number of changes that it was asked for. */
async function showInterventions(): Promise<void> {
  await opened.page.evaluate(async () => {
    document.querySelector('main')!.replaceChildren();
    const view = (await window.viz.show('moe-interventions', null)) as MoeElement & { runner: Runner };
    const logitsFor = (changes: object | undefined): Float32Array =>
      Float32Array.from({ length: 10 }, (_, i) => (i === (changes ? 3 : 1) ? 2 : 0));
    view.runner = {
      name: 'ten tokens',
      layers: 2,
      experts: 4,
      topK: 2,
      encode: (text) => Promise.resolve(Array.from(text, (_, i) => i % 10)),
      texts: (ids) => Promise.resolve(ids.map((id) => (id === 3 ? '<img src=x onerror="window.hacked=1">' : `t${id}`))),
      next: (_, { changes }) => {
        const masked = changes?.mask?.[0]?.[1];
        return Promise.resolve({
          logits: logitsFor(masked === 3 ? undefined : changes),
          chosen: [
            [0, 1],
            [2, 3],
          ],
        });
      },
      continue: (_, { changes }) => Promise.resolve(changes ? 'changed text' : 'plain text'),
    };
    await view.updateComplete;
  });
}

describe('moe-interventions', () => {
  it('says that a model is needed', async () => {
    await showView(opened.page, 'moe-interventions', 'none');
    expect(await opened.page.locator('moe-interventions .empty').innerText()).toMatch(/No model is loaded/);
  });

  it('shows both texts, the tokens that moved, and a distance that undo takes away', async () => {
    await showInterventions();
    const view = opened.page.locator('moe-interventions');
    await view.getByRole('button', { name: 'Run with and without' }).click();
    await view.getByText('changed text').waitFor();
    expect(await view.getByText('plain text').count()).toBe(1);
    expect(await view.locator('.summary').innerText()).toMatch(/L0·E0 switched off: KL 0\.\d+ nats/);
    expect(await axeProblems(opened.page)).toEqual([]);
    await view.getByRole('button', { name: 'Undo' }).click();
    await view.getByText('changed text').waitFor({ state: 'detached' });
  });

  it('tries each expert of a layer, and names strangers’ tokens as text', async () => {
    await showInterventions();
    const view = opened.page.locator('moe-interventions');
    await view.getByRole('button', { name: 'Switch off each expert of layer 0' }).click();
    await expect.poll(() => view.locator('.summary').innerText()).toMatch(/1 of 4 without any effect/);
    await view.getByRole('button', { name: 'Table', exact: true }).click();
    const rows = await view.locator('tbody tr').allInnerTexts();
    expect(rows).toHaveLength(4);
    expect(rows[3]).toMatch(/^0\s+3\s+no\s+0\s+0\s+0\s+t1$/);
    expect(rows[0]).toContain('<img·src=x');
    expect(await opened.page.evaluate(() => 'hacked' in window)).toBe(false);
  });
});
