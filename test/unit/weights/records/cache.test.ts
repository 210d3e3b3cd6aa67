import { describe, expect, test, vi } from 'vitest';
import { QuotaExceeded, StorageError } from '../../../../src/errors.ts';
import { InvariantError } from '../../../../src/util/assert.ts';
import type { RecordCache } from '../../../../src/weights/records/cache.ts';
import type { RecordFolder } from '../../../../src/weights/records/folder.ts';
import type { CacheIdentity } from '../../../../src/weights/records/identity.ts';
import { localLock } from '../../../../src/weights/records/lock.ts';
import { memoryFolder } from '../../../../src/weights/records/memory-folder.ts';
import { openRecordCache } from '../../../../src/weights/records/open-cache.ts';
import { around } from './around.ts';
import { ALL, everyRecord, identity, inside, readAll, recordOf, specs, TOTAL, writeAll } from './support.ts';

const everything = { right: ALL, wrong: 0, absent: 0 };
const nothing = { right: 0, wrong: 0, absent: ALL };

/** A complete cache, closed. */
async function filled(root: RecordFolder = memoryFolder()): Promise<RecordFolder> {
  const cache = await openRecordCache(root, identity, specs);
  await writeAll(cache);
  await cache.close();
  return root;
}

const reopen = (root: RecordFolder): Promise<RecordCache> => openRecordCache(root, identity, specs);

const flipByte = async (root: RecordFolder, name: string, at: number): Promise<void> => {
  const file = (await (await inside(root)).open(name))!;
  const byte = new Uint8Array(1);
  expect(await file.read(byte, at)).toBe(1);
  byte[0]! ^= 1;
  await file.write(byte, at);
  await file.close();
};

describe('records', () => {
  test('are kept, and found again', async () => {
    const root = memoryFolder();
    const first = await openRecordCache(root, identity, specs);
    expect([first.presentBytes, first.totalBytes, first.isComplete]).toEqual([0, TOTAL, false]);
    expect(first.has('dense', 0)).toBe(false);
    expect(await readAll(first)).toEqual(nothing);
    expect(await writeAll(first)).toBe(ALL);
    expect(first.has('dense', 0)).toBe(true);
    expect(await readAll(first)).toEqual(everything);
    expect([first.presentBytes, first.isComplete, first.note, first.damaged]).toEqual([TOTAL, true, null, 0]);
    await first.close();

    const second = await reopen(root);
    expect([second.isComplete, second.replaced, second.note]).toEqual([true, null, null]);
    expect(await readAll(second)).toEqual(everything);
    await second.close();
  });

  test('may be shorter than the longest, and are read at their length only', async () => {
    const cache = await reopen(memoryFolder());
    expect(await cache.write('dense', 1, Uint8Array.of(1, 2, 3))).toBe(true);
    const into = new Uint8Array(3);
    expect([await cache.read('dense', 1, into), ...into]).toEqual([true, 1, 2, 3]);
    expect(await cache.verify()).toEqual({ records: 1, damaged: 0 });
    expect(await cache.read('dense', 1, new Uint8Array(4))).toBe(false);
    expect(cache.damaged).toBe(1);
  });

  test('that are written twice: the same costs nothing, another replaces', async () => {
    let writes = 0;
    const root = around(memoryFolder(), {
      before: async ({ kind, name }) => void (kind === 'write' && name === 'dense.records' && writes++),
    });
    const first = await reopen(root);
    for (let i = 0; i < 3; i++) await first.write('dense', 0, Uint8Array.of(1));
    expect(writes).toBe(1);
    expect(await first.write('dense', 0, Uint8Array.of(2))).toBe(true);
    await first.close();
    const second = await reopen(root);
    const into = new Uint8Array(1);
    expect([await second.read('dense', 0, into), into[0], second.presentBytes]).toEqual([true, 2, 12288]);
  });

  test('at offsets that are multiples of 4096, in one file of the full length', async () => {
    const root = await filled();
    const folder = await inside(root);
    const files = new Map((await folder.list()).map(({ name, bytes }) => [name, bytes]));
    expect(files.get('experts.0.records')).toBe(6 * 8192);
    expect(files.get('experts.1.records')).toBe(6 * 4096);
    const data = (await folder.open('experts.0.records'))!;
    const into = new Uint8Array(5000);
    await data.read(into, 3 * 8192);
    expect(into).toEqual(recordOf('experts.0', 3));
  });

  test('of no such file or index are our mistake, and so is one that is too long', async () => {
    const cache = await reopen(memoryFolder());
    expect(() => cache.has('experts.2', 0)).toThrow(InvariantError);
    expect(() => cache.has('experts.0', 6)).toThrow(InvariantError);
    await expect(cache.read('experts.0', -1, new Uint8Array(1))).rejects.toThrow(InvariantError);
    await expect(cache.write('experts.1', 0, new Uint8Array(4097))).rejects.toThrow(InvariantError);
  });

  test('are written and read by many at once', async () => {
    const cache = await reopen(memoryFolder());
    const three = [...everyRecord(), ...everyRecord(), ...everyRecord()];
    const into = three.map(({ file, index }) => new Uint8Array(recordOf(file, index).length));
    const written = three.map(({ file, index }) => cache.write(file, index, recordOf(file, index)));
    const early = await Promise.all(three.map(({ file, index }, i) => cache.read(file, index, into[i]!)));
    early.forEach((hit, i) => {
      if (hit) expect(into[i]).toEqual(recordOf(three[i]!.file, three[i]!.index));
    });
    expect(await Promise.all(written)).toEqual(three.map(() => true));
    expect(await readAll(cache)).toEqual(everything);
    expect(cache.damaged).toBe(0);
  });
});

