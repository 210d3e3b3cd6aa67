/** SIGKILL of the whole browser while a page writes records: what was flushed and marked is whole, and nothing is left lying about. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSite, type Site } from '../support/browser.ts';
import { makeProfile, type Profile } from '../support/profile.ts';
import { integers } from '../support/random.ts';
import type { Backend } from './pages/records.ts';
import type { StoreKind } from './pages/store.ts';

let site: Site;
beforeAll(async () => {
  site = await openSite('records.html');
});
afterAll(() => site.close());

interface Outcome {
  /** Records that came back wrong, or not at all though they were done. */
  readonly wrong: string[];
  /** Records that were done before a kill, over all kills. */
  readonly done: number;
  /** Kills in the middle of a record. */
  readonly torn: number;
  /** Files beside the store's that kills left behind, and that were gone when it was opened. */
  readonly orphans: number;
}

/**
 * Starts the browser `kills` times on one profile; each time checks what the last kill left, writes on, and is killed. Stops at the first record
 * that is wrong.
 */
async function killWhileWriting(profile: Profile, backend: Backend, kind: StoreKind, kills: number): Promise<Outcome> {
  /** What each record must hold; `doing` is being replaced, so that it may hold either or nothing. */
  const done = new Map<number, number>();
  let doing = null as { index: number; seed: number } | null;
  let seed = 1;
  const outcome = { wrong: [] as string[], done: 0, torn: 0, orphans: 0 };

  for (let kill = 0; kill <= kills; kill++) {
    const { page, kill: killBrowser, close } = await profile.start(site.at('/records.html'));
    const found = await page.evaluate(
      async ([name, k]) => {
        const { openers, openStore, rawNames, readStore, storeFiles } = window.records;
        const { folder, files } = storeFiles(k);
        const others = async (): Promise<number> => (await rawNames(folder)).filter((f) => !files.includes(f)).length;
        const end = async (): Promise<number> => {
          await store.close();
          return others();
        };
        const orphans = await others();
        const store = await openStore(await openers[name](), k);
        Object.assign(window, { store, end });
        return { records: await readStore(store), orphans };
      },
      [backend, kind] as const,
    );
    outcome.orphans += found.orphans;
    for (const [index, value] of found.records.entries()) {
      const isDoing = doing?.index === index;
      const before = done.get(index) ?? null;
      const good: unknown[] = isDoing ? [before, null, doing!.seed] : [before];
      if (!good.includes(value))
        outcome.wrong.push(`kill ${kill}, record ${index}: ${value}, not ${good.join(' or ')}`);
      if (isDoing && value === null) outcome.torn++;
      if (typeof value === 'number') done.set(index, value);
      else done.delete(index);
    }
    doing = null;
    if (kill === kills || outcome.wrong.length > 0) {
      const left = await page.evaluate(() => (window as unknown as { end(): Promise<number> }).end());
      expect(left, 'files that kills left lying about').toBe(0);
      await close();
      break;
    }
    await page.exposeFunction('tell', (what: 'start' | 'done', index: number, s: number) => {
      seed = s + 1;
      if (what === 'start') doing = { index, seed: s };
      else {
        done.set(index, s);
        doing = null;
        outcome.done++;
      }
    });
    void page
      .evaluate(async (first) => {
        const { store, tell } = window as unknown as {
          store: Parameters<typeof window.records.writeForEver>[0];
          tell: Parameters<typeof window.records.writeForEver>[2];
        };
        await window.records.writeForEver(store, first, tell);
      }, seed)
      .catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20 + integers(kill + 1, 1, 250)[0]!));
    await killBrowser();
  }
  return outcome;
}

it.each([
  ['worker', 'cache', 30],
  ['async', 'cache', 4],
  ['worker', 'journal', 2],
] as const)('%s, %s: killed %i times', async (backend, kind, kills) => {
  const profile = makeProfile();
  const { wrong, done, torn, orphans } = await killWhileWriting(profile, backend, kind, kills);
  console.log(
    `${backend}, ${kind}: ${kills} kills, ${done} records done before, ${torn} torn and found to be, ${orphans} orphans`,
  );
  expect(wrong).toEqual([]);
  expect(done).toBeGreaterThan(0);
  if (backend === 'async') expect(orphans).toBeGreaterThan(0);
  profile.remove();
});

it('a store that marks first is caught', async () => {
  const profile = makeProfile();
  const { wrong } = await killWhileWriting(profile, 'worker', 'mark-first', 10);
  expect(wrong).not.toEqual([]);
  profile.remove();
});
