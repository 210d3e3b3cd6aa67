/** Record folders in browsers that lack something, run out of something, or lose something; and in two tabs. */
import type { CDPSession, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenedPage, type OpenOptions, type Site } from '../support/browser.ts';
import { makeProfile } from '../support/profile.ts';

let site: Site;
beforeAll(async () => {
  site = await openSite('records.html');
});
afterAll(() => site.close());

const open = (options: OpenOptions = {}): Promise<OpenedPage> => site.open('/records.html', options);
/** The same site in another tab. */
async function openBeside({ page }: OpenedPage): Promise<Page> {
  const second = await page.context().newPage();
  await second.goto(page.url());
  return second;
}
const cdp = (page: Page): Promise<CDPSession> => page.context().newCDPSession(page);
const initScript =
  (script: () => void): NonNullable<OpenOptions['before']> =>
  async (context) =>
    void (await context.addInitScript(script));

/** What `openBrowserFolder` gives. */
const tier = (
  page: Page,
): Promise<{ kind: string | undefined; note: string | null; isTemporary: boolean; left: string[] }> =>
  page.evaluate(async () => {
    const { folder, note, isTemporary } = await window.records.openBrowserFolder();
    const left = ((await folder?.list()) ?? []).map(({ name }) => name);
    await folder?.close();
    return { kind: folder?.kind, note, isTemporary, left };
  });

describe('the tier', () => {
  it('is an I/O worker, and leaves no probe behind; a private window is told apart', async () => {
    const opened = await open();
    const inPrivate = expect.stringContaining('a private window');
    expect(await tier(opened.page)).toEqual({ kind: 'opfs', note: inPrivate, isTemporary: true, left: [] });
    const here = { kind: 'opfs', note: inPrivate, isTemporary: true, persist: false };
    expect(await opened.page.evaluate(() => window.records.inWorker('tier'))).toEqual(here);
    expect(opened.problems).toEqual([]);
    await opened.close();

    const profile = makeProfile();
    const { page, close } = await profile.start(site.at('/records.html'));
    const onDisk = { note: null, isTemporary: false };
    expect(await tier(page)).toEqual({ kind: 'opfs', ...onDisk, left: [] });
    expect(await page.evaluate(() => window.records.inWorker('tier'))).toMatchObject(onDisk);
    await close();
    profile.remove();
  });

  it('clears up probes of pages that were closed in the middle, but not those under way', async () => {
    const opened = await open();
    const left = await opened.page.evaluate(async () => {
      const folder = await window.records.openers.worker();
      for (const startedAt of [Date.now(), Date.now() - 120_000])
        await (await folder.open(`probe-${startedAt}-x`, { create: true }))?.close();
      await (await window.records.openBrowserFolder()).folder?.close();
      const names = (await folder.list()).map(({ name }) => name);
      await folder.close();
      return names;
    });
    expect(left).toHaveLength(1);
    await opened.close();
  });

  it('is the asynchronous interface when the worker has no sync access handles', async () => {
    const opened = await open();
    const { kind, note } = await opened.page.evaluate(async () => {
      const { openBrowserFolder, faultyWorker } = window.records;
      const { folder, note } = await openBrowserFolder(() => faultyWorker('no-sync-handles'));
      return { kind: folder?.kind, note };
    });
    expect(kind).toBe('opfs-async');
    expect(note).toContain('has no sync access handles in this browser');
    await opened.close();
  });

  it.each([
    ['has no I/O worker', 'worker-src'],
    ['has a worker script that is missing', 'where the page expects it'],
  ])('is the asynchronous interface when the page %s', async (what, words) => {
    const opened = await open({
      before: async (context) => {
        if (what.includes('missing')) await context.route('**/opfs-worker*', (route) => route.fulfill({ status: 404 }));
        else
          await context.addInitScript(() => {
            window.Worker = function () {
              throw new DOMException('refused', 'SecurityError');
            } as unknown as typeof Worker;
          });
      },
    });
    const { kind, note, left } = await tier(opened.page);
    expect({ kind, left }).toEqual({ kind: 'opfs-async', left: [] });
    expect(note).toContain(words);
    expect(note!.match(/\.(\s|$)/g)).toHaveLength(1); // one sentence
    await opened.close();
  });

  it.each([
    [
      'is not there',
      'has no private file system',
      initScript(() => Reflect.deleteProperty(StorageManager.prototype, 'getDirectory')),
    ],
    [
      'refuses to open',
      'refuses to store data',
      initScript(() => {
        StorageManager.prototype.getDirectory = async () => {
          throw new DOMException('no', 'SecurityError');
        };
        window.Worker = function () {
          throw new Error('no workers');
        } as unknown as typeof Worker;
      }),
    ],
    [
      'refuses to write',
      'refuses to store data',
      initScript(() => {
        FileSystemFileHandle.prototype.createWritable = async () => {
          throw new DOMException('no', 'NotAllowedError');
        };
        window.Worker = function () {
          throw new Error('no workers');
        } as unknown as typeof Worker;
      }),
    ],
  ] as const)('is none when the file system %s', async (_, words, before) => {
    const opened = await open({ before });
    const { kind, note } = await tier(opened.page);
    expect(kind).toBeUndefined();
    expect(note).toContain(words);
    await opened.close();
  });

  it('is none on an insecure page', async () => {
    const opened = await open({ host: 'insecure.test' });
    const { kind, note } = await tier(opened.page);
    expect(kind).toBeUndefined();
    expect(note).toContain('insecure connection');
    expect(await opened.page.evaluate(() => window.records.persist())).toBe(false);
    expect(await opened.page.evaluate(() => window.records.persisted())).toBe(false);
    await opened.close();
  });
});

