/** An access token that a visitor gives to the page: it is in one header to one server, and in nothing that the page writes, shows or logs. */
import { readFileSync } from 'node:fs';
import type { Page, Request } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSite, type Site } from '../support/browser.ts';
import { fakeHub, type FakeHub } from '../support/fake-hub.ts';
import { withLetters } from '../support/letters.ts';
import { filesOf, fixturePath, text, type Files } from '../support/models.ts';

const TOKEN = 'hf_tellNobody123';
const QUESTION = 'abcdefgh';

let site: Site;
let hub: FakeHub;
beforeAll(async () => {
  site = await openSite();
  hub = await fakeHub({ token: TOKEN });
  const entries = Object.entries(filesOf(fixturePath('families/olmoe'))).filter(([name]) => !name.startsWith('golden'));
  hub.commit('org/tiny-moe', withLetters(Object.fromEntries(entries) as Files));
  hub.commit('org/pickles', { 'config.json': text('{}'), 'pytorch_model.bin': text('x') });
  for (const repository of Object.values(hub.repositories)) repository.gated = true;
});
afterAll(async () => {
  await site.close();
  await hub.close();
});

/** Chooses a model of that Hub, with the token. */
async function choose(page: Page, id: string): Promise<void> {
  const token = page.getByLabel(/^Access token,/);
  if (!(await token.isVisible())) await page.getByText('Access token, another Hub').click();
  await page.getByLabel('Address of the Hub').fill(hub.url.replace(/\/$/, ''));
  await token.fill(TOKEN);
  await page.getByLabel(/^Any model on the Hub/).fill(id);
  await page.getByRole('button', { name: 'Look at it' }).click();
}

/** Everything that this origin keeps in the browser, and what is on the page. */
const written = (page: Page): Promise<string> =>
  page.evaluate(async () => {
    const found: unknown[] = [{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href];
    found.push(document.documentElement.outerHTML);
    const done = <T>(request: IDBRequest<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error ?? new Error('unreadable'));
      });
    for (const { name } of await indexedDB.databases()) {
      const database = await done(indexedDB.open(name!));
      for (const store of database.objectStoreNames)
        found.push([name, store, await done(database.transaction(store).objectStore(store).getAll())]);
      database.close();
    }
    for (const name of await caches.keys())
      for (const { url, headers } of await (await caches.open(name)).keys()) found.push([url, [...headers]]);
    const below = async (folder: FileSystemDirectoryHandle): Promise<void> => {
      const entries = folder as unknown as {
        values(): AsyncIterable<FileSystemFileHandle | FileSystemDirectoryHandle>;
      };
      for await (const entry of entries.values())
        if (entry.kind === 'directory') await below(entry);
        else found.push([entry.name, new TextDecoder('latin1').decode(await (await entry.getFile()).arrayBuffer())]);
    };
    await below(await navigator.storage.getDirectory());
    return JSON.stringify(found);
  });

it('a token opens a gated model, and is nowhere but in its header to that Hub', { timeout: 180_000 }, async () => {
  const { page, problems, close } = await site.open('/');
  const asked: Request[] = [];
  const logged: string[] = [];
  page.context().on('request', (request) => asked.push(request));
  page.on('console', (message) => logged.push(message.text()));

  await choose(page, 'org/pickles');
  await page.locator('.problem').waitFor();
  await page.getByText('Details for a report').click();
  const shown = await page.locator('body').innerText();
  expect(shown).toContain('PyTorch pickles');
  expect(shown).toContain('org/pickles');
  expect(shown + (await written(page))).not.toContain(TOKEN);
  await page.getByRole('button', { name: 'Choose another model' }).click();

  await choose(page, 'org/tiny-moe');
  await page.getByText('You are about to load tiny-moe').waitFor();
  await page.getByRole('button', { name: 'Load the model' }).click();
  await page.locator('.chat').waitFor({ timeout: 120_000 });
  await page.getByRole('button', { name: 'Settings of this conversation' }).click();
  await page.getByLabel('Longest answer').fill('5');
  await page.keyboard.press('Escape');
  const box = page.getByRole('textbox', { name: 'Message' });
  await box.fill(QUESTION);
  await box.press('Enter');
  await page.locator('.status', { hasText: 'first token after' }).waitFor();

  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export all' }).click(),
  ]);
  const all = await written(page);
  expect(all).toContain(QUESTION); // what the page does keep is found
  expect(all).toContain('tiny-moe');
  expect(all + readFileSync(await file.path(), 'utf8') + logged.join('\n') + problems.join('\n')).not.toContain(TOKEN);

  // As the servers got them, and as the browser sent them, to whomever.
  const own = [...hub.front.requests].filter(({ method }) => method !== 'OPTIONS');
  expect(own.filter(({ headers }) => headers.authorization === `Bearer ${TOKEN}`).length).toBeGreaterThan(3);
  const rest = own.map(({ path, query, headers }) => [path, [...query], { ...headers, authorization: '' }]);
  const content = hub.content.requests.map(({ path, query, headers }) => [path, [...query], headers]);
  expect(content.length).toBeGreaterThan(0);
  expect(JSON.stringify([rest, content])).not.toContain(TOKEN);
  for (const request of asked) {
    expect(request.url() + (request.postData() ?? '')).not.toContain(TOKEN);
    if (!request.url().startsWith(hub.url))
      expect(JSON.stringify(await request.allHeaders()), request.url()).not.toContain(TOKEN);
  }
  expect(asked.some((request) => request.url().startsWith(hub.content.url))).toBe(true);

  // The search finds it where it is: the visitor may have it kept for this tab.
  await page.getByRole('button', { name: 'Change model' }).click();
  await page.getByText('Access token, another Hub').click();
  await page.getByLabel('Keep it until this tab is closed').check();
  await choose(page, 'org/tiny-moe');
  await expect.poll(() => written(page)).toContain(TOKEN);
  await close();
});
