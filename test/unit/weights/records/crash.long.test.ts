/** Programs and machines that stop at any moment: never a wrong record afterwards, nothing lost that was synced, and caching goes on. */
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../../../src/errors.ts';
import { prng } from '../../../../src/util/prng.ts';
import type { RecordCache } from '../../../../src/weights/records/cache.ts';
import type { RecordFolder } from '../../../../src/weights/records/folder.ts';
import { memoryFolder } from '../../../../src/weights/records/memory-folder.ts';
import { openRecordCache } from '../../../../src/weights/records/open-cache.ts';
import { around } from './around.ts';
import { ALL, everyRecord, identity, inside, readAll, recordOf, specs, writeAll } from './support.ts';

const groups = { delayMs: 60_000, records: 4 };

/** Counts what a workload has promised. */
interface Promised {
  records: number;
  popularity: number;
  blob: number;
}

/** A session that uses everything: records in groups, popularity, blobs, damage, a close and a second opening. */
async function session(root: RecordFolder, promised: Promised): Promise<void> {
  const records = everyRecord();
  let cache = await openRecordCache(root, identity, specs, { groups });
  const kept = await writeAll(cache, records.slice(0, 6));
  if ((await cache.sync()) && kept === 6) promised.records = 6;
  if (await cache.savePopularity(Float32Array.of(1))) promised.popularity = 1;
  if (await cache.writeBlob('meta', Uint8Array.of(1))) promised.blob = 1;
  // Replaced by other content and back again, so that places are given away and journal entries undo each other.
  await cache.write('experts.0', 0, new Uint8Array(10));
  await cache.write('experts.0', 0, recordOf('experts.0', 0));
  await writeAll(cache, records.slice(6, 9));
  if (await cache.writeBlob('meta', Uint8Array.of(2))) promised.blob = 2;
  await cache.close();
  cache = await openRecordCache(root, identity, specs, { groups });
  await writeAll(cache);
  if (await cache.savePopularity(Float32Array.of(2))) promised.popularity = 2;
  await cache.close();
}

/** What is in it is right; afterwards it can be completed. @returns the promises that were not kept */
async function checkAfter(root: RecordFolder, promised: Promised): Promise<string[]> {
  const cache = await openRecordCache(root, identity, specs);
  const found = await readAll(cache);
  expect(found.wrong).toBe(0);
  const broken: string[] = [];
  // Record 0 is being replaced: it may be between two contents.
  if (found.right < promised.records - 1) broken.push(`${promised.records} records, found ${found.right}`);
  if (cache.damaged > 1) broken.push(`${cache.damaged} marks without their bytes`);
  if ((cache.popularity?.[0] ?? 0) < promised.popularity) broken.push('popularity');
  if (((await cache.readBlob('meta'))?.[0] ?? 0) < promised.blob) broken.push('blob');
  await complete(cache);
  await cache.close();
  const again = await openRecordCache(root, identity, specs);
  expect(again.isComplete).toBe(true);
  await again.close();
  return broken;
}

async function complete(cache: RecordCache): Promise<void> {
  expect(await writeAll(cache)).toBe(ALL);
  expect(await readAll(cache)).toEqual({ right: ALL, wrong: 0, absent: 0 });
}

async function countOperations(): Promise<number> {
  let count = 0;
  await session(around(memoryFolder(), { before: async () => void count++ }), { records: 0, popularity: 0, blob: 0 });
  return count;
}

describe('a program that stops', () => {
  test('at any operation, which is done in part', async () => {
    const total = await countOperations();
    expect(total).toBeGreaterThan(100);
    for (let stop = 0; stop < total; stop++) {
      const root = memoryFolder();
      const promised: Promised = { records: 0, popularity: 0, blob: 0 };
      const u = prng(stop);
      let count = 0;
      let crashed = (): void => undefined;
      const crash = new Promise<void>((resolve) => (crashed = resolve));
      const until = around(root, {
        before: async ({ kind, bytes, at, file }) => {
          if (count++ < stop) return;
          if (count === stop + 1 && kind === 'write')
            await file!.write(bytes!.subarray(0, Math.floor(u() * bytes!.length)), at!);
          crashed();
          await new Promise(() => undefined); // never goes on
        },
      });
      await Promise.race([session(until, promised), crash]);
      expect(await checkAfter(root, promised), `stopped at ${stop}`).toEqual([]);
    }
  });

  test('being refused by the disk from any operation on', async () => {
    const total = await countOperations();
    for (let stop = 0; stop < total; stop++) {
      const root = memoryFolder();
      const promised: Promised = { records: 0, popularity: 0, blob: 0 };
      let count = 0;
      const until = around(root, {
        before: async () => {
          if (count++ >= stop) throw new StorageError('failed', 'the disk is gone');
        },
      });
      await session(until, promised).catch((error: unknown) => expect(error).toBeInstanceOf(StorageError));
      expect(await checkAfter(root, promised), `stopped at ${stop}`).toEqual([]);
    }
  });

  test('being refused by the disk once, at any operation', async () => {
    const total = await countOperations();
    for (let stop = 0; stop < total; stop++) {
      const root = memoryFolder();
      const promised: Promised = { records: 0, popularity: 0, blob: 0 };
      let count = 0;
      const once = around(root, {
        before: async () => {
          if (count++ === stop) throw new StorageError('failed', 'once');
        },
      });
      await session(once, promised).catch((error: unknown) => expect(error).toBeInstanceOf(StorageError));
      expect(await checkAfter(root, promised), `refused at ${stop}`).toEqual([]);
    }
  });
});

