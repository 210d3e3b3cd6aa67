/** A model whose experts do not all fit on the card: how much memory it gets, and what the page tells of it. */
import type { Locator } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenOptions, type Site } from '../support/browser.ts';
import { Driver, PHONE } from './driver.ts';

/** Of the scripted model: with the fewest slots, and with every expert on the card. */
const MIN_BYTES = 3e9;
const FULL_BYTES = 12.72e9;
const NOTE = 'This browser offers no storage here, so experts are kept in this tab’s memory only.';

let site: Site;
beforeAll(async () => {
  site = await openSite('fake.html');
});
afterAll(() => site.close());

const open = (options: OpenOptions = {}, query = '?store'): Promise<Driver> => Driver.open(site, query, options);
const slider = (d: Driver): Locator => d.page.getByRole('slider', { name: 'Graphics memory to use' });
const amount = (d: Driver): Promise<string> => d.page.locator('[data-fact=amount]').innerText();
const expectation = (d: Driver): Promise<string> => d.page.locator('.expect').innerText();
const plans = (d: Driver): Promise<(number | null)[]> =>
  d.page.evaluate(() => window.fake.plans.map((bytes) => bytes ?? null));
const loads = (d: Driver): Promise<(number | null)[]> =>
  d.page.evaluate(() => window.fake.loads.map(({ gpuBytes }) => gpuBytes ?? null));
const resizes = (d: Driver): Promise<readonly number[]> => d.page.evaluate(() => window.fake.store!.resizes);

describe('graphics memory before a load', () => {
  it('shows what is planned, and nothing where there is no choice', async () => {
    const d = await open();
    await slider(d).waitFor();
    expect(await amount(d)).toBe('5.97 GB · 53 of 128 experts');
    expect(await slider(d).getAttribute('aria-valuetext')).toBe('5.97 GB · 53 of 128 experts');
    expect(await expectation(d)).toContain('nearly every word waits');
    expect(await d.page.locator('[data-fact=memory]').innerText()).toBe('5.97 GB');
    await d.button('Load the model').click();
    expect(await loads(d)).toEqual([null]);
    await d.done();
    const plain = await open({}, '');
    await plain.button('Load the model').waitFor();
    expect(await slider(plain).count()).toBe(0);
    await plain.done();
  });

  it('plans again once the slider rests, loads with it, and remembers it', async () => {
    const d = await open();
    await slider(d).focus();
    await d.page.keyboard.press('End');
    await d.page.keyboard.press('ArrowLeft');
    await d.page.keyboard.press('End');
    expect(await amount(d)).toBe('12.7 GB · all 128 experts');
    await expect.poll(() => expectation(d)).toMatch(/^Every expert stays on the card.*Expect about 40 tokens\/s\.$/);
    expect(await plans(d)).toEqual([null, FULL_BYTES]);
    expect(await d.page.locator('[data-fact=memory]').innerText()).toBe('12.7 GB');
    await d.page.keyboard.press('Home');
    await expect.poll(() => plans(d)).toEqual([null, FULL_BYTES, MIN_BYTES]);
    expect(await amount(d)).toBe('3.00 GB · 20 of 128 experts');
    await d.button('Load the model').click();
    expect(await loads(d)).toEqual([MIN_BYTES]);
    await d.page.reload();
    await slider(d).waitFor();
    expect(await amount(d)).toBe('3.00 GB · 20 of 128 experts');
    expect(await plans(d)).toEqual([MIN_BYTES]);
    await d.button('Load the model').click();
    expect(await loads(d)).toEqual([MIN_BYTES]);
    await d.done();
  });

  it('loads with what was chosen a moment ago', async () => {
    const d = await open();
    await slider(d).waitFor();
    // In one go: the slider has no time to rest.
    await slider(d).evaluate((input: HTMLInputElement) => {
      input.value = '0';
      input.dispatchEvent(new Event('input'));
      document.querySelector<HTMLButtonElement>('.primary')?.click();
    });
    expect(await loads(d)).toEqual([MIN_BYTES]);
    await d.page.waitForTimeout(400);
    expect(await plans(d)).toEqual([null]);
    await d.done();
  });

  it('says what is wrong with an amount, and goes on with the next', async () => {
    const d = await open();
    await slider(d).waitFor();
    await d.fake('failNextPlan', 'out-of-budget');
    await slider(d).press('End');
    await d.page.getByRole('alert').getByText('takes 14.0 GB of GPU memory').waitFor();
    await slider(d).press('Home');
    await expect.poll(() => expectation(d)).toContain('nearly every word waits');
    expect(await d.page.getByRole('alert').count()).toBe(0);
    await d.done();
  });

  it('goes back to the slider when a folder is too large', async () => {
    const d = await open();
    await d.page.locator('input[type=file]').setInputFiles('test/fixtures/families/olmoe');
    await d.page.getByText('Loading olmoe').waitFor();
    await d.fake('failLoad', 'out-of-budget');
    await d.button('Try again').click();
    await d.page.getByText('You are about to load olmoe').waitFor();
    await slider(d).press('Home');
    await d.button('Load the model').click();
    await d.page.getByText('Loading olmoe').waitFor();
    expect(await loads(d)).toEqual([null, MIN_BYTES]);
    await d.done();
  });

  it('forgets a choice that the model has outgrown', async () => {
    const d = await open();
    await slider(d).press('Home');
    await expect.poll(() => plans(d)).toEqual([null, MIN_BYTES]);
    expect(await d.page.evaluate(() => localStorage.length)).toBe(1);
    await d.button('Load the model').click();
    await d.fake('failNextPlan', 'out-of-budget');
    await d.button('Cancel').click();
    await slider(d).waitFor();
    expect(await plans(d)).toEqual([null, MIN_BYTES, MIN_BYTES, null]);
    expect(await amount(d)).toBe('5.97 GB · 53 of 128 experts');
    expect(await d.page.evaluate(() => localStorage.length)).toBe(0);
    await d.done();
  });
});

