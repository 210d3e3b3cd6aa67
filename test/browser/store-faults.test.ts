/** What goes wrong with experts of a running model, on the network and on the disk of the browser: right tokens or a typed error, and it goes on. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenedPage, type OpenOptions, type Site } from '../support/browser.ts';
import { faultServer, type FaultServer } from '../support/fault-server.ts';
import { filesOf, withTensor, type Files } from '../support/models.ts';
import type { Answer, Failure, StreamOptions } from './pages/stream.ts';

const PROMPT = [3, 141, 59, 26, 53];
const TOKENS = 6;
/** Waits are short, tries as many as a visitor's. */
const RETRY = { firstDelayMs: 5, maxDelayMs: 20 };

let site: Site;
let server: FaultServer;
let files: Files;
let wanted: number[];
let opened: OpenedPage | undefined;

const isWeights = (path: string): boolean => path.endsWith('.safetensors');
const weightRequests = (): number => server.requests.filter(({ path }) => isWeights(path)).length;
const open = async (options: OpenOptions = {}): Promise<OpenedPage> =>
  (opened = await site.open('/stream.html', options));
const load = ({ page }: OpenedPage, options: StreamOptions = {}): Promise<Failure | null> =>
  page.evaluate(([url, o]) => window.stream.tryLoad(url, o), [server.url, { prefillChunk: 8, ...options }] as const);
const answer = ({ page }: OpenedPage): Promise<Answer | Failure> =>
  page.evaluate(([prompt, tokens]) => window.stream.tryAnswer(prompt, tokens), [PROMPT, TOKENS] as const);
const evictAll = ({ page }: OpenedPage): Promise<number> => page.evaluate(() => window.stream.evict(1));
/** As a second visit: the page is opened anew on the same storage. */
const reopen = async (first: OpenedPage): Promise<OpenedPage> => {
  await first.page.evaluate(() => window.stream.dispose());
  await first.page.reload();
  return first;
};

beforeAll(async () => {
  site = await openSite('stream.html');
  files = filesOf('test/fixtures/families/mixtral');
  server = await faultServer(files, { cors: 'exposed', etags: true });
  const all = await open();
  expect(await load(all, { storage: null })).toBeNull();
  wanted = ((await answer(all)) as Answer).ids;
  expect(wanted.length).toBe(TOKENS);
  await all.close();
});
afterEach(async () => {
  await opened?.close();
  opened = undefined;
  server.reset();
  Object.assign(server.files, files);
});
afterAll(async () => {
  await site.close();
  await server.close();
});

describe('the network, while a token waits (N14)', () => {
  it('busy for a while: the token waits, and is right; gone for good: a typed error, and the next request works', async () => {
    const tab = await open();
    expect(await load(tab, { storage: null, start: 'early', collect: false, retry: RETRY })).toBeNull();
    for (const n of [1, 2, 4]) {
      await evictAll(tab);
      const failures = new Map<string, number>();
      // Each range so many times: what runs side by side must not see the failures of others.
      server.plan = ({ path, range }) => {
        const key = `${path} ${range?.begin}`;
        const before = failures.get(key) ?? 0;
        failures.set(key, before + 1);
        return before % (n + 1) < n ? { status: 503 } : 'serve';
      };
      expect(await answer(tab), `503 ${n} times`).toMatchObject({ ids: wanted });
      expect(failures.size).toBeGreaterThan(n);
    }
    for (const status of [404, 503]) {
      await evictAll(tab);
      let served = 0;
      // In the middle of the answer.
      server.plan = () => (served++ < 8 ? 'serve' : { status });
      expect(await answer(tab), `${status} for good`).toMatchObject({ code: 'source' });
      server.plan = () => 'serve';
      expect(await answer(tab)).toMatchObject({ ids: wanted });
    }
  });
});

describe('a shard that changes while a model runs (N03)', () => {
  it('is a typed error, keeps nothing mixed, and the next load is of the new model', async () => {
    const tab = await open();
    expect(await load(tab, { start: 'early', collect: false, retry: RETRY })).toBeNull();
    expect(await answer(tab)).toMatchObject({ ids: wanted });
    // Every shard has another tag; one has other numbers.
    const changed = withTensor(files, 'model.layers.0.block_sparse_moe.experts.0.w1.weight', {
      bytes: (bytes) => bytes.reverse(),
    });
    for (const [name, file] of Object.entries(changed))
      if (isWeights(name)) (server.files as Files)[name] = withTail(file);
    await evictAll(tab);
    const failure = await tab.page.evaluate(
      async ([prompts, tokens]) => {
        // Experts that are kept already are of the old model, whole and right; sooner or later one is needed that is not.
        for (const prompt of prompts) {
          const got = await window.stream.tryAnswer(prompt, tokens);
          if ('name' in got) return got;
          await window.stream.evict(1);
        }
        return null;
      },
      [Array.from({ length: 20 }, (_, i) => [i * 7 + 1, i * 11 + 2, i * 5 + 9, i + 100]), TOKENS] as const,
    );
    expect(failure).toMatchObject({ code: 'source' });
    expect(failure!.message).toMatch(/changed/);
    const again = await reopen(tab);
    expect(await load(again, { retry: RETRY })).toBeNull();
    const fromNew = await answer(again);
    expect(await load(again, { storage: null, retry: RETRY })).toBeNull();
    expect(await answer(again)).toEqual(fromNew);
  });
});

