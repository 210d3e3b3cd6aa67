/** A model in published formats, each dropped on the page as its files, and answering; and files that are no model. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { convertModel, FORM_NAMES } from '../../scripts/convert-model.mjs';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { withLetters } from '../support/letters.ts';
import { filesOf, fixturePath } from '../support/models.ts';

const isShipped = process.env.WEBMOE_DROPPED === 'shipped';
const WAIT = { timeout: isShipped ? 1_800_000 : 240_000 };
const folder = mkdtempSync(join(tmpdir(), 'webmoe-dropped-'));

let site: Site;
let opened: OpenedPage;
beforeAll(async () => {
  const model = join(folder, 'model');
  mkdirSync(model);
  for (const [name, bytes] of Object.entries(withLetters(filesOf(fixturePath('families/olmoe')))))
    writeFileSync(join(model, name), bytes);
  site = await openSite();
  opened = await site.open('/');
  opened.page.setDefaultTimeout(WAIT.timeout);
});
afterAll(async () => {
  await site.close();
  rmSync(folder, { recursive: true });
});

type Dropped =
  readonly string[] | readonly { readonly name: string; readonly mimeType: string; readonly buffer: Buffer }[];

/** Drops files on the page's start. They come from a field for files: the browser reads those from the disk, however large. */
async function drop(page: Page, files: Dropped): Promise<void> {
  await page.evaluate(() =>
    document.body.append(Object.assign(document.createElement('input'), { type: 'file', multiple: true, id: 'held' })),
  );
  await page.locator('#held').setInputFiles(files);
  await page.locator('.start').evaluate((start) => {
    const held = document.querySelector<HTMLInputElement>('#held')!;
    const data = new DataTransfer();
    for (const file of held.files!) data.items.add(file);
    held.remove();
    start.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
  });
}

const filesAt = (path: string): readonly string[] =>
  statSync(path).isFile() ? [path] : readdirSync(path).map((name) => join(path, name));

/** @returns the answer, cut short when there is enough of it */
async function ask(page: Page, question: string, enough: RegExp): Promise<string> {
  await page.locator('.chat').waitFor(WAIT);
  const box = page.getByRole('textbox', { name: 'Message' });
  await box.fill(question);
  await box.press('Enter');
  const answer = page.locator('.assistant .text').last();
  const ended = page.locator('.log[aria-busy=false]');
  const isEnough = async (): Promise<boolean> => {
    const text = (await answer.textContent()) ?? '';
    return enough.test(text) || (text !== '' && (await ended.count()) > 0);
  };
  await expect.poll(isEnough, WAIT).toBe(true);
  await page.keyboard.press('Escape');
  await ended.waitFor(WAIT);
  return (await answer.textContent())!;
}

/** WEBMOE_DROPPED=all: each form that the converter writes. */
const FORMS =
  process.env.WEBMOE_DROPPED === 'all' ? FORM_NAMES.filter((name) => name !== 'bf16') : ['gptq', 'fp8', 'gguf-q4_k'];

it.each(FORMS)('answers from a dropped model in %s', async (to) => {
  const { page, problems } = opened;
  const out = join(folder, to.startsWith('gguf') ? `${to}.gguf` : to);
  convertModel({ model: join(folder, 'model'), to, out });
  await page.reload();
  await drop(page, filesAt(out));
  expect(await ask(page, 'abcd', /[a-p]{3}/)).toMatch(/[a-p]{3}/);
  expect(problems).toEqual([]);
});

/** WEBMOE_DROPPED=shipped: the model that comes with webmoe, in each form, bf16 too; one form with vitest's `-t nf4`. */
it.each(isShipped ? FORM_NAMES : [])(
  'the shipped model tells the capital of France from %s',
  { timeout: 3_600_000 },
  async (to) => {
    const { page, problems } = opened;
    const out = join(folder, to.startsWith('gguf') ? `shipped-${to}.gguf` : `shipped-${to}`);
    convertModel({ model: 'models/smolmoe-135m-instruct', to, out });
    // What another form said would be in the conversation that goes on.
    await page.evaluate(async () => {
      for (const { name } of await indexedDB.databases()) indexedDB.deleteDatabase(name!);
    });
    await page.reload();
    await drop(page, filesAt(out));
    const answer = await ask(page, 'What is the capital of France?', /(\S+\s+){12}/);
    console.log(`${to}: ${answer.trim().replace(/\s+/g, ' ')}`);
    rmSync(out, { recursive: true });
    expect(answer).toMatch(/Paris/);
    expect(problems).toEqual([]);
  },
);

it('says what is wrong with files that are no model', async () => {
  const { page } = opened;
  for (const [name, said] of [
    ['notes.txt', /config\.json/],
    ['tiny.gguf', /GGUF/],
    ['config.json', /model_type/],
  ] as const) {
    await page.reload();
    await drop(page, [{ name, mimeType: 'text/plain', buffer: Buffer.from('{}') }]);
    const problem = page.locator('.problem');
    await problem.waitFor(WAIT);
    expect(await problem.innerText()).toMatch(said);
  }
});