describe('what a crash leaves', () => {
  test('is what was synced', async () => {
    const root = memoryFolder();
    const first = await reopen(root);
    await writeAll(first, everyRecord().slice(0, 5));
    expect(await first.sync()).toBe(true);
    await writeAll(first, everyRecord().slice(5, 7)); // these two are lost
    expect(await readAll(await reopen(root))).toEqual({ right: 5, wrong: 0, absent: ALL - 5 });
  });

  test('is marked by itself after a while', async () => {
    const root = memoryFolder();
    await writeAll(await openRecordCache(root, identity, specs, { groups: { delayMs: 1 } }));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await reopen(root)).isComplete).toBe(true);
  });

  test('takes one flush of each file for a group of records, and a mark never comes before it', async () => {
    const log: string[] = [];
    const root = around(memoryFolder(), {
      before: async ({ kind, name }) => void (/records|journal/.test(name) && log.push(`${kind} ${name}`)),
    });
    const cache = await openRecordCache(root, identity, specs);
    log.length = 0;
    await writeAll(cache);
    await cache.sync();
    expect(log.filter((l) => l.startsWith('flush'))).toHaveLength(4);
    const journal = log.indexOf('write journal');
    for (const name of ['experts.0', 'experts.1', 'dense']) {
      expect(log.indexOf(`flush ${name}.records`)).toBeGreaterThan(log.lastIndexOf(`write ${name}.records`));
      expect(log.indexOf(`flush ${name}.records`)).toBeLessThan(journal);
    }
    expect(log.slice(journal)).toEqual(['write journal', 'flush journal']);
  });

  test('does not hold what was dropped before its mark', async () => {
    const root = memoryFolder();
    const first = await reopen(root);
    await writeAll(first, everyRecord().slice(0, 2));
    await flipByte(root, 'experts.0.records', 8192);
    expect(await first.read('experts.0', 1, new Uint8Array(5000))).toBe(false);
    await first.sync();
    const second = await reopen(root);
    expect([0, 1].map((i) => second.has('experts.0', i))).toEqual([true, false]);
  });

  test('has every mark that was made after a manifest', async () => {
    const root = memoryFolder();
    const first = await reopen(root);
    for (let i = 0; i < ALL; i += 2) {
      await writeAll(first, everyRecord().slice(i, i + 2));
      await first.sync();
      if (i === 4) await first.savePopularity(Float32Array.of(i));
    }
    expect(await readAll(await reopen(root))).toEqual(everything);
  });

  test('a manifest says nothing of records that are not flushed', async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const root = memoryFolder();
    const slow = around(root, {
      before: ({ kind, name }) => (kind === 'flush' && name.endsWith('.records') ? gate : Promise.resolve()),
    });
    const first = await openRecordCache(slow, identity, specs, { groups: { delayMs: 60_000 } });
    await writeAll(first, everyRecord().slice(0, 1));
    const saving = first.savePopularity(Float32Array.of(1)); // flushes record 0, and waits
    await writeAll(first, everyRecord().slice(1, 2));
    release();
    expect(await saving).toBe(true);
    const second = await reopen(root);
    expect([0, 1].map((i) => second.has('experts.0', i))).toEqual([true, false]);
  });

  test('groups have a limit of records, and of bytes', async () => {
    for (const groups of [{ records: 4 }, { bytes: 4 * 8192 }]) {
      let flushes = 0;
      const root = around(memoryFolder(), {
        before: async ({ kind, name }) => void (kind === 'flush' && name === 'experts.0.records' && flushes++),
      });
      const cache = await openRecordCache(root, identity, specs, { groups: { delayMs: 60_000, ...groups } });
      await writeAll(cache, everyRecord().slice(0, 4));
      await vi.waitFor(() => expect(flushes).toBe(1));
    }
  });

  test('writers wait for a disk that is slow to flush, readers do not', async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const root = around(memoryFolder(), {
      before: ({ kind, name }) => (kind === 'flush' && name.endsWith('.records') ? gate : Promise.resolve()),
    });
    const cache = await openRecordCache(root, identity, specs, { groups: { bytes: 8192 } });
    let written = 0;
    const all = Promise.all(
      everyRecord().map(({ file, index }) => cache.write(file, index, recordOf(file, index)).then(() => written++)),
    );
    await vi.waitFor(() => expect(written).toBeGreaterThan(3));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const before = written;
    expect(before).toBeLessThan(ALL);
    expect(await cache.read('experts.0', 0, new Uint8Array(5000))).toBe(true);
    expect(written).toBe(before);
    release();
    await all;
    expect(written).toBe(ALL);
  });
});

