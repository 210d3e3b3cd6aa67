/** Record folders in Chromium, on a profile on disk: what every way of keeping them must do. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type Site } from '../support/browser.ts';
import { makeProfile, type RunningProfile } from '../support/profile.ts';
import { folderCases } from '../support/record-folder-cases.ts';

const profile = makeProfile();
const problems: string[] = [];
let site: Site;
let running: RunningProfile;
beforeAll(async () => {
  site = await openSite('records.html');
  running = await profile.start(site.at('/records.html'));
  running.page.on('pageerror', (error) => problems.push(error.message));
});
afterAll(async () => {
  await running.close();
  profile.remove();
  await site.close();
});

describe.each(['worker', 'async'] as const)('a folder through %s', (backend) => {
  it.each(folderCases.map(({ name }) => name))('%s', async (name) => {
    await running.page.evaluate(([b, n]) => window.records.runCase(b, n), [backend, name] as const);
    expect(problems).toEqual([]);
  });
});

describe('a folder in a worker of the page', () => {
  it.each(folderCases.map(({ name }) => name))('%s', async (name) => {
    await running.page.evaluate((n) => window.records.inWorker('runCase', n), name);
    expect(problems).toEqual([]);
  });
});