/** One bit of the last weight is another. */
function withTail(file: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const copy = file.slice();
  copy[copy.length - 4]! ^= 1;
  return copy;
}

describe('the browser’s storage', () => {
  it('a bit flipped in every record is found before use, and fetched again (N05)', async () => {
    const tab = await open();
    expect(await load(tab)).toBeNull();
    await tab.page.evaluate(() => window.stream.settled());
    expect(await tab.page.evaluate(() => window.stream.kept)).toMatchObject({ isComplete: true });
    const whole = await reopen(tab);
    server.reset();
    expect(await load(whole)).toBeNull();
    expect(await answer(whole)).toMatchObject({ ids: wanted });
    expect(weightRequests(), 'a second visit').toBe(0);
    await whole.page.evaluate(() => window.stream.dispose());
    const flipped = await whole.page.evaluate(() => window.stream.flipBits(1));
    expect(flipped).toBeGreaterThan(16);
    const damaged = await reopen(whole);
    expect(await load(damaged)).toBeNull();
    expect(await answer(damaged)).toMatchObject({ ids: wanted });
    expect(weightRequests()).toBeGreaterThan(0);
    await damaged.page.evaluate(() => window.stream.settled());
    expect(await damaged.page.evaluate(() => window.stream.kept)).toMatchObject({ isComplete: true });
  });

  it.each([
    ['no private file system', 'memory', 'getDirectory'],
    ['no workers, so no sync access handles', 'opfs-async', 'Worker'],
  ])('%s: the model runs, and says why (N09)', async (_, kind, missing) => {
    const tab = await open({
      before: (context) =>
        context
          .addInitScript((what) => {
            if (what === 'Worker') Reflect.deleteProperty(globalThis, 'Worker');
            else Reflect.deleteProperty(StorageManager.prototype, 'getDirectory');
          }, missing)
          .then(() => undefined),
    });
    // In the page's own thread: what is taken from the page is still there in a worker.
    expect(await load(tab, { worker: false })).toBeNull();
    expect(await answer(tab)).toMatchObject({ ids: wanted });
    const { storage } = await tab.page.evaluate(() => window.stream.stats);
    expect(storage.kind).toBe(kind);
    expect(storage.note).toMatch(/no private file system|more slowly/);
  });

  it('site data cleared while it runs: what is missing is fetched again (N10)', async () => {
    const tab = await open();
    expect(await load(tab, { expertsResident: 0 })).toBeNull();
    await tab.page.evaluate(() => window.stream.settled());
    const session = await tab.page.context().newCDPSession(tab.page);
    await session.send('Storage.clearDataForOrigin', { origin: new URL(tab.page.url()).origin, storageTypes: 'all' });
    await evictAll(tab);
    expect(await answer(tab)).toMatchObject({ ids: wanted });
    const again = await reopen(tab);
    expect(await load(again)).toBeNull();
    expect(await answer(again)).toMatchObject({ ids: wanted });
  });
});

describe('abort (D11)', () => {
  it('30 times at random moments: returns at once, and the next request is right', async () => {
    const tab = await open();
    expect(await load(tab, { storage: null, expertsResident: 0, collect: false, retry: RETRY })).toBeNull();
    const before = await tab.page.evaluate(() => window.stream.buffers());
    const startedAt = performance.now();
    expect(await answer(tab)).toMatchObject({ ids: wanted });
    const ms = performance.now() - startedAt;
    server.setLink({ latencyMs: 15 });
    const { latencies, wrong } = await tab.page.evaluate(
      ([prompt, ids, most]) => window.stream.aborts(prompt, ids, 30, most),
      [PROMPT, wanted, ms] as const,
    );
    server.setLink({});
    const cut = latencies.filter((l) => l >= 0).sort((a, b) => a - b);
    console.log(
      `${cut.length} of 30 aborted, median ${cut[cut.length >> 1]?.toFixed(0)} ms, most ${cut.at(-1)?.toFixed(0)} ms; an answer takes ${ms.toFixed(0)} ms`,
    );
    expect(wrong).toEqual([]);
    expect(cut.length).toBeGreaterThan(10);
    // One submit of the software adapter, and what a busy machine adds.
    expect(cut.at(-1)!).toBeLessThan(1500);
    expect(await tab.page.evaluate(() => window.stream.buffers())).toBe(before);
  });
});
