import { mkdtemp, readdir, rm, writeFile, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { InvalidRequest, StorageError } from '../../../../src/errors.ts';
import { sourceBlobs } from '../../../../src/weights/records/blobs.ts';
import type { RecordFolder } from '../../../../src/weights/records/folder.ts';
import { sourceKey, type CacheIdentity } from '../../../../src/weights/records/identity.ts';
import { localLock, type RecordLock } from '../../../../src/weights/records/lock.ts';
import { memoryFolder } from '../../../../src/weights/records/memory-folder.ts';
import { nodeFolder } from '../../../../src/weights/records/node-folder.ts';
import { nodeLock } from '../../../../src/weights/records/node-lock.ts';
import { openRecordCache } from '../../../../src/weights/records/open-cache.ts';
import { modelStorage } from '../../../../src/weights/records/storage.ts';
import { around } from './around.ts';
import { ALL, everyRecord, ID, identity, inside, readAll, specs, TOTAL, writeAll } from './support.ts';

interface Place {
  readonly root: RecordFolder;
  readonly lock: RecordLock;
}

const place = (root: RecordFolder = memoryFolder()): Place => ({ root, lock: localLock() });

/** Stores a model, used at `usedAt`, with its texts. @returns its id */
async function store(
  { root, lock }: Place,
  part: Partial<CacheIdentity> = {},
  usedAt = 1,
  count = ALL,
): Promise<string> {
  const who = { ...identity, ...part };
  const cache = await openRecordCache(root, who, specs, { lock, now: () => usedAt });
  await writeAll(cache, everyRecord().slice(0, count));
  await cache.close();
  await (await sourceBlobs(root, who.source, who.revision)).writeBlob('metadata', new Uint8Array(100));
  return cache.id;
}

const put = async (folder: RecordFolder, name: string, bytes: number): Promise<void> => {
  const file = (await folder.open(name, { create: true }))!;
  await file.truncate(bytes);
  await file.close();
};

describe('list', () => {
  test('tells what is there, and what is in use', async () => {
    const at = place();
    expect(await modelStorage(at.root, at.lock).list()).toEqual([]);
    await store(at, {}, 1000);
    await store(at, { precision: 'q8' }, 2000, 2);
    const open = await openRecordCache(at.root, identity, specs, { lock: at.lock, now: () => 3000 });
    const list = await modelStorage(at.root, at.lock).list();
    expect([...list].sort((a, b) => a.bytes - b.bytes)).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f]{16}-[0-9a-f]{16}$/),
        source: identity.source,
        precision: 'q8',
        bytes: 2 * 8192,
        totalBytes: TOTAL,
        lastUsed: new Date(2000),
        inUse: false,
      },
      {
        id: ID,
        source: identity.source,
        precision: 'q4',
        bytes: TOTAL,
        totalBytes: TOTAL,
        lastUsed: new Date(3000),
        inUse: true,
      },
    ]);
    await open.close();
  });

  test('counts what only the journal knows', async () => {
    const at = place();
    const cache = await openRecordCache(at.root, identity, specs);
    await writeAll(cache, everyRecord().slice(0, 3));
    await cache.sync();
    expect(await modelStorage(at.root, at.lock).list()).toMatchObject([{ bytes: 3 * 8192 }]);
  });

  test('goes on where another tab has the files open', async () => {
    const at = place();
    await store(at);
    const busy = (names: RegExp): RecordFolder =>
      around(at.root, {
        before: async ({ kind, name }) => {
          if (kind === 'open' && names.test(name)) throw new StorageError('in-use', 'NoModificationAllowedError');
        },
      });
    expect(await modelStorage(busy(/journal/), at.lock).list()).toMatchObject([{ bytes: TOTAL }]);
    expect(await modelStorage(busy(/manifest/), at.lock).list()).toEqual([]);
  });
});