describe('sync access handles', () => {
  const withFault = (
    page: Page,
    fault: 'none' | 'invalid-state-once' | 'always-held',
  ): Promise<Record<string, unknown>> =>
    page.evaluate(async (name) => {
      const { caught, faultyWorker, opfsAsyncFolder, opfsRemoteFolder } = window.records;
      const other = await opfsAsyncFolder(['webmoe-v1']);
      const made = (await other.open('there', { create: true }))!;
      await made.write(new Uint8Array([1, 2, 3]), 0);
      await made.close();
      const folder = await opfsRemoteFolder(['webmoe-v1'], () => faultyWorker(name));
      const file = await folder.open('there');
      const into = new Uint8Array(3);
      await file?.read(into, 0);
      const result = {
        read: [...into],
        write: (await caught(file!.write(new Uint8Array([9]), 0)))?.message ?? null,
        create: (await caught(folder.open('new', { create: true })))?.message ?? null,
      };
      await folder.close();
      return result;
    }, fault);

  it('that are stale once are asked for again', async () => {
    const opened = await open();
    const fine = { read: [1, 2, 3], write: null, create: null };
    expect(await withFault(opened.page, 'none')).toEqual(fine);
    expect(await withFault(opened.page, 'invalid-state-once')).toEqual(fine);
    await opened.close();
  });

  it('that are held elsewhere leave files to read', async () => {
    const opened = await open();
    expect(await withFault(opened.page, 'always-held')).toEqual({
      read: [1, 2, 3],
      write: expect.stringMatching(/webmoe-v1\/there is open in another tab.*close that tab/),
      create: expect.stringMatching(/webmoe-v1\/new .*is open in another tab.*close that tab/),
    });
    await opened.close();
  });
});

it('an I/O worker that never answers is given up', async () => {
  const opened = await open();
  await opened.page.clock.install();
  const answer = opened.page.evaluate(async () => {
    const { openBrowserFolder, faultyWorker } = window.records;
    const { folder, note } = await openBrowserFolder(() => faultyWorker('silent'));
    return { kind: folder?.kind, note };
  });
  await opened.page.clock.runFor(11_000);
  const { kind, note } = await answer;
  expect(kind).toBe('opfs-async');
  expect(note).toContain('did not start within 10 seconds');
  await opened.close();
});

