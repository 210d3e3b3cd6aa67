/** A visit to the page with the model that comes with it, from the first load to a second tab. Answers are short: the adapter is a CPU. */
import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';

const WAIT = { timeout: 240_000 };
const STEP = { timeout: 300_000 };

let site: Site;
let opened: OpenedPage;
let page: Page;
beforeAll(async () => {
  site = await openSite();
  opened = await site.open('/');
  page = opened.page;
});
afterAll(() => site.close());

const button = (name: string, on = page): ReturnType<Page['getByRole']> =>
  on.getByRole('button', { name, exact: true });
const settled = (on = page): Promise<void> => on.locator('.log[aria-busy=false]').waitFor(WAIT);
const said = (on = page): Promise<string[]> => on.locator('.message .text').allTextContents();
const places = (): Promise<string[]> => page.locator('.branches:visible').allInnerTexts();

/** @param most tokens of an answer */
async function settings(most: number, on = page): Promise<void> {
  await button('Settings of this conversation', on).click();
  await on.getByLabel('Temperature').fill('0');
  await on.getByLabel('Longest answer').fill(String(most));
  await on.keyboard.press('Escape');
}

async function send(text: string, on = page): Promise<void> {
  const box = on.getByRole('textbox', { name: 'Message' });
  await box.fill(text);
  await box.press('Enter');
}

async function ask(text: string, on = page): Promise<string> {
  await send(text, on);
  await on.locator('.log[aria-busy=true]').waitFor();
  await settled(on);
  return (await on.locator('.assistant .text').last().textContent()) ?? '';
}

async function tool(text: string, name: string): Promise<void> {
  const message = page.locator('.message', { hasText: text }).last();
  await message.hover();
  await message.getByRole('button', { name, exact: true }).click();
}

async function load(on = page): Promise<void> {
  await button('Load the model', on).click();
  await on.locator('.chat').waitFor(WAIT);
}

const QUESTIONS = ['What is the capital of France?', 'And of Italy?', 'Name a colour.'];
let capital: string;

it('loads with a progress that only grows', STEP, async () => {
  await page.getByText('(129 MB)').waitFor(WAIT);
  await page.evaluate(() => {
    const shares: number[] = [];
    Object.assign(window, { shares });
    new MutationObserver(() => {
      const bar = document.querySelector('progress');
      if (bar && bar.position >= 0) shares.push(bar.position);
    }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  });
  await load();
  const shares = await page.evaluate(() => (window as unknown as { shares: number[] }).shares);
  expect(shares.length).toBeGreaterThan(5);
  expect(shares).toEqual([...shares].sort((a, b) => a - b));
  expect(shares.at(-1)).toBeGreaterThan(0.9);
});

it('talks for three turns, each with all that was said before', STEP, async () => {
  await settings(8);
  const answers: string[] = [];
  for (const question of QUESTIONS) answers.push(await ask(question));
  capital = answers[0]!;
  expect(capital).toContain('Paris');
  expect(await said()).toEqual(QUESTIONS.flatMap((question, i) => [question, answers[i]!]));
  await tool(QUESTIONS[2]!, 'Copy');
  const status = await page.locator('.status').last().innerText();
  expect(status).toMatch(/tokens\/s · first token after .* · \d+ tokens?$/);
});

it('answers again, and after an edit, with the branches kept', STEP, async () => {
  const third = (await said())[5]!;
  await page.locator('.assistant').last().hover();
  await page.locator('.assistant').last().getByRole('button', { name: 'Regenerate', exact: true }).click();
  await page.locator('.log[aria-busy=true]').waitFor();
  await settled();
  expect((await said())[5]).toBe(third); // at temperature 0
  expect(await places()).toEqual(['2 / 2']);
  await tool(QUESTIONS[2]!, 'Edit');
  await page.getByRole('textbox', { name: 'Other version' }).fill('Name an animal.');
  await button('Send').first().click();
  await page.locator('.log[aria-busy=true]').waitFor();
  await settled();
  expect((await said()).slice(0, 5)).toEqual([
    QUESTIONS[0],
    capital,
    QUESTIONS[1],
    (await said())[3],
    'Name an animal.',
  ]);
  expect(await places()).toEqual(['2 / 2']);
  await button('Previous version').first().click();
  await page.getByText(QUESTIONS[2]!).waitFor();
  expect(await said()).toHaveLength(6);
});

it('stops, and goes on with what it had', STEP, async () => {
  await settings(200);
  await send('Write a long story about the sea.');
  const last = page.locator('.assistant .text').last();
  await expect.poll(() => last.textContent(), WAIT).toMatch(/\w+ \w+/);
  await page.keyboard.press('Escape');
  await settled();
  const half = await last.textContent();
  expect(await page.locator('.status').last().innerText()).toMatch(/^Stopped · /);
  await settings(4);
  await button('Continue').click();
  await page.locator('.log[aria-busy=true]').waitFor();
  await settled();
  const whole = (await last.textContent())!;
  expect(whole.startsWith(half!)).toBe(true);
  expect(whole.length).toBeGreaterThan(half!.length);
});

it('writes a file, reads it back, and is the same after a reload', STEP, async () => {
  const before = await said();
  const [file] = await Promise.all([page.waitForEvent('download'), button('Export all').click()]);
  const text = readFileSync(await file.path(), 'utf8');
  await page
    .locator('.conversations input[type=file]')
    .setInputFiles({ name: 'all.json', mimeType: 'application/json', buffer: Buffer.from(text) });
  await page.locator('#main').getByText('1 conversation imported.').waitFor(); // said when it is on the disk
  expect(await page.locator('.row').count()).toBe(2);
  await page.reload();
  await page.getByText('(129 MB)').waitFor(WAIT);
  const asked: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  await load();
  expect(asked.filter((url) => url.endsWith('.safetensors')).length).toBeLessThan(3); // its weights were kept
  expect(await said()).toEqual(before);
  await page.locator('.row .open').nth(1).click();
  await expect.poll(() => said()).toEqual(before);
  await settings(6);
  expect(await ask('What was my first question?')).not.toBe('');
  expect(await said()).toHaveLength(before.length + 2);
});

it('runs in two tabs at once, with the same words', STEP, async () => {
  const other = await page.context().newPage();
  await other.goto(site.at('/'));
  await load(other);
  await Promise.all([page, other].map((tab) => button('New chat', tab).click()));
  for (const tab of [page, other]) await settings(8, tab);
  const answers = await Promise.all([page, other].map((tab) => ask(QUESTIONS[0]!, tab)));
  expect(answers).toEqual([capital, capital]);
  for (const tab of [page, other]) await expect.poll(() => tab.locator('.row').count()).toBe(4);
});

it('leaves nothing in the console', () => expect(opened.problems).toEqual([]));
