/** A real process, really killed, on a real disk. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { prng } from '../../../../src/util/prng.ts';
import { nodeFolder } from '../../../../src/weights/records/node-folder.ts';
import { nodeLock } from '../../../../src/weights/records/node-lock.ts';
import { openRecordCache } from '../../../../src/weights/records/open-cache.ts';
import { modelStorage } from '../../../../src/weights/records/storage.ts';
import { bundle, start } from './child.ts';
import { bigRecord, bigRecords, bigSpecs, identity, inside } from './support.ts';

let dir = '';
let script = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'webmoe-'));
  script = await bundle(join(import.meta.dirname, 'child-main.ts'), dir);
});
afterAll(() => rm(dir, { recursive: true }));

const records = bigRecords();
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function readBig(root: string): Promise<{ right: number; damaged: number; leftovers: string[] }> {
  const folder = nodeFolder(root);
  const cache = await openRecordCache(folder, identity, bigSpecs, { lock: nodeLock(root) });
  let right = 0;
  for (const { file, index } of records) {
    const expected = bigRecord(file, index);
    const into = new Uint8Array(expected.length);
    if (!(await cache.read(file, index, into))) continue;
    expect(Buffer.compare(into, expected), `${file} ${index}`).toBe(0);
    right++;
  }
  const { damaged } = cache;
  await cache.close();
  const known = /^((experts\.[01]|dense)\.records|journal|manifest\.[01])$/;
  const leftovers = (await (await inside(folder)).list()).map(({ name }) => name).filter((name) => !known.test(name));
  return { right, damaged, leftovers };
}

test('kill -9 at 30 random moments: what was synced is there, nothing is wrong, nothing is left over, caching goes on', async () => {
  const whole = join(dir, 'whole');
  const started = performance.now();
  const child = start(script, [whole]);
  expect(await child.ended).toBe(0);
  const runMs = performance.now() - started;
  expect(child.lines.at(-1)).toBe('closed');
  expect(await readBig(whole)).toEqual({ right: records.length, damaged: 0, leftovers: [] });

  const u = prng(Date.now());
  let partly = 0;
  for (let i = 0; i < 30; i++) {
    const root = join(dir, `killed-${i}`);
    const killed = start(script, [root]);
    // Some at any time, so while it starts too; most when it has reached a random point of its work, which is short.
    if (i < 8) await sleep(u() * runMs);
    else {
      const point = 1 + Math.floor(u() * (child.lines.length - 2));
      while (killed.lines.length < point && killed.process.exitCode === null) await sleep(1);
      await sleep(u() * 5);
    }
    killed.process.kill('SIGKILL');
    await killed.ended;
    const synced = Math.max(0, ...killed.lines.map((line) => Number(/^synced (\d+)$/.exec(line)?.[1] ?? 0)));
    const found = await readBig(root); // takes the dead process's lock over
    expect(found.right).toBeGreaterThanOrEqual(synced);
    expect([found.damaged, found.leftovers]).toEqual([0, []]);
    if (found.right > 0 && found.right < records.length) partly++;
    if (i % 5 === 0) {
      expect(await start(script, [root]).ended).toBe(0);
      expect((await readBig(root)).right).toBe(records.length);
    }
    await rm(root, { recursive: true, force: true });
  }
  console.log(`killed in the middle: ${partly} of 30`);
  expect(partly).toBeGreaterThan(15);
}, 300_000);

test('two processes never have one cache; a dead one frees it', async () => {
  const root = join(dir, 'shared');
  const holder = start(script, [root, 'hold']);
  await new Promise((resolve) => holder.process.stdout!.once('data', resolve));
  await expect(openRecordCache(nodeFolder(root), identity, bigSpecs, { lock: nodeLock(root) })).rejects.toMatchObject({
    reason: 'in-use',
  });
  const storage = modelStorage(nodeFolder(root), nodeLock(root));
  const [model] = await storage.list();
  expect(model).toMatchObject({ inUse: true, source: identity.source });
  await expect(storage.remove(model!.id)).rejects.toThrow(/in use/);
  const other = start(script, [root]);
  await other.ended;
  expect(other.lines).toEqual(['failed in-use']);
  holder.process.kill('SIGKILL');
  await holder.ended;
  expect(await storage.list()).toMatchObject([{ inUse: false }]);
  const cache = await openRecordCache(nodeFolder(root), identity, bigSpecs, { lock: nodeLock(root) });
  await cache.close();
});

test('of eight processes that want one cache at once, one gets it', async () => {
  const root = join(dir, 'crowd');
  for (let round = 0; round < 3; round++) {
    const crowd = Array.from({ length: 8 }, () => start(script, [root, 'hold']));
    await Promise.all(crowd.map((c) => new Promise((resolve) => c.process.stdout!.once('data', resolve))));
    expect(crowd.filter((c) => c.lines[0]!.startsWith('opened'))).toHaveLength(1);
    expect(crowd.filter((c) => c.lines[0] === 'failed in-use')).toHaveLength(7);
    for (const c of crowd) c.process.kill('SIGKILL');
    await Promise.all(crowd.map((c) => c.ended));
  }
});