describe('verify', () => {
  test('finds damage, and keeps the time of the last use', async () => {
    const at = place();
    await store(at, {}, 1000);
    const storage = modelStorage(at.root, at.lock);
    const progress: number[] = [];
    expect(await storage.verify(ID, { onProgress: (done) => progress.push(done) })).toEqual({
      records: ALL,
      damaged: 0,
    });
    expect(progress.at(-1)).toBe(ALL);
    await (await (await inside(at.root)).open('dense.records'))!.write(new Uint8Array(100), 0);
    expect(await storage.verify(ID)).toEqual({ records: ALL, damaged: 1 });
    expect(await storage.verify(ID)).toEqual({ records: ALL - 1, damaged: 0 });
    expect(await storage.list()).toMatchObject([{ lastUsed: new Date(1000), bytes: TOTAL - 12288, inUse: false }]);
    const reason = new Error('enough');
    await expect(storage.verify(ID, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(await at.lock.isHeld(ID)).toBe(false);
  });

  test('refuses what is in use, or not there', async () => {
    const at = place();
    const cache = await openRecordCache(at.root, identity, specs, { lock: at.lock });
    const storage = modelStorage(at.root, at.lock);
    await expect(storage.verify(ID)).rejects.toThrow(InvalidRequest);
    await expect(storage.verify(ID)).rejects.toThrow(/in use/);
    await cache.close();
    await expect(storage.verify('nothing')).rejects.toThrow(/No stored model/);
    await expect(storage.verify('0000000000000000-0000000000000000')).rejects.toThrow(/No stored model/);
  });
});

describe('remove', () => {
  test('takes the model, and its texts with the last of its source', async () => {
    const at = place();
    const q4 = await store(at);
    const q8 = await store(at, { precision: 'q8' });
    const storage = modelStorage(at.root, at.lock);
    await storage.remove(q4);
    expect([...(await at.root.folders())].sort()).toEqual([sourceKey(identity.source, null), q8].sort());
    await storage.remove(q8);
    expect(await at.root.folders()).toEqual([]);
    await storage.remove(q8);
  });

  test('refuses what is in use', async () => {
    const at = place();
    const cache = await openRecordCache(at.root, identity, specs, { lock: at.lock });
    await expect(modelStorage(at.root, at.lock).remove(cache.id)).rejects.toThrow(InvalidRequest);
    expect(await writeAll(cache)).toBe(ALL);
    await cache.close();
    await modelStorage(at.root, at.lock).remove(cache.id);
    expect(await at.root.folders()).toEqual([]);
  });

  test('takes no name that is not a model', async () => {
    const at = place();
    await at.root.folder('precious');
    await modelStorage(at.root, at.lock).remove('precious');
    expect(await at.root.folders()).toEqual(['precious']);
  });
});

describe('tidy', () => {
  /** A good model and everything that should not be there. */
  async function mess(at: Place): Promise<void> {
    await store(at);
    const folder = await inside(at.root);
    await put(folder, 'experts.0.records.crswap', 10);
    await put(folder, 'foreign.txt', 20);
    await put(folder, 'empty.records', 0);
    await put(await folder.folder('inner'), 'x', 30);
    // Another version's, a damaged one's, one that a crash left without a manifest.
    await store(at, { source: 'old', revision: 'v' });
    const old = await at.root.folder((await modelStorage(at.root, at.lock).list()).find((m) => m.source === 'old')!.id);
    for (const name of ['manifest.0', 'manifest.1']) await put(old, name, 100);
    await put(await at.root.folder('1111111111111111-1111111111111111'), 'experts.0.records', 40);
    await at.root.folder('2222222222222222-2222222222222222');
    await (await sourceBlobs(at.root, 'nobody', null)).writeBlob('metadata', new Uint8Array(50));
  }

  test('leaves good models, and frees the rest', async () => {
    const at = place();
    await mess(at);
    await put(at.root, 'stray.crswap', 1000);
    await put(await at.root.folder('strange'), 'x', 2000);
    const sizeOf = async (): Promise<number> => {
      const count = async (folder: RecordFolder): Promise<number> => {
        let bytes = 0;
        for (const file of await folder.list()) bytes += file.bytes;
        for (const name of await folder.folders()) bytes += await count(await folder.folder(name));
        return bytes;
      };
      return count(at.root);
    };
    const before = await sizeOf();
    const storage = modelStorage(at.root, at.lock);
    const freed = await storage.tidy();
    expect(freed).toBe(before - (await sizeOf()));
    expect(freed).toBeGreaterThan(TOTAL);
    expect([...(await at.root.folders())].sort()).toEqual([sourceKey(identity.source, null), ID].sort());
    expect(await at.root.list()).toEqual([]);
    expect(await storage.tidy()).toBe(0);
    const cache = await openRecordCache(at.root, identity, specs, at);
    expect(await readAll(cache)).toEqual({ right: ALL, wrong: 0, absent: 0 });
  });

  test('touches nothing that is in use', async () => {
    const at = place();
    await store(at);
    const cache = await openRecordCache(at.root, identity, specs, at);
    await put(await inside(at.root), 'foreign.txt', 20);
    expect(await modelStorage(at.root, at.lock).tidy()).toBe(0);
    expect(await readAll(cache)).toEqual({ right: ALL, wrong: 0, absent: 0 });
  });

  test('leaves alone what else is in a folder of the user', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'webmoe-'));
    try {
      const at = { root: nodeFolder(dir), lock: nodeLock(dir) };
      await mess(at);
      await writeFile(join(dir, 'thesis.txt'), 'precious');
      await mkdir(join(dir, 'photos'));
      await writeFile(join(dir, 'photos/cat.jpg'), 'precious');
      expect(await modelStorage(at.root, at.lock).tidy()).toBeGreaterThan(TOTAL);
      const kept = (await readdir(dir)).filter((name) => !name.startsWith('.'));
      expect(kept.sort()).toEqual(['photos', 'thesis.txt', sourceKey(identity.source, null), ID].sort());
      expect(await readdir(join(dir, 'photos'))).toEqual(['cat.jpg']);
      const cache = await openRecordCache(at.root, identity, specs, at);
      expect(cache.isComplete).toBe(true);
      await cache.close();
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

describe('makeRoom', () => {
  test('takes the longest unused first, and no more than it must', async () => {
    const at = place();
    const ids: Record<string, string> = {};
    for (const [source, usedAt] of Object.entries({ b: 2, a: 1, d: 4, c: 3 }))
      ids[source] = await store(at, { source }, usedAt);
    const storage = modelStorage(at.root, at.lock);
    const open = await openRecordCache(at.root, { ...identity, source: 'a' }, specs, { ...at, now: () => 1 });
    const left = async (): Promise<string> =>
      (await storage.list())
        .map((m) => m.source)
        .sort()
        .join('');
    expect(await storage.makeRoom(0, null)).toBe(0);
    expect(await storage.makeRoom(1, ids.b!)).toBeGreaterThan(TOTAL);
    expect(await left()).toBe('abd'); // a is in use, b is kept, c was next
    expect(await storage.makeRoom(TOTAL + 1, null)).toBeGreaterThan(TOTAL);
    expect(await left()).toBe('ad');
    expect(await storage.makeRoom(1e9, null)).toBeLessThan(1e9);
    expect(await left()).toBe('a');
    expect(open.isComplete).toBe(true);
  });

  test('serves a cache that has no room', async () => {
    const at = place(memoryFolder(1.6 * TOTAL));
    await store(at, { source: 'old' });
    const storage = modelStorage(at.root, at.lock);
    const cache = await openRecordCache(at.root, identity, specs, {
      lock: at.lock,
      makeRoom: (bytes) => storage.makeRoom(bytes, null),
    });
    expect(cache.note).toBeNull();
    expect(await writeAll(cache)).toBe(ALL);
    expect(await storage.list()).toHaveLength(1);
  });
});

test('a path is persistent, memory is not', async () => {
  const path = modelStorage(nodeFolder(tmpdir()), localLock());
  expect([await path.persist(), await path.persisted()]).toEqual([true, true]);
  const memory = modelStorage(memoryFolder(), localLock());
  expect([await memory.persist(), await memory.persisted()]).toEqual([false, false]);
});