describe('graphics memory in a chat', () => {
  const panelButton = (d: Driver): Locator => d.button('Graphics memory');

  it('is changed when the slider is let go, and shows that it takes a while', async () => {
    const d = await open();
    await d.chat();
    await panelButton(d).click();
    expect(await panelButton(d).getAttribute('aria-expanded')).toBe('true');
    expect(await amount(d)).toBe('5.97 GB · 53 of 128 experts');
    await slider(d).press('End');
    await slider(d).press('ArrowLeft');
    await slider(d).press('ArrowRight');
    await d.page.getByRole('progressbar', { name: 'Moving experts' }).waitFor();
    expect(await slider(d).isDisabled()).toBe(true);
    expect(await resizes(d)).toEqual([FULL_BYTES]);
    await d.store('finishResize');
    await expect.poll(() => slider(d).isDisabled()).toBe(false);
    expect(await slider(d).evaluate((input) => input === document.activeElement)).toBe(true);
    expect(await amount(d)).toBe('12.7 GB · all 128 experts');
    expect(await expectation(d)).toBe('Every expert stays on the card: nothing has to be fetched while it writes.');
    expect(await d.page.locator('.strip').isVisible()).toBe(false);
    await d.page.keyboard.press('Escape');
    expect(await slider(d).isVisible()).toBe(false);
    expect(await panelButton(d).evaluate((b) => b === document.activeElement)).toBe(true);
    await d.button('Change model').click();
    await d.button('Load the model').click();
    expect(await loads(d)).toEqual([null, FULL_BYTES]);
    await d.done();
  });

  it('is as it was after a failure, which it tells', async () => {
    const d = await open();
    await d.chat();
    await panelButton(d).click();
    await slider(d).press('End');
    await expect.poll(() => slider(d).isDisabled()).toBe(true);
    await d.store('failResize', 'fault');
    const alert = d.page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.innerText()).toBe('The graphics memory could not be changed; it is as it was.');
    expect(await amount(d)).toBe('5.97 GB · 53 of 128 experts');
    expect(await d.page.evaluate(() => localStorage.length)).toBe(0);
    await slider(d).press('ArrowRight');
    expect(await alert.count()).toBe(0);
    await d.done();
  });

  it('can be closed with its cross, and asks nothing of a model that has no choice', async () => {
    const d = await open();
    await d.chat();
    await panelButton(d).click();
    await d.button('Close').click();
    expect(await slider(d).isVisible()).toBe(false);
    await d.done();
    const plain = await open({}, '');
    await plain.chat();
    expect(await panelButton(plain).count()).toBe(0);
    await plain.done();
  });
});

