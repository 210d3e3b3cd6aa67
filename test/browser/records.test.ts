/** Record folders in Chromium: what every backend must do, and how fast each is. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { folderCases } from '../support/record-folder-cases.ts';

let site: Site;
let opened: OpenedPage;
beforeAll(async () => {
  site = await openSite('records.html');
  opened = await site.open('/records.html');
});
afterAll(async () => {
  await opened.close();
  await site.close();
});

describe.each(['worker', 'async'] as const)('a folder through %s', (backend) => {
  it.each(folderCases.map(({ name }) => name))('%s', async (name) => {
    await opened.page.evaluate(([b, n]) => window.records.runCase(b, n), [backend, name] as const);
    expect(opened.problems).toEqual([]);
  });
});

describe('a folder in a worker of the page', () => {
  it.each(folderCases.map(({ name }) => name))('%s', async (name) => {
    await opened.page.evaluate((n) => window.records.inWorker('runCase', n), name);
    expect(opened.problems).toEqual([]);
  });
});