it('a worker that ends in the middle rejects every call within a second, and the next call starts another', async () => {
  const opened = await open();
  const seen = await opened.page.evaluate(async () => {
    const { caught, equal, faultyWorker, opfsRemoteFolder, pattern } = window.records;
    const workers: Worker[] = [];
    const folder = await opfsRemoteFolder(['webmoe-v1'], () => {
      workers.push(faultyWorker('none'));
      return workers.at(-1)!;
    });
    const file = (await folder.open('a', { create: true }))!;
    await file.write(pattern(1000), 0);
    await file.flush();
    const large = new Uint8Array(32 * 2 ** 20);
    const calls = [caught(file.write(large, 1000)), caught(folder.list()), caught(file.read(large, 0))];
    workers[0]!.terminate();
    const start = performance.now();
    const errors = await Promise.all(calls);
    const tookMs = performance.now() - start;
    const later = await caught(file.size());
    const again = (await folder.open('a'))!;
    const into = new Uint8Array(1000);
    await again.read(into, 0);
    equal(into, pattern(1000), 'what was flushed');
    await file.close();
    await folder.close();
    const closed = await caught(folder.list());
    return { tookMs, codes: errors.map((e) => e?.code), later, closed, workers: workers.length };
  });
  expect(seen.codes.filter((code) => code === 'storage').length).toBeGreaterThanOrEqual(2); // `list` may have been answered before
  expect(seen.codes[0]).toBe('storage');
  expect(seen.tookMs).toBeLessThan(1000);
  expect(seen.later).toMatchObject({ code: 'storage', message: expect.stringContaining('was ended by the browser') });
  expect(seen.workers).toBe(2);
  expect(seen.closed).toMatchObject({ code: 'storage' });
  console.log(`a worker's end is noticed after ${seen.tookMs.toFixed(0)} ms`);
  await opened.close();
});

it.each(['worker', 'async'] as const)(
  'site data cleared while running: typed errors, then a fresh start, %s',
  async (backend) => {
    const opened = await open();
    const { page } = opened;
    await page.evaluate(async (name) => {
      const { openers, pattern } = window.records;
      const folder = await openers[name]();
      const inner = await folder.folder('model');
      const file = (await inner.open('a', { create: true }))!;
      await file.write(pattern(1000), 0);
      await file.flush();
      Object.assign(window, { kept: { folder, inner, file } });
    }, backend);
    const session = await cdp(page);
    await session.send('Storage.clearDataForOrigin', { origin: new URL(page.url()).origin, storageTypes: 'all' });
    const seen = await page.evaluate(async () => {
      const { caught, equal, pattern } = window.records;
      const { folder, inner, file } = (
        window as unknown as {
          kept: Record<'folder' | 'inner', Awaited<ReturnType<typeof window.records.openers.worker>>> & {
            file: NonNullable<Awaited<ReturnType<Awaited<ReturnType<typeof window.records.openers.worker>>['open']>>>;
          };
        }
      ).kept;
      const old = [
        await caught(file.read(new Uint8Array(1000), 0)),
        await caught(file.write(pattern(1000), 0)),
        await caught(file.flush()),
        await caught(file.close()),
      ];
      const listed = await inner.list();
      const again = (await inner.open('a', { create: true }))!;
      equal(await again.size(), 0, 'size of a new file');
      await again.write(pattern(10), 0);
      await again.flush();
      const into = new Uint8Array(10);
      await again.read(into, 0);
      equal(into, pattern(10), 'contents');
      await folder.close();
      return { old: old.map((e) => e?.code ?? null), listed };
    });
    for (const code of seen.old) expect([null, 'storage']).toContain(code);
    expect(seen.listed).toEqual([]);
    await opened.close();
  },
);