describe('damage', () => {
  test('to a record drops it, for good', async () => {
    const root = await filled();
    const first = await reopen(root);
    await flipByte(root, 'experts.0.records', 2 * 8192 + 100);
    expect(await readAll(first)).toEqual({ right: ALL - 1, wrong: 0, absent: 1 });
    expect([first.damaged, first.has('experts.0', 2), first.isComplete]).toEqual([1, false, false]);
    await first.sync();
    const second = await reopen(root); // after a crash
    expect([second.has('experts.0', 2), second.damaged]).toEqual([false, 0]);
    expect(await writeAll(second)).toBe(ALL);
    expect(await readAll(second)).toEqual(everything);
  });

  test('is found by verify, which counts and can be stopped', async () => {
    const root = await filled();
    await flipByte(root, 'experts.1.records', 5);
    await flipByte(root, 'dense.records', 12288);
    const cache = await reopen(root);
    const progress: string[] = [];
    expect(await cache.verify((done, total) => progress.push(`${done}/${total}`))).toEqual({
      records: ALL,
      damaged: 2,
    });
    expect(progress).toEqual(Array.from({ length: ALL }, (_, i) => `${i + 1}/${ALL}`));
    expect(await cache.verify()).toEqual({ records: ALL - 2, damaged: 0 });
    const reason = new Error('enough');
    await expect(cache.verify(undefined, AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  test('to the newest manifest goes back to the one before', async () => {
    const root = await filled();
    // Opened: turns 1 and 2; closed: turn 3, in place 0.
    await flipByte(root, 'manifest.0', 40);
    const cache = await reopen(root);
    expect(await readAll(cache)).toEqual(nothing);
    expect(cache.replaced).toBeNull();
    expect(await writeAll(cache)).toBe(ALL);
    expect(await readAll(cache)).toEqual(everything);
  });

  test('to both manifests starts anew', async () => {
    const root = await filled();
    await flipByte(root, 'manifest.0', 40);
    await flipByte(root, 'manifest.1', 40);
    const cache = await reopen(root);
    expect([cache.presentBytes, cache.replaced]).toEqual([0, expect.stringMatching(/manifest is damaged/)]);
  });

  test('a data file that is gone, or shorter than it was', async () => {
    const root = await filled();
    await (await inside(root)).remove('experts.0.records');
    await (await (await inside(root)).open('experts.1.records'))!.truncate(2 * 4096 + 10);
    const cache = await reopen(root);
    expect(cache.has('experts.0', 0)).toBe(false);
    expect([0, 1, 2, 3].map((i) => cache.has('experts.1', i))).toEqual([true, true, true, false]);
    expect(await readAll(cache)).toEqual({ right: 4, wrong: 0, absent: ALL - 4 });
    expect(cache.damaged).toBe(1);
  });

  test.each(['read', 'write'] as const)('a %s that fails once is tried again on a new handle', async (kind) => {
    let fails = 0;
    let opened = 0;
    const root = around(memoryFolder(), {
      before: async (operation) => {
        if (operation.name !== 'experts.0.records') return;
        if (operation.kind === 'open') opened++;
        if (operation.kind === kind && fails > 0 && fails--) throw new StorageError('failed', 'InvalidStateError');
      },
    });
    const cache = await reopen(root);
    expect(opened).toBe(1);
    if (kind === 'write') fails = 1;
    expect(await writeAll(cache)).toBe(ALL);
    if (kind === 'read') fails = 3; // of reads at once: each fails on the same handle
    const into = new Uint8Array(5000);
    const reads = await Promise.all([0, 1, 2].map((i) => cache.read('experts.0', i, into.slice())));
    expect(reads).toEqual([true, true, true]);
    expect([opened, cache.damaged, cache.note]).toEqual([2, 0, null]);
    if (kind === 'read') {
      fails = 2; // twice is too often
      expect(await cache.read('experts.0', 0, into)).toBe(false);
      expect(cache.damaged).toBe(1);
    }
  });

  test('memory that goes away while it is read into says nothing about the record', async () => {
    let into = new Uint8Array(5000);
    const root = around(memoryFolder(), {
      before: async ({ kind, name }) => {
        if (kind === 'read' && name === 'experts.0.records') structuredClone(into.buffer, { transfer: [into.buffer] });
      },
    });
    const cache = await reopen(root);
    await writeAll(cache);
    expect(await cache.read('experts.0', 0, into)).toBe(false);
    expect(into.length).toBe(0);
    expect([cache.has('experts.0', 0), cache.damaged]).toEqual([true, 0]);
    into = new Uint8Array(5000);
    const other = new Uint8Array(5000);
    expect(await cache.read('experts.0', 0, other)).toBe(true);
  });

  test('a folder that is taken away while it is used', async () => {
    const root = memoryFolder();
    let isGone = false;
    const fragile = around(root, {
      before: async () => {
        if (isGone) throw new StorageError('failed', 'NotFoundError');
      },
    });
    const cache = await reopen(fragile);
    await writeAll(cache, everyRecord().slice(0, 3));
    await cache.sync();
    isGone = true;
    expect(await readAll(cache)).toEqual(nothing);
    expect(await writeAll(cache)).toBe(0);
    expect(cache.note).toMatch(/no longer kept.*NotFoundError/);
    expect(await cache.savePopularity(new Float32Array(1))).toBe(false);
    expect(await cache.writeBlob('a', new Uint8Array(1))).toBe(false);
    expect(await cache.readBlob('a')).toBeNull();
    await cache.close();
  });
});

describe('room', () => {
  const overhead = async (): Promise<number> => {
    const root = memoryFolder();
    const empty = await openRecordCache(root, identity, specs, { diskBytes: 0 });
    let bytes = 0;
    for (const file of await (await inside(root)).list()) bytes += file.bytes;
    await empty.close();
    return bytes;
  };

  test.each([1, 4, 12])('a quota of 30 %% of the model, written %i at a time', async (lanes) => {
    const quota = Math.floor(0.3 * TOTAL) + (await overhead());
    const root = memoryFolder(quota);
    const cache = await reopen(root);
    expect(cache.note).toMatch(/no room for all/);
    const records = everyRecord();
    let kept = 0;
    await Promise.all(
      Array.from({ length: lanes }, async () => {
        for (let next = records.shift(); next; next = records.shift())
          if (await cache.write(next.file, next.index, recordOf(next.file, next.index))) kept++;
      }),
    );
    expect(kept).toBeGreaterThan(2);
    expect(kept).toBeLessThan(ALL);
    expect(cache.presentBytes).toBeGreaterThan(0.3 * TOTAL - 8192 * lanes);
    expect(cache.presentBytes).toBeLessThanOrEqual(0.3 * TOTAL);
    expect(cache.note).toMatch(/disk is full/);
    expect((await readAll(cache)).right).toBe(kept);
    expect(await cache.sync()).toBe(true);
    // A damaged record may be replaced: its place is there.
    await flipByte(root, 'experts.0.records', 0);
    expect(await readAll(cache)).toEqual({ right: kept - 1, wrong: 0, absent: ALL - kept + 1 });
    expect(await cache.write('experts.0', 0, recordOf('experts.0', 0))).toBe(true);
    await cache.close();
    const again = await reopen(root);
    expect(await readAll(again)).toEqual({ right: kept, wrong: 0, absent: ALL - kept });
  });

  test('a disk that is full to the last byte takes the marks', async () => {
    const files = [{ name: 'full', recordBytes: 4096, count: 6 }];
    const probe = memoryFolder();
    const cache = await openRecordCache(probe, identity, files, { diskBytes: 0 });
    let taken = 0;
    for (const { bytes } of await (await inside(probe)).list()) taken += bytes;
    await cache.close();
    const root = memoryFolder(taken + 3 * 4096);
    const first = await openRecordCache(root, identity, files);
    const kept: boolean[] = [];
    for (let i = 0; i < 6; i++) kept.push(await first.write('full', i, new Uint8Array(4096).fill(i)));
    expect(kept).toEqual([true, true, true, false, false, false]);
    expect(await first.sync()).toBe(true);
    const second = await openRecordCache(root, identity, files); // after a crash
    expect(second.presentBytes).toBe(3 * 4096);
    expect(second.note).toMatch(/no room for all/);
  });

  test('a quota below what the manifest takes', async () => {
    await expect(reopen(memoryFolder(100))).rejects.toThrow(QuotaExceeded);
  });

  test('others make room', async () => {
    const root = memoryFolder(TOTAL + (await overhead()) + 1000);
    const other = (await (await root.folder('other')).open('x', { create: true }))!;
    await other.truncate(50_000);
    const asked: number[] = [];
    const cache = await openRecordCache(root, identity, specs, {
      makeRoom: async (bytes) => {
        asked.push(bytes);
        await root.removeFolder('other');
        return 50_000;
      },
    });
    expect(asked).toEqual([TOTAL]);
    expect(cache.note).toBeNull();
    expect(await writeAll(cache)).toBe(ALL);
  });

  test('the budget of a user', async () => {
    const root = memoryFolder();
    const diskBytes = 3 * 8192;
    const cache = await openRecordCache(root, identity, specs, { diskBytes });
    expect(await writeAll(cache)).toBe(3);
    expect(cache.note).toMatch(/0\.0 GB of disk.*are full/);
    expect(cache.presentBytes).toBe(diskBytes);
    const data = (await (await inside(root)).list()).filter(({ name }) => name.endsWith('.records'));
    expect(data.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(diskBytes);
    await cache.close();
    const more = await openRecordCache(root, identity, specs, { diskBytes: TOTAL });
    expect(await readAll(more)).toEqual({ right: 3, wrong: 0, absent: ALL - 3 });
    expect(await writeAll(more)).toBe(ALL);
    await more.close();
    const less = await openRecordCache(root, identity, specs, { diskBytes });
    expect(await readAll(less)).toEqual(everything); // what is there stays
  });

  test('many writers at once keep to the budget', async () => {
    const cache = await openRecordCache(memoryFolder(), identity, specs, { diskBytes: 3 * 8192 });
    const kept = await Promise.all(
      everyRecord().map(({ file, index }) => cache.write(file, index, recordOf(file, index))),
    );
    expect(kept.filter(Boolean)).toHaveLength(3);
  });

  test('a full disk serves what it has', async () => {
    const root = await filled();
    const full = around(root, {
      before: async ({ kind }) => {
        if (kind === 'write' || kind === 'truncate') throw new QuotaExceeded('full');
      },
    });
    const cache = await reopen(full);
    expect(await readAll(cache)).toEqual(everything);
    await cache.close();
    expect((await reopen(root)).isComplete).toBe(true);
  });
});

describe('identity', () => {
  const change = (part: Partial<CacheIdentity>): CacheIdentity => ({ ...identity, ...part });
  const [one, two] = identity.files as [CacheIdentity['files'][0], CacheIdentity['files'][0]];

  test.each<[string, CacheIdentity, RegExp]>([
    ['the size of a file', change({ files: [one, { ...two, bytes: 2001 }] }), /model-2.*2000 bytes, has 2001/],
    ['the tag of a file', change({ files: [{ ...one, version: 'etag "b"' }, two] }), /model-1.*changed/],
    ['a file that is new', change({ files: [...identity.files, { ...one, name: 'x' }] }), /x is new/],
    ['a file that is gone', change({ files: [one] }), /model-2.*is gone/],
    ['the record version', change({ recordVersion: 2 }), /recordVersion was 1, is 2/],
  ])('that differs in %s starts anew', async (_, other, reason) => {
    const root = await filled();
    const cache = await openRecordCache(root, other, specs);
    expect(await readAll(cache)).toEqual(nothing);
    expect(cache.replaced).toMatch(reason);
    expect(await root.folders()).toHaveLength(1);
  });

  test.each<[string, CacheIdentity]>([
    ['an unknown tag', change({ files: [{ ...one, version: null }, two] })],
    ['a tag that was unknown', change({ files: [one, { ...two, version: 'etag "c"' }] })],
    ['another kind of version', change({ files: [{ ...one, version: 'modified x' }, two] })],
    ['another order of files', change({ files: [two, one] })],
  ])('with %s goes on', async (_, other) => {
    const root = await filled();
    const cache = await openRecordCache(root, other, specs);
    expect([cache.isComplete, cache.replaced]).toEqual([true, null]);
  });

  test('does not forget a tag in a session that cannot see it', async () => {
    const root = await filled();
    await (await openRecordCache(root, change({ files: [{ ...one, version: null }, two] }), specs)).close();
    const other = await openRecordCache(root, change({ files: [{ ...one, version: 'etag "b"' }, two] }), specs);
    expect(other.replaced).toMatch(/model-1.*changed/);
  });

  test.each<[string, Partial<CacheIdentity>]>([
    ['source', { source: 'https://example.org/other/' }],
    ['revision', { revision: 'abc' }],
    ['precision', { precision: 'q8' }],
    ['format', { format: 'int4 group 64' }],
  ])('with another %s lives beside it', async (_, part) => {
    const root = await filled();
    const cache = await openRecordCache(root, change(part), specs);
    expect([cache.presentBytes, cache.replaced]).toEqual([0, null]);
    expect((await reopen(root)).isComplete).toBe(true);
  });

  test('another layout of records starts anew', async () => {
    for (const other of [
      specs.slice(1),
      [...specs].reverse(),
      specs.map((s) => ({ ...s, recordBytes: s.recordBytes - 1 })),
      specs.map((s) => ({ ...s, count: s.count - 1 })),
    ]) {
      const root = await filled();
      expect((await openRecordCache(root, identity, other)).replaced).toMatch(/laid out differently/);
    }
  });
});

describe('beside records', () => {
  test('popularity is kept', async () => {
    const root = memoryFolder();
    const first = await reopen(root);
    expect(first.popularity).toBeNull();
    const values = Float32Array.of(1, 0.5, 0);
    expect(await first.savePopularity(values)).toBe(true);
    values.fill(9); // ours to change
    expect([...first.popularity!]).toEqual([1, 0.5, 0]);
    const second = await reopen(root); // after a crash
    expect([...second.popularity!]).toEqual([1, 0.5, 0]);
    await second.savePopularity(Float32Array.of(2));
    await second.close();
    expect([...(await reopen(root)).popularity!]).toEqual([2]);
  });

  test('saving it does not lose records that are being written', async () => {
    const root = memoryFolder();
    const first = await reopen(root);
    await Promise.all([
      writeAll(first),
      ...Array.from({ length: 10 }, (_, i) => first.savePopularity(Float32Array.of(i))),
    ]);
    await first.sync();
    const second = await reopen(root);
    expect(await readAll(second)).toEqual(everything);
    expect([...second.popularity!]).toEqual([9]);
  });

  test('blobs are kept, replaced, and checked', async () => {
    const root = memoryFolder();
    const first = await reopen(root);
    expect(await first.readBlob('config')).toBeNull();
    expect(await first.writeBlob('config', Uint8Array.of(1))).toBe(true);
    await Promise.all([2, 3, 4].map((n) => first.writeBlob('config', Uint8Array.of(n, n))));
    expect(await first.readBlob('config')).toEqual(Uint8Array.of(4, 4));
    await first.close();
    const second = await reopen(root);
    expect(await second.readBlob('config')).toEqual(Uint8Array.of(4, 4));
    await flipByte(root, 'blob-config.1', 20); // the newest
    expect(await second.readBlob('config')).toEqual(Uint8Array.of(3, 3));
    await second.removeBlob('config');
    expect(await second.readBlob('config')).toBeNull();
    await expect(second.readBlob('../x')).rejects.toThrow(InvariantError);
  });

  test('files that are not ours, and empty ones, go', async () => {
    const root = await filled();
    const folder = await inside(root);
    for (const name of ['experts.0.records.crswap', 'notes.txt', 'experts.9.records', 'blob-x.0']) {
      const file = (await folder.open(name, { create: true }))!;
      if (name !== 'blob-x.0') await file.write(Uint8Array.of(1), 0);
    }
    await folder.folder('inner');
    await (await reopen(root)).close();
    const names = (await folder.list()).map(({ name }) => name).sort();
    expect(names).toEqual([
      'dense.records',
      'experts.0.records',
      'experts.1.records',
      'journal',
      'manifest.0',
      'manifest.1',
    ]);
    expect(await folder.folders()).toEqual([]);
    expect((await reopen(root)).isComplete).toBe(true);
  });
});

describe('a cache', () => {
  test('is for one at a time', async () => {
    const root = memoryFolder();
    const lock = localLock();
    const first = await openRecordCache(root, identity, specs, { lock });
    const second = openRecordCache(root, identity, specs, { lock });
    await expect(second).rejects.toThrow(StorageError);
    await expect(second).rejects.toMatchObject({ code: 'storage', reason: 'in-use' });
    await first.close();
    await (await openRecordCache(root, identity, specs, { lock })).close();
    expect(await lock.isHeld(first.id)).toBe(false);
  });

  test('that cannot be opened gives its lock back', async () => {
    const lock = localLock();
    await expect(openRecordCache(memoryFolder(10), identity, specs, { lock })).rejects.toThrow(QuotaExceeded);
    const cache = await openRecordCache(memoryFolder(), identity, specs, { lock });
    expect(await lock.isHeld(cache.id)).toBe(true);
  });

  test('closes once, waits for what is going on, and then finds nothing', async () => {
    const root = memoryFolder();
    const cache = await reopen(root);
    const writing = writeAll(cache, everyRecord().slice(0, 1));
    await Promise.all([cache.close(), cache.close()]);
    await writing;
    expect(await cache.read('experts.0', 0, new Uint8Array(5000))).toBe(false);
    expect(await cache.write('experts.0', 1, recordOf('experts.0', 1))).toBe(false);
    expect(await cache.savePopularity(new Float32Array(1))).toBe(false);
    expect(await readAll(await reopen(root))).toEqual({ right: 1, wrong: 0, absent: ALL - 1 });
  });
});