/** Holds writes back until a flush, as a disk's cache does; losing power keeps an arbitrary part of them. */
class PowerCut {
  readonly root = memoryFolder();
  readonly #flushes: boolean;
  /** By file, what takes back each operation that is not flushed: bytes as they were, and the size. */
  readonly #undo = new Map<string, { readonly at: number; readonly bytes: Uint8Array; readonly size: number }[]>();
  #isOff = false;

  constructor(flushes: boolean) {
    this.#flushes = flushes;
  }

  /** The folder as the program sees it: it reads what it wrote. */
  view(): RecordFolder {
    return around(this.root, {
      before: async ({ kind, name, at, bytes, file }) => {
        if (this.#isOff) await new Promise(() => undefined);
        if ((kind === 'flush' && this.#flushes) || kind === 'remove') this.#undo.delete(name);
        if (kind !== 'write' && kind !== 'truncate') return;
        const size = await file!.size();
        const length = Math.max(0, Math.min(kind === 'write' ? bytes!.length : Infinity, size - at!));
        const old = new Uint8Array(length);
        await file!.read(old, at!);
        this.#undo.set(name, [...(this.#undo.get(name) ?? []), { at: at!, bytes: old, size }]);
      },
    });
  }

  /** Takes back an arbitrary half of what was not flushed, the latest first. */
  async cut(u: () => number): Promise<void> {
    this.#isOff = true;
    const folder = await inside(this.root);
    for (const [name, operations] of this.#undo) {
      const file = await folder.open(name);
      if (!file) continue;
      for (const { at, bytes, size } of operations.reverse()) {
        if (u() < 0.5) continue;
        await file.write(bytes, at);
        if ((await file.size()) > size && u() < 0.5) await file.truncate(size);
      }
    }
  }
}

describe('a machine that loses power', () => {
  /** @returns the promises that were not kept, over all moments */
  const loseAt = async (flushes: boolean): Promise<string[]> => {
    const total = await countOperations();
    const broken: string[] = [];
    for (let stop = 0; stop < total; stop++) {
      const machine = new PowerCut(flushes);
      const promised: Promised = { records: 0, popularity: 0, blob: 0 };
      let count = 0;
      let crashed = (): void => undefined;
      const crash = new Promise<void>((resolve) => (crashed = resolve));
      const view = around(machine.view(), {
        before: async () => {
          if (count++ < stop) return;
          crashed();
          await new Promise(() => undefined);
        },
      });
      await Promise.race([session(view, promised), crash]);
      await machine.cut(prng(stop));
      broken.push(...(await checkAfter(machine.root, promised)));
    }
    return broken;
  };

  test('keeps what was synced, and any part of the rest', async () => {
    expect(await loseAt(true)).toEqual([]);
  });

  test('whose disk does not flush when told to loses records, and still gives no wrong one', async () => {
    expect((await loseAt(false)).length).toBeGreaterThan(10);
  });
});

test('one bit flipped in each of 200 places of what is used: nothing wrong is ever read', async () => {
  const root = memoryFolder();
  const first = await openRecordCache(root, identity, specs, { groups });
  await writeAll(first);
  await first.writeBlob(
    'meta',
    Uint8Array.from({ length: 3000 }, (_, i) => i),
  );
  await first.sync(); // never closed: marks are in the journal
  const folder = await inside(root);
  const snapshot = new Map<string, Uint8Array>();
  for (const { name, bytes } of await folder.list()) {
    const whole = new Uint8Array(bytes);
    await (await folder.open(name))!.read(whole, 0);
    snapshot.set(name, whole);
  }
  const restore = async (): Promise<void> => {
    for (const { name } of await folder.list()) await folder.remove(name);
    for (const [name, bytes] of snapshot) await (await folder.open(name, { create: true }))!.write(bytes, 0);
  };
  const u = prng(1);
  const kinds = { data: 0, manifest: 0, journal: 0, blob: 0 };
  const of = new Map<string, number>(); // how often a kind of damage was noticed
  for (let i = 0; i < 200; i++) {
    await restore();
    const kind = (['data', 'data', 'manifest', 'journal', 'blob'] as const)[i % 5]!;
    const names = { data: /\.records$/, manifest: /^manifest/, journal: /^journal/, blob: /^blob/ };
    const files = [...snapshot.keys()].filter((name) => names[kind].test(name));
    const name = files[Math.floor(u() * files.length)]!;
    const spec = specs.find((s) => `${s.name}.records` === name);
    const size = snapshot.get(name)!.length;
    const stride = spec ? Math.ceil(spec.recordBytes / 4096) * 4096 : size;
    // Of a record's stride only its bytes are used.
    const at = Math.floor(u() * (size / stride)) * stride + Math.floor(u() * (spec?.recordBytes ?? size));
    const byte = snapshot.get(name)![at]! ^ (1 << Math.floor(u() * 8));
    await (await folder.open(name))!.write(Uint8Array.of(byte), at);
    kinds[kind]++;

    const cache = await openRecordCache(root, identity, specs);
    const found = await readAll(cache);
    expect(found.wrong).toBe(0);
    if (kind === 'data') expect([found.right, cache.damaged]).toEqual([ALL - 1, 1]);
    const blob = await cache.readBlob('meta');
    if (kind === 'blob') expect(blob).toBeNull();
    else if (cache.replaced === null) expect(blob).toEqual(Uint8Array.from({ length: 3000 }, (_, j) => j));
    if (found.right < ALL || blob === null) of.set(kind, (of.get(kind) ?? 0) + 1);
    await complete(cache);
    await cache.close();
  }
  expect(kinds).toEqual({ data: 80, manifest: 40, journal: 40, blob: 40 });
  expect(of.get('data')).toBe(80);
  expect(of.get('blob')).toBe(40);
  expect(of.get('journal')).toBe(40);
  expect(of.get('manifest')).toBeGreaterThan(0); // the older of the two is not missed
});
