/** The views of tokens: strip, grid, history, router, confidence, expert and vocabulary. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { describeViews, openViews, showView, type ViewCase } from '../support/viz-conformance.ts';

const NOTHING = { trace: 'none', says: /No trace yet/ } as const;
const CASES: readonly ViewCase[] = [
  {
    element: 'moe-token-strip',
    link: 'token=30',
    state: {},
    summary: /216 tokens; .* of 207 \(chance: 12\.5 %, .*\)/,
    lacks: NOTHING,
  },
  {
    element: 'moe-token-grid',
    link: 's.by=layer&s.speed=9&token=12&pinned=3',
    state: { by: 'layer', speed: 9 },
    summary: /of 216 tokens, 4 layers; by chance .* 25\.0 %/,
    lacks: NOTHING,
    keys: ['ArrowLeft', 'ArrowDown'],
  },
  {
    element: 'moe-history',
    link: 'token=12&expert=2',
    state: {},
    summary: /216 tokens by 4 layers of 8 experts; by chance .* 25\.0 %/,
    lacks: NOTHING,
    svg: false,
  },
  {
    element: 'moe-router-bars',
    link: 's.order=number&token=9',
    state: { order: 'number' },
    summary: /Normalised entropy 0\.\d+ \(1: all 8 alike, 12\.5 % each\); margin .* n = 1/,
    lacks: { trace: 'bare', says: /neither router logits nor gate weights.*--logits/ },
  },
  {
    element: 'moe-confidence',
    link: 's.show=topShare&token=9',
    state: { show: 'topShare' },
    summary: /216 tokens in layer \d: median .* alike gives 1\.00/,
    lacks: { trace: 'bare', says: /neither router logits nor gate weights.*--logits/ },
  },
  {
    element: 'moe-expert-card',
    link: 'expert=3',
    state: {},
    summary: /^L\d·E\d took \d+ tokens of 216, .* \(chance: 25\.0 %\); the last was token \d+/,
    lacks: NOTHING,
  },
  {
    element: 'moe-vocabulary',
    link: 's.beyond=false&expert=1',
    state: { beyond: false },
    summary: /216 tokens of \d+ kinds; .*by chance at most 5\.0 %.*token read: .*n = \d+ ids/,
    lacks: { trace: 'bare', says: /no token texts.*webmoe trace record/ },
  },
];

let site: Site;
let opened: OpenedPage;
beforeAll(async () => {
  site = await openSite('viz.html');
  opened = await openViews(site);
}, 240_000);
afterAll(async () => {
  expect(opened.problems).toEqual([]);
  await site.close();
});

describeViews(CASES, () => opened.page);

const selection = (): Promise<{ token: number | null; pinned: number | null; layer: number }> =>
  opened.page.evaluate(() => window.viz.brush.selection);

describe('the strip', () => {
  it('selects with a click, pins with Shift or P, and strikes dropped tokens through', async () => {
    const { page } = opened;
    await showView(page, 'moe-token-strip', 'synthetic', { link: 'layer=0' });
    const tokens = page.locator('moe-token-strip g.token');
    await tokens.nth(5).locator('.word').click();
    await tokens
      .nth(7)
      .locator('.word')
      .click({ modifiers: ['Shift'] });
    expect(await selection()).toMatchObject({ token: 5, pinned: 7 });
    await page.locator('moe-token-strip .strip').press('p');
    expect(await selection()).toMatchObject({ token: 5, pinned: 5 });
    await page.evaluate(() => {
      window.viz.brush.dropped = new Set([2, 3]);
    });
    await expect.poll(() => page.locator('moe-token-strip g.dropped').count()).toBe(2);
    await page.evaluate(() => {
      window.viz.brush.dropped = null;
    });
  });

  it('keeps as few nodes for 10,000 tokens as for a page of them, and goes to the last', async () => {
    const { page } = opened;
    await showView(page, 'moe-token-strip', 'synthetic', { size: { chats: 10, prompt: 100, answer: 900 } });
    const tokens = page.locator('moe-token-strip g.token');
    expect(await tokens.count()).toBe(240);
    await page.locator('moe-token-strip .strip').press('End');
    expect((await selection()).token).toBe(9999);
    await expect.poll(() => page.locator('moe-token-strip g.token.on').count()).toBe(1);
    expect(await tokens.count()).toBeLessThanOrEqual(240);
  });
});

describe('the grid', () => {
  it('plays from token to token, and with reduced motion only steps', async () => {
    const { page } = opened;
    await showView(page, 'moe-token-grid', 'synthetic', { link: 's.play=true&s.speed=20&token=3' });
    await expect.poll(async () => (await selection()).token).toBeGreaterThan(6);
    await page.locator('moe-token-grid .matrix').press(' ');
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await showView(page, 'moe-token-grid', 'synthetic', { link: 's.play=true&s.speed=20&token=3' });
    await page.waitForTimeout(300);
    expect((await selection()).token).toBe(3);
    await page.locator('moe-token-grid .matrix').press(' ');
    expect((await selection()).token).toBe(4);
    await page.emulateMedia({ reducedMotion: null });
  });

  it('follows the last token of a trace that grows', async () => {
    const { page } = opened;
    await showView(page, 'moe-token-grid', 'synthetic', { link: 'layer=0', size: { answer: 16 } });
    expect(await page.locator('moe-token-grid .summary').innerText()).toContain('Token 215 ');
    await page.evaluate(async () => {
      const view = document.querySelector('moe-token-grid') as HTMLElement & {
        trace: unknown;
        updateComplete: Promise<unknown>;
      };
      view.trace = window.viz.synthetic({ answer: 17 });
      await view.updateComplete;
    });
    expect(await page.locator('moe-token-grid .summary').innerText()).toContain('Token 224 ');
  });
});

/** Pans a raster for `frames` frames by the wheel: times between frames, and tasks over 50 ms meanwhile. */
async function pan(frames: number): Promise<{ times: number[]; long: number[] }> {
  return opened.page.evaluate(async (n) => {
    const canvas = document.querySelector('moe-history')!.shadowRoot!.querySelector('canvas')!;
    const box = canvas.getBoundingClientRect();
    const long: number[] = [];
    const watch = new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => long.push(duration)));
    watch.observe({ entryTypes: ['longtask'] });
    const frame = (): Promise<number> => new Promise((done) => requestAnimationFrame(done));
    const times: number[] = [];
    let last = await frame();
    for (let i = 0; i < n; i++) {
      const zoom = i % 40 === 20;
      canvas.dispatchEvent(
        new WheelEvent('wheel', {
          deltaX: zoom ? 0 : i < n / 2 ? 24 : -24,
          deltaY: zoom ? (i < n / 2 ? -60 : 60) : i % 2 ? 12 : -8,
          ctrlKey: zoom,
          clientX: box.left + 300,
          clientY: box.top + 100,
          bubbles: true,
          cancelable: true,
        }),
      );
      const now = await frame();
      times.push(now - last);
      last = now;
    }
    await frame();
    watch.disconnect();
    return { times, long };
  }, frames);
}