describe('what the page tells of experts', () => {
  const strip = (d: Driver): Locator => d.page.locator('.strip');

  it('hit rate, mode, room, bytes and waiting, live', async () => {
    const d = await open();
    await d.chat();
    expect(await strip(d).innerText()).toMatch(/no word yet\s+53 of 128 experts\s*lockstep\s*0 bytes streamed/);
    await d.store('change', { recentHitRate: 0.87, bytes: { memory: 1e8, disk: 4e8, network: 1e7 } });
    await d.store('token', { hits: 8, ms: 100, stallMs: 20 });
    await d.store('token', { hits: 16, ms: 100 });
    await d.page.getByText('87% hits').waitFor();
    await expect.poll(() => strip(d).innerText()).toMatch(/510 MB streamed\s*10% waiting/);
    const line = d.page.getByRole('img', { name: /^Hit rate by token/ });
    expect(await line.getAttribute('aria-label')).toBe('Hit rate by token, of the last 2: lowest 50%, now 100%');
    expect(await line.locator('.line').getAttribute('d')).toMatch(/^M62 [\d.]+L63 [\d.]+$/);
    await d.done();
  });

  it('draws at most once a frame, and listens no longer than the chat', async () => {
    const d = await open();
    await d.chat();
    const drawn = await d.page.evaluate(async () => {
      let changes = 0;
      const line = document.querySelector('.sparkline .line')!;
      new MutationObserver((records) => (changes += records.length)).observe(line, { attributes: true });
      for (let i = 0; i < 500; i++) window.fake.store!.token({ hits: i % 16 });
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      return changes;
    });
    expect(drawn).toBeGreaterThan(0);
    expect(drawn).toBeLessThanOrEqual(2); // frames waited for
    expect(await d.page.evaluate(() => window.fake.store!.listening)).toBe(1);
    await d.button('Change model').click();
    await d.button('Load the model').waitFor();
    expect(await d.page.evaluate(() => window.fake.store!.listening)).toBe(0);
    await d.done();
  });

  it('nothing when every expert is on the card', async () => {
    const d = await open();
    await slider(d).press('End');
    await d.chat();
    expect(await d.page.locator('.experts').isVisible()).toBe(false);
    await d.done();
    const plain = await open({}, '');
    await plain.chat();
    expect(await plain.page.locator('.experts').count()).toBe(0);
    await plain.done();
  });

  it('details: by layer, by tier, and where experts are kept', async () => {
    const d = await open();
    await d.chat();
    await d.store('change', {
      hitRate: 0.81,
      bytes: { memory: 2e8, disk: 1.4e9, network: 3e8 },
      steps: 70,
      stallMs: 1240,
    });
    await d.button('Details').click();
    expect(await d.button('Details').getAttribute('aria-expanded')).toBe('true');
    const details = d.page.getByRole('region', { name: 'Experts in detail' });
    await expect.poll(() => details.innerText()).toContain('memory 200 MB, disk 1.40 GB, network 300 MB');
    const text = await details.innerText();
    expect(text).toContain('exactly as the model computes them');
    expect(text).toContain('81%');
    expect(text).toContain('1.24 s in 70 steps');
    expect(text).toContain('on disk, in this browser’s storage');
    expect(await details.getByRole('row').count()).toBe(5);
    expect(await details.getByRole('row').nth(2).innerText()).toMatch(/2\s+13 of 32\s+85%\s+40%/);
    const width = await details
      .locator('tbody tr')
      .nth(1)
      .locator('.track i')
      .nth(1)
      .evaluate((bar) => bar.style.inlineSize);
    expect(width).toBe('85%');
    await d.store('change', { hitRate: 0.9 });
    await d.store('token', { hits: 16 });
    await expect.poll(() => details.innerText()).toContain('90%');
    await d.button('Details').click();
    expect(await details.isVisible()).toBe(false);
    await d.done();
  });

  it('says when answers are approximate, even if every expert fits', async () => {
    const d = await open();
    await slider(d).press('End');
    await d.chat();
    await d.store('change', { approximations: ['leaves out experts below 2% weight'] });
    await d.store('token', { hits: 16 });
    await d.page.getByText('approximate: leaves out experts below 2% weight').waitFor();
    expect(await strip(d).isVisible()).toBe(true);
    await d.done();
  });

  it('goes on downloading beside the chat, until all are there', async () => {
    const d = await open();
    await d.button('Load the model').click();
    await d.fake('progress', {
      phase: 'weights',
      loadedBytes: 1e9,
      totalBytes: 12e9,
      bytesPerSecond: null,
      remainingSeconds: null,
    });
    await d.fake('progress', {
      phase: 'compile',
      loadedBytes: 2e9,
      totalBytes: 12e9,
      bytesPerSecond: null,
      remainingSeconds: null,
    });
    await d.page.getByText('2.00 GB of 12.0 GB loaded; the rest follows while you chat').waitFor();
    await d.fake('finishLoad');
    await d.page.locator('.chat').waitFor();
    await d.store('change', { resident: 12, download: { loadedBytes: 3.1e9, totalBytes: 12.4e9 } });
    await d.page.getByText('Still downloading experts: 3.10 GB of 12.4 GB').waitFor();
    const bar = d.page.getByRole('progressbar', { name: /Still downloading/ });
    expect(await bar.evaluate((b: HTMLProgressElement) => b.position)).toBeCloseTo(0.25, 3);
    await d.store('change', { download: { loadedBytes: 12.4e9, totalBytes: 12.4e9 } });
    await expect.poll(() => bar.isVisible()).toBe(false);
    await d.done();
  });

  it('tells of a lesser storage once', async () => {
    const d = await open();
    await slider(d).press('End');
    await d.chat();
    await d.store('change', { storage: { kind: 'memory', note: NOTE } });
    const note = d.page.getByRole('note').filter({ hasText: NOTE });
    await note.waitFor();
    expect(await strip(d).isVisible()).toBe(false);
    await note.getByRole('button', { name: 'Dismiss' }).click();
    expect(await d.page.locator('.experts').isVisible()).toBe(false);
    await d.store('token', { hits: 16 });
    await d.page.waitForTimeout(100);
    expect(await note.isVisible()).toBe(false);
    await d.done();
  });

  it('keeps the end of the conversation in sight when it unfolds', async () => {
    const d = await open({ viewport: { width: 800, height: 600 } });
    await d.chat();
    await d.send('Long');
    await d.answer('line\n'.repeat(60));
    const fromEnd = (): Promise<number> =>
      d.page.locator('.log').evaluate((log) => log.scrollHeight - log.scrollTop - log.clientHeight);
    await d.button('Details').click();
    await expect.poll(fromEnd).toBeLessThan(2);
    await d.done();
  });
});

