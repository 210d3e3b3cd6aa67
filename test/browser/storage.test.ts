/** The models on this computer: seen, checked, deleted, kept. */
import type { Locator } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenOptions, type Site } from '../support/browser.ts';
import { Driver, PHONE } from './driver.ts';

let site: Site;
beforeAll(async () => {
  site = await openSite('fake.html');
});
afterAll(() => site.close());

const dialog = (d: Driver): Locator => d.page.getByRole('dialog', { name: 'Models on this computer' });
const row = (d: Driver, name: string): Locator => dialog(d).getByRole('listitem').filter({ hasText: name });
const focused = (d: Driver): Promise<string> =>
  d.page.evaluate(
    () => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '',
  );

/** The dialog, open over the start view. */
async function open(query = '?storage', options: OpenOptions = {}): Promise<Driver> {
  const d = await Driver.open(site, query, options);
  await d.button('Load the model').waitFor();
  await d.button('Stored models').click();
  return d;
}

describe('what is stored', () => {
  it('is listed, latest first, with sizes and what is missing', async () => {
    const d = await open();
    await dialog(d).getByText('3 models, 8.00 GB in all.').waitFor();
    expect(await dialog(d).getByRole('heading', { level: 3 }).allTextContents()).toEqual([
      'mixtral-folder',
      'olmoe-1b-7b',
      'qwen3-30b-a3b',
    ]);
    expect(await row(d, 'mixtral').innerText()).toMatch(
      /in use[\s\S]*a folder on this computer[\s\S]*700 MB · 8 bits · used today/,
    );
    expect(await row(d, 'olmoe').innerText()).toMatch(
      /https:\/\/example\.org\/models\/olmoe-1b-7b\/[\s\S]*4\.20 GB · 4 bits · used yesterday/,
    );
    expect(await row(d, 'qwen3').innerText()).toMatch(
      /incomplete[\s\S]*3\.10 GB of 16\.4 GB · as published · used 3 days ago/,
    );
    const bar = row(d, 'qwen3').getByRole('progressbar');
    expect(await bar.evaluate((b: HTMLProgressElement) => b.position)).toBeCloseTo(0.189, 3);
    expect(await d.button('Delete mixtral-folder').isDisabled()).toBe(true);
    await d.done();
  });

  it('may be nothing, or nothing at all in this browser', async () => {
    const empty = await open('?storage=empty');
    await dialog(empty)
      .getByText(/^None yet/)
      .waitFor();
    expect(await empty.button('Keep when disk runs low').isVisible()).toBe(false);
    await empty.done();
    const none = await open('?storage=none');
    await dialog(none).getByText('This browser offers no storage to this page').waitFor();
    await none.done();
    const absent = await Driver.open(site);
    await absent.button('Load the model').waitFor();
    expect(await absent.button('Stored models').count()).toBe(0);
    await absent.done();
  });

  it('may not be readable: says so, and tries again', async () => {
    const d = await Driver.open(site, '?storage');
    await d.button('Load the model').waitFor();
    await d.storage('failNext', 'fault');
    await d.button('Stored models').click();
    await dialog(d).getByRole('alert').getByText('What is stored could not be read.').waitFor();
    await d.button('Try again').click();
    await dialog(d).getByText('3 models').waitFor();
    await d.done();
  });

  it('can be looked at over a chat, whose answer goes on', async () => {
    const d = await Driver.open(site, '?storage');
    await d.chat();
    await d.send('Question');
    await d.fake('say', 'Half an ');
    await d.page.getByText('Half an').waitFor();
    await d.button('Stored models').click();
    await dialog(d).getByText('3 models').waitFor();
    await d.page.keyboard.press('Escape');
    await dialog(d).waitFor({ state: 'detached' });
    await d.answer('answer');
    expect(await d.answers()).toEqual(['Half an answer']);
    await d.done();
  });
});

describe('checking', () => {
  it.each([
    [0, '2,048 records, all sound.'],
    [1, '2,048 records, 1 damaged and dropped: it is fetched again when needed.'],
    [3, '2,048 records, 3 damaged and dropped: they are fetched again when needed.'],
  ])('shows progress and the result: %d damaged', async (damaged, text) => {
    const d = await open();
    await d.button('Verify olmoe-1b-7b').click();
    await d.storage('verifyProgress', 512, 2048);
    await row(d, 'olmoe').getByText('Checking: 512 of 2,048 records').waitFor();
    const bar = d.page.getByRole('progressbar', { name: 'Checking olmoe-1b-7b' });
    expect(await bar.evaluate((b: HTMLProgressElement) => b.position)).toBe(0.25);
    await d.storage('finishVerify', 2048, damaged);
    await row(d, 'olmoe').getByText(text).waitFor();
    expect(await bar.isVisible()).toBe(false);
    expect(await focused(d)).toBe('Verify olmoe-1b-7b');
    if (damaged === 3) {
      await row(d, 'olmoe').getByText('3.60 GB of 4.20 GB').waitFor();
      await dialog(d).getByText('3 models, 7.40 GB in all.').waitFor();
    }
    await d.done();
  });

  it('can be stopped, and can fail', async () => {
    const d = await open();
    await d.button('Verify olmoe-1b-7b').click();
    await d.button('Cancel').click();
    await row(d, 'olmoe').getByText('The check was stopped.').waitFor();
    await d.button('Verify olmoe-1b-7b').click();
    await d.storage('failVerify', 'fault');
    await row(d, 'olmoe').getByRole('alert').getByText('olmoe-1b-7b could not be checked.').waitFor();
    await d.button('Verify olmoe-1b-7b').click();
    await d.button('Close').click();
    await dialog(d).waitFor({ state: 'detached' });
    await d.done();
  });
});

