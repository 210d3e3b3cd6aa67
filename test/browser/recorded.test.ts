/** What the page offers where nothing is loaded: recorded sessions, and help for every way that WebGPU can be missing. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenOptions, type Site } from '../support/browser.ts';
import { Driver, PHONE } from './driver.ts';

const ORIGIN = /^Recorded on \d+ \w+ 20\d\d from smolmoe-135m-instruct$/;
const CALM: OpenOptions = { reducedMotion: 'reduce' };

let site: Site;
beforeAll(async () => {
  site = await openSite('fake.html');
});
afterAll(() => site.close());

const open = (query = '', options: OpenOptions = {}): Promise<Driver> => Driver.open(site, query, options);
const play = (d: Driver): Promise<void> => d.page.locator('[data-session=everyday]').click();
const badge = (d: Driver): Promise<string> => d.page.locator('.answers-side').innerText();

describe('a recorded session', () => {
  it('plays from the start view, says that it is one, and has no part of a live chat', async () => {
    const d = await open();
    await d.page.getByRole('heading', { name: 'Try without download' }).waitFor();
    await play(d);
    await d.page.getByText('What is the capital of France?').waitFor();
    await expect.poll(async () => (await d.answers())[0]?.length).toBeGreaterThan(0);
    expect(await badge(d)).toMatch(ORIGIN);
    expect(await d.page.locator('.origin-label').innerText()).toMatch(ORIGIN);
    expect(await d.page.locator('.status').innerText()).toMatch(/^\d+ tokens?$/);
    await d.button('Skip to the end of the answer').click();
    await d.settled();
    await d.button('Next question: Name three things that one can see there.').click();
    await d.button('Skip to the end of the answer').click();
    await d.page.getByText('The recording ends here.').waitFor();
    await d.page.getByText('This answer was cut at 100 tokens.').waitFor();
    expect(await d.button('Continue').isVisible()).toBe(false);
    expect((await d.answers()).length).toBe(2);
    expect(await d.page.getByRole('button', { name: /^(Edit|Regenerate|Delete|Share|New chat)$/ }).count()).toBe(0);
    expect(await d.page.evaluate(() => window.fake.sources.filter(({ call }) => call === 'load').length)).toBe(0);
    await d.button('Play again').click();
    await expect.poll(async () => (await d.answers()).length).toBe(1);
    await d.done();
  });

  it('stops where the visitor says, and goes on from there', async () => {
    const d = await open();
    await play(d);
    await expect.poll(async () => (await d.answers())[0]?.length).toBeGreaterThan(10);
    await d.page.keyboard.press('Escape');
    await d.settled();
    const part = (await d.answers())[0]!;
    expect(await d.page.locator('.status').innerText()).toBe('Stopped');
    await d.button('Continue').click();
    await d.button('Skip to the end of the answer').click();
    await d.button(/^Next question/).waitFor();
    const whole = (await d.answers())[0]!;
    expect(whole.startsWith(part) && whole.length > part.length).toBe(true);
    await d.done();
  });

  it('comes whole for people who want no motion', async () => {
    const d = await open('', CALM);
    await d.page.evaluate(() => {
      const later = window.setTimeout;
      const waits: unknown[] = [];
      Object.assign(window, {
        waits,
        setTimeout: (run: () => void, ms?: number) => {
          if (ms === 80) waits.push(ms);
          return later(run, ms);
        },
      });
    });
    await play(d);
    await d.button(/^Next question/).waitFor();
    expect((await d.answers())[0]).toContain('Paris');
    expect(await d.page.evaluate(() => (window as unknown as { waits: unknown[] }).waits)).toEqual([]);
    await d.done();
  });

  it('keeps what the visitor writes until a model or a server can answer', async () => {
    const d = await open('', CALM);
    await play(d);
    await d.button(/^Next question/).waitFor();
    await d.send('My own question');
    await d.page.getByRole('alert').getByText('This is a recording').waitFor();
    await d.page.getByText('Let a server answer instead').waitFor();
    expect(await d.page.locator('.user').count()).toBe(1);
    await d.shot('recorded-own-message');
    await d.button('Go on with the recording').click();
    await d.button(/^Next question/).waitFor();
    await d.send('My own question');
    await d.button('Choose a model').click();
    await d.chat();
    expect(await d.box.inputValue()).toBe('My own question');
    // Nothing of the recording is among the visitor's conversations.
    expect(await d.page.locator('.message').count()).toBe(0);
    expect(await d.page.getByText('Small talk').count()).toBe(0);
    expect(await d.page.locator('.conversations').innerText()).not.toContain('France');
    await d.done();
  });

  it('says so when its file does not come', async () => {
    const d = await open();
    await d.page.locator('[data-session=everyday]').waitFor();
    await d.page.route(/everyday/, (route) => route.abort());
    await play(d);
    await d.page.getByRole('heading', { name: 'The recording could not be fetched' }).waitFor();
    await d.button('Choose a model').click();
    await d.button('Load the model').waitFor();
  });
});

describe('where WebGPU is missing', () => {
  it.each([
    ['insecure-context', 'This page needs a secure address'],
    ['no-webgpu', 'This browser has no WebGPU'],
    ['no-adapter', 'WebGPU finds no graphics card'],
    ['limit', 'This graphics card lacks something'],
  ])('%s: help, recordings, a server, details', async (reason, title) => {
    const d = await open(`?unsupported=${reason}`, CALM);
    await d.page.getByRole('heading', { name: title }).waitFor();
    expect(await d.page.locator('.steps li').count()).toBeGreaterThan(1);
    await d.page.getByText('Let a server answer instead').waitFor();
    await d.page.locator('.diagnostics summary').click();
    expect(await d.page.locator('pre').innerText()).toContain(`problem: ${reason}`);
    await play(d);
    await d.button(/^Next question/).waitFor();
    await d.button('Change model').click();
    await d.page.getByRole('heading', { name: title }).waitFor();
    await d.done();
  });
});

describe('looks', () => {
  it.each([
    ['phone', { ...PHONE, ...CALM, viewport: { width: 360, height: 780 } }],
    ['tablet', { ...CALM, viewport: { width: 768, height: 1024 } }],
    ['wide', { ...CALM, viewport: { width: 1440, height: 900 } }],
  ] as const)('%s, in both themes: nothing serious for axe, no sideways scroll', async (size, options) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const d = await open('?unsupported', { ...options, colorScheme });
      const check = async (name: string): Promise<void> => {
        expect(await d.broken(), name).toEqual([]);
        expect(await d.overflow(), name).toBeLessThanOrEqual(0);
        await d.shot(`${name}-${size}-${colorScheme}`);
      };
      await d.page.locator('[data-session]').first().waitFor();
      await check('problem');
      await d.page.locator('[data-session]').first().scrollIntoViewIfNeeded();
      await d.shot(`problem-end-${size}-${colorScheme}`);
      await play(d);
      await d.button(/^Next question/).waitFor();
      await check('recorded');
      await d.button(/^Next question/).click();
      await d.page.getByText('The recording ends here.').waitFor();
      await check('recorded-end');
      await d.done();
    }
  });
});