describe('looks', () => {
  it('has no sideways scroll on a phone, and the box to write in stays in sight', async () => {
    const d = await open(PHONE);
    await slider(d).waitFor();
    expect(await d.overflow()).toBe(0);
    await d.chat();
    await d.store('change', {
      recentHitRate: 0.873,
      bytes: { memory: 1.234e11, disk: 1.234e11, network: 1.234e11 },
      resident: 12,
      download: { loadedBytes: 3.1e9, totalBytes: 12.4e9 },
      approximations: ['leaves out experts below 2% weight', 'x'.repeat(80)],
      storage: { kind: 'memory', note: NOTE },
    });
    await d.store('token', { hits: 3, stallMs: 50 });
    await d.page.getByText('Still downloading').waitFor();
    expect(await d.overflow()).toBe(0);
    await d.button('Details').click();
    await d.button('Graphics memory').click();
    expect(await d.overflow()).toBe(0);
    for (const inner of ['.experts', '.expert-details', '.panel'])
      expect(await d.page.locator(inner).evaluate((e) => e.scrollWidth - e.clientWidth), inner).toBe(0);
    const { y, height } = (await d.page.locator('.composer').boundingBox())!;
    expect(y + height).toBeLessThanOrEqual(844);
    await d.done();
  });

  it('keeps text readable: contrast of at least 4.5 in both themes', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const d = await open({ colorScheme });
      await d.chat();
      await d.store('change', { approximations: ['something'], storage: { kind: 'memory', note: NOTE } });
      await d.page.getByRole('note').waitFor();
      await d.button('Details').click();
      await d.button('Graphics memory').click();
      await slider(d).press('End');
      await expect.poll(() => slider(d).isDisabled()).toBe(true);
      await d.store('failResize', 'fault');
      await d.page.getByRole('alert').waitFor();
      for (const [text, ground] of [
        ['.hit-rate', 'body'],
        ['.strip-facts', 'body'],
        ['.approximate', '.approximate'],
        ['.expert-details dt', '.expert-details .facts'],
        ['.expert-details thead th', 'body'],
        ['.panel .ends', '.panel'],
        ['.panel .expect', '.panel'],
        ['.panel .error', '.panel'],
      ] as const) {
        const ratio = await d.contrast(text, ground);
        expect(ratio, `${text}, ${colorScheme}`).toBeGreaterThanOrEqual(4.5);
      }
      await d.done();
    }
  });

  it('works by keyboard alone: slider, then load; panel, details, chat', async () => {
    const d = await open();
    const { page } = d;
    const focused = (): Promise<string> =>
      page.evaluate(() => {
        const e = document.activeElement;
        return e?.getAttribute('aria-label') ?? (e instanceof HTMLInputElement ? e.type : (e?.textContent ?? ''));
      });
    await slider(d).waitFor();
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('range');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Load the model');
    await page.keyboard.press('Enter');
    await d.fake('finishLoad');
    await page.locator('.chat').waitFor();
    await d.button('Graphics memory').focus();
    await page.keyboard.press('Enter');
    expect(await focused()).toBe('range');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Close');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Details');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Experts in detail');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Conversation');
    await d.done();
  });
});