describe('deleting', () => {
  it('asks once, and can be thought better of', async () => {
    const d = await open();
    await d.button('Delete olmoe-1b-7b').click();
    await row(d, 'olmoe').getByText('Delete 4.20 GB?').waitFor();
    expect(await focused(d)).toBe('Keep olmoe-1b-7b');
    await d.button('Keep olmoe-1b-7b').click();
    expect(await focused(d)).toBe('Delete olmoe-1b-7b');
    await d.button('Delete olmoe-1b-7b').click();
    await d.button('Delete olmoe-1b-7b now').click();
    await dialog(d).getByText('olmoe-1b-7b is deleted: 4.20 GB freed.').waitFor();
    await dialog(d).getByText('2 models, 3.80 GB in all.').waitFor();
    expect(await row(d, 'example.org/models/olmoe').count()).toBe(0);
    await d.done();
  });

  it('can fail', async () => {
    const d = await open();
    await d.button('Delete olmoe-1b-7b').click();
    await d.storage('failNext', 'in-use');
    await d.button('Delete olmoe-1b-7b now').click();
    await row(d, 'olmoe').getByRole('alert').getByText('The model is in use in another tab').waitFor();
    await d.button('Delete olmoe-1b-7b').waitFor();
    await d.done();
  });

  it('tidies up leftovers', async () => {
    const d = await open();
    await d.button('Tidy up leftovers').click();
    await dialog(d).getByText('Freed 12.5 MB of leftovers.').waitFor();
    await d.storage('failNext', 'fault');
    await d.button('Tidy up leftovers').click();
    await dialog(d).getByRole('alert').getByText('The leftovers could not be deleted.').waitFor();
    await d.done();
  });
});

describe('keeping when disk runs low', () => {
  it('asks the browser, and shows that it agreed', async () => {
    const d = await open();
    await dialog(d).getByText('The browser may delete these models').waitFor();
    await d.button('Keep when disk runs low').click();
    await dialog(d).getByText('The browser keeps these models when disk space runs low.').waitFor();
    expect(await d.button('Keep when disk runs low').isVisible()).toBe(false);
    await d.button('Close').click();
    await d.button('Stored models').click();
    await dialog(d).getByText('The browser keeps these models').waitFor();
    await d.done();
  });

  it('says when the browser does not, or cannot be asked', async () => {
    const d = await open();
    await d.page.evaluate(() => (window.fake.storage.agrees = false));
    await d.button('Keep when disk runs low').click();
    await dialog(d).getByText('The browser did not agree.').waitFor();
    await d.storage('failNext', 'fault');
    await d.button('Keep when disk runs low').click();
    await dialog(d).getByText('The browser could not be asked.').waitFor();
    await d.done();
  });
});

describe('looks', () => {
  it('is a sheet on a phone, without sideways scroll', async () => {
    const d = await open('?storage', PHONE);
    await dialog(d).getByText('3 models').waitFor();
    await d.button('Delete qwen3-30b-a3b').click();
    expect(await d.overflow()).toBe(0);
    const box = (await dialog(d).boundingBox())!;
    expect(box).toMatchObject({ x: 0, width: 390 });
    expect(box.y + box.height).toBe(844);
    await d.done();
  });

  it('works by keyboard alone: focus goes in, stays in, and comes back', async () => {
    const d = await Driver.open(site, '?storage');
    await d.button('Stored models').focus();
    await d.page.keyboard.press('Enter');
    await dialog(d).getByText('3 models').waitFor();
    expect(await focused(d)).toBe('Models on this computer');
    await d.page.keyboard.press('Tab');
    expect(await focused(d)).toBe('Close');
    await d.page.keyboard.press('Tab');
    expect(await focused(d)).toBe('Verify mixtral-folder');
    await d.page.keyboard.press('Escape');
    await dialog(d).waitFor({ state: 'detached' });
    expect(await focused(d)).toBe('Stored models');
    await d.done();
  });

  it('keeps text readable: contrast of at least 4.5 in both themes', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const d = await open('?storage', { colorScheme });
      await d.button('Delete olmoe-1b-7b').click();
      await d.storage('failNext', 'fault');
      await d.button('Tidy up leftovers').click();
      await dialog(d).getByRole('alert').waitFor();
      for (const [text, ground] of [
        ['.stored .origin', '.dialog'],
        ['.stored .said', '.dialog'],
        ['.storage > .said', '.dialog'],
        ['.badge', '.badge'],
        ['.danger', '.danger'],
      ] as const) {
        const ratio = await d.contrast(text, ground);
        expect(ratio, `${text}, ${colorScheme}`).toBeGreaterThanOrEqual(4.5);
      }
      await d.done();
    }
  });
});