describe('the history', () => {
  it('pans and zooms 500 tokens of 48 layers of 128 experts at 60 frames a second without a long task', async () => {
    await showView(opened.page, 'moe-history', 'synthetic', {
      size: { layers: 48, experts: 128, topK: 8, chats: 1, prompt: 100, answer: 400 },
    });
    await pan(30);
    // Other work on the machine makes frames late, never early: the best of a few tries is this page's own.
    let best = { median: Infinity, long: [Infinity] as readonly number[] };
    for (let tries = 0; tries < 5 && (best.median > 17.5 || best.long.length > 0); tries++) {
      const { times, long } = await pan(120);
      const median = times.toSorted((a, b) => a - b)[60]!;
      console.log(
        `history: median frame ${median.toFixed(1)} ms, slowest ${Math.max(...times).toFixed(1)} ms, long tasks: ${long.map((ms) => ms.toFixed(0)).join(' ') || 'none'}`,
      );
      if (long.length < best.long.length || (long.length === best.long.length && median < best.median))
        best = { median, long };
    }
    expect(best.long).toEqual([]);
    expect(best.median).toBeLessThan(17.5);
  });

  it('opens 100,000 tokens of 48 layers of 128 experts in under 2 s', async () => {
    const ms = await opened.page.evaluate(async () => {
      const one = window.viz.synthetic({ layers: 48, experts: 128, topK: 8, chats: 1, prompt: 250, answer: 0 });
      const [copies, size] = [400, one.ids.length];
      const ids = new Uint16Array(copies * size);
      const weights = new Float32Array(copies * size);
      for (let i = 0; i < copies; i++) {
        ids.set(one.ids, i * size);
        weights.set(one.weights!, i * size);
      }
      const steps = Array.from({ length: copies }, (_, chat) => ({ ...one.steps[0]!, chat }));
      document.querySelector('main')!.replaceChildren();
      const from = performance.now();
      await window.viz.show('moe-history', { model: one.model, steps, ids, weights, origins: null }, 'layer=0');
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      return performance.now() - from;
    });
    console.log(`history: 100,000 tokens of 48 layers open in ${ms.toFixed(0)} ms`);
    expect(await opened.page.locator('moe-history .summary').innerText()).toContain('100,000 tokens');
    expect(ms).toBeLessThan(2000);
  });

  it('draws what the trace holds: a mark where an expert took a token, none where not', async () => {
    await showView(opened.page, 'moe-history', 'synthetic', { link: 'layer=0' });
    const agree = (): Promise<number> =>
      opened.page.evaluate(() => {
        const view = document.querySelector('moe-history')! as HTMLElement & {
          trace: { ids: Uint16Array; model: { layers: number; experts: number; topK: number } };
        };
        const canvas = view.shadowRoot!.querySelector('canvas')!;
        const { ids, model } = view.trace;
        const { layers, experts, topK } = model;
        const draw = canvas.getContext('2d')!;
        // The page's width holds all 216 columns, its height all 32 rows.
        const [wide, tall] = [canvas.width / 216, canvas.height / (layers * experts)];
        const paper = draw.getImageData(0, 0, canvas.width, canvas.height).data;
        const isMark = (token: number, row: number): boolean => {
          const at = 4 * (Math.floor((row + 0.6) * tall) * canvas.width + Math.floor((token + 0.5) * wide));
          return (
            Math.max(paper[at]!, paper[at + 1]!, paper[at + 2]!) -
              Math.min(paper[at]!, paper[at + 1]!, paper[at + 2]!) >
            12
          );
        };
        let [right, all] = [0, 0];
        for (let token = 60; token < 216; token++)
          for (let row = experts; row < layers * experts; row++) {
            const from = (token * layers + Math.floor(row / experts)) * topK;
            all++;
            if (isMark(token, row) === ids.subarray(from, from + topK).includes(row % experts)) right++;
          }
        return right / all;
      });
    // Once its size is known it is drawn. Chats and layers are separated by lines of half a pixel.
    await expect.poll(agree, { timeout: 10_000 }).toBeGreaterThan(0.98);
  });
});
