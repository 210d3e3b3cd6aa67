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

it('says how fast each way is', async () => {
  await opened.page.evaluate(() => window.records.clear());
  const here = (await opened.page.evaluate(() => window.records.inWorker('speed'))) as { write: number; read: number };
  const { worker, async: slow } = await opened.page.evaluate(async () => {
    const { openers, readSpeed, writeSpeed } = window.records;
    const measure = async (backend: 'worker' | 'async'): Promise<Record<string, number>> => {
      const folder = await openers[backend]();
      await folder.remove('speed');
      const write = await writeSpeed(folder);
      const speeds = { write, one: await readSpeed(folder, 1), four: await readSpeed(folder, 4) };
      await folder.close();
      return speeds;
    };
    return { worker: await measure('worker'), async: await measure('async') };
  });
  const gb = (bytes: number | undefined): string => `${((bytes ?? 0) / 1e9).toFixed(2)} GB/s`;
  console.log(
    [
      'records of 6 MiB at random places, page cache warm:',
      `  sync handles, this thread: read ${gb(here.read)}, write ${gb(here.write)}`,
      `  sync handles, I/O worker: read ${gb(worker.one)}, four at once ${gb(worker.four)}, write ${gb(worker.write)}`,
      `  asynchronous: read ${gb(slow.one)}, four at once ${gb(slow.four)}, write ${gb(slow.write)}`,
    ].join('\n'),
  );
  expect(worker.one).toBeGreaterThan(slow.one!);
  expect(here.read).toBeGreaterThan(worker.one!);
});