it('what a writer in another tab has not committed is not listed, and stays its own', async () => {
  const opened = await open();
  const seen = await opened.page.evaluate(async () => {
    const { equal, openers, pattern } = window.records;
    const first = await openers.async();
    const file = (await first.open('records', { create: true }))!;
    await file.write(pattern(1000), 0); // Chromium makes records.crswap
    const second = await openers.async();
    const listed = await second.list();
    await file.flush();
    const into = new Uint8Array(1000);
    equal(await file.read(into, 0), 1000, 'bytes');
    equal(into, pattern(1000), 'contents');
    await first.close();
    await second.close();
    return listed;
  });
  expect(seen).toEqual([{ name: 'records', bytes: 0 }]);
  await opened.close();
});

describe('two tabs', () => {
  it.each(['none', 'modeless'] as const)('one writes, the other reads (handles: %s)', async (fault) => {
    const first = await open();
    const second = await openBeside(first);
    await first.page.evaluate(async (name) => {
      const { faultyWorker, opfsRemoteFolder, pattern } = window.records;
      const folder = await opfsRemoteFolder(['webmoe-v1'], () => faultyWorker(name));
      const file = (await folder.open('shared', { create: true }))!;
      await file.write(pattern(5 * 2 ** 20), 0);
      await file.flush();
      Object.assign(window, { kept: file });
    }, fault);
    const write = await second.evaluate(async (name) => {
      const { caught, equal, faultyWorker, opfsRemoteFolder, pattern } = window.records;
      const folder = await opfsRemoteFolder(['webmoe-v1'], () => faultyWorker(name));
      const file = (await folder.open('shared'))!;
      const into = new Uint8Array(5 * 2 ** 20);
      equal(await file.read(into, 0), into.length, 'bytes');
      equal(into, pattern(5 * 2 ** 20), 'contents');
      const error = await caught(file.write(new Uint8Array(1), 0));
      await folder.close();
      return error?.code ?? null;
    }, fault);
    expect(write).toBe(fault === 'modeless' ? 'storage' : null);
    await first.close();
  });

  it('one holds the lock, until it gives it back or crashes', async () => {
    const first = await open();
    const second = await openBeside(first);
    const acquire = (page: Page): Promise<boolean> =>
      page.evaluate(async () => {
        const lease = await window.records.webLock().acquire('model');
        Object.assign(window, { lease });
        return lease !== null;
      });
    const isHeld = (page: Page): Promise<boolean> => page.evaluate(() => window.records.webLock().isHeld('model'));
    const release = (page: Page): Promise<void> =>
      page.evaluate(() => (window as unknown as { lease: { release(): Promise<void> } }).lease.release());

    expect(await isHeld(first.page)).toBe(false);
    expect(await acquire(first.page)).toBe(true);
    expect(await acquire(second)).toBe(false);
    expect(await isHeld(first.page)).toBe(true);
    expect(await isHeld(second)).toBe(true);
    expect(await first.page.evaluate(() => window.records.inWorker('lock', 'model'))).toBe(false);
    expect(await first.page.evaluate(() => window.records.inWorker('lock', 'another model'))).toBe(true);
    await release(first.page);
    expect(await acquire(second)).toBe(true);
    await release(second);
    expect(await isHeld(second)).toBe(false);

    expect(await acquire(first.page)).toBe(true);
    expect(await acquire(second)).toBe(false);
    const crashed = first.page.waitForEvent('crash');
    (await cdp(first.page)).send('Page.crash').catch(() => undefined);
    await crashed;
    await expect.poll(() => acquire(second), { timeout: 2000 }).toBe(true);
    await first.close();
  });

  it('without Web Locks, one page still has one holder', async () => {
    const opened = await open({
      before: initScript(() => Reflect.deleteProperty(Navigator.prototype, 'locks')),
    });
    const seen = await opened.page.evaluate(async () => {
      const [a, b] = [window.records.webLock(), window.records.webLock()];
      const lease = await a.acquire('model');
      const during = [lease !== null, await b.acquire('model'), await a.acquire('model'), await b.isHeld('model')];
      await lease?.release();
      await lease?.release();
      return { during, after: (await b.acquire('model')) !== null };
    });
    expect(seen).toEqual({ during: [true, null, null, true], after: true });
    await opened.close();
  });
});
