/** A model in published formats, each dropped on the page as its files, and answering; and files that are no model. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { convertModel } from '../../scripts/convert-model.mjs';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { withLetters } from '../support/letters.ts';
import { filesOf, fixturePath } from '../support/models.ts';

const WAIT = { timeout: 240_000 };
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
});
afterAll(async () => {
  await site.close();
  rmSync(folder, { recursive: true });
});

type Dropped = readonly (readonly [name: string, base64: string])[];

/** Drops files on the page's start. */
async function drop(page: Page, files: Dropped): Promise<void> {
  await page.locator('.start').evaluate((start, all) => {
    const data = new DataTransfer();
    for (const [name, base64] of all)
      data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name));
    start.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
  }, files);
}

function filesAt(path: string): Dropped {
  const base64 = (file: string): string => readFileSync(file).toString('base64');
  if (statSync(path).isFile()) return [['tiny.gguf', base64(path)]];
  return readdirSync(path).map((name) => [name, base64(join(path, name))] as const);
}

/** WEBMOE_DROPPED=all: each form that the converter writes. */
const FORMS =
  process.env.WEBMOE_DROPPED === 'all'
    ? ['gptq', 'gptq-act-order', 'awq', 'int4', 'nf4', 'fp8', 'mlx-4bit', 'gguf-q8_0', 'gguf-q4_0', 'gguf-q4_k']
    : ['gptq', 'fp8', 'gguf-q4_k'];

it.each(FORMS)('answers from a dropped model in %s', async (to) => {
  const { page, problems } = opened;
  const out = join(folder, to.startsWith('gguf') ? `${to}.gguf` : to);
  convertModel({ model: join(folder, 'model'), to, out });
  await page.reload();
  await drop(page, filesAt(out));
  await page.locator('.chat').waitFor(WAIT);
  const box = page.getByRole('textbox', { name: 'Message' });
  await box.fill('abcd');
  await box.press('Enter');
  await expect.poll(() => page.locator('.assistant .text').last().textContent(), WAIT).toMatch(/[a-p]{3}/);
  await page.keyboard.press('Escape');
  await page.locator('.log[aria-busy=false]').waitFor(WAIT);
  expect(problems).toEqual([]);
});

it('says what is wrong with files that are no model', async () => {
  const { page } = opened;
  const text = Buffer.from('{}').toString('base64');
  for (const [files, said] of [
    [[['notes.txt', text]], /config\.json/],
    [[['tiny.gguf', text]], /GGUF/],
    [[['config.json', text]], /model_type/],
  ] as const) {
    await page.reload();
    await drop(page, files);
    const problem = page.locator('.problem');
    await problem.waitFor(WAIT);
    expect(await problem.innerText()).toMatch(said);
  }
});
