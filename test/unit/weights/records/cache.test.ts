import { describe, expect, test } from 'vitest';
import { StorageError } from '../../../../src/errors.ts';
import { localLock } from '../../../../src/weights/records/lock.ts';
import { memoryFolder } from '../../../../src/weights/records/memory-folder.ts';
import { openRecordCache } from '../../../../src/weights/records/open-cache.ts';
import { everyRecord, identity, inside, readAll, recordOf, specs, writeAll } from './support.ts';

const ALL = everyRecord().length;
const TOTAL = 6 * 8192 + 6 * 4096 + 2 * 12288;

describe('a record cache', () => {
  test('keeps what was written, and finds it again', async () => {
    const root = memoryFolder();
    const first = await openRecordCache(root, identity, specs);
    expect([first.presentBytes, first.totalBytes, first.isComplete]).toEqual([0, TOTAL, false]);
    expect(first.has('dense', 0)).toBe(false);
    expect(await readAll(first)).toEqual({ right: 0, wrong: 0, absent: ALL });
    expect(await writeAll(first)).toBe(ALL);
    expect(first.has('dense', 0)).toBe(true);
    expect(await readAll(first)).toEqual({ right: ALL, wrong: 0, absent: 0 });
    expect([first.presentBytes, first.isComplete, first.note, first.damaged]).toEqual([TOTAL, true, null, 0]);
    await first.close();

    const second = await openRecordCache(root, identity, specs);
    expect([second.isComplete, second.replaced, second.note]).toEqual([true, null, null]);
    expect(await readAll(second)).toEqual({ right: ALL, wrong: 0, absent: 0 });
    await second.close();
  });

  test('finds after a crash what was synced', async () => {
    const root = memoryFolder();
    const first = await openRecordCache(root, identity, specs);
    await writeAll(first, everyRecord().slice(0, 5));
    expect(await first.sync()).toBe(true);
    // never closed
    const second = await openRecordCache(root, identity, specs);
    expect(await readAll(second)).toEqual({ right: 5, wrong: 0, absent: ALL - 5 });
  });

  test('marks by itself after a while', async () => {
    const root = memoryFolder();
    const first = await openRecordCache(root, identity, specs, { groups: { delayMs: 5 } });
    await writeAll(first);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const second = await openRecordCache(root, identity, specs);
    expect(second.isComplete).toBe(true);
  });

  test('drops a damaged record, for good', async () => {
    const root = memoryFolder();
    const first = await openRecordCache(root, identity, specs);
    await writeAll(first);
    const data = (await (await inside(root)).open('experts.0.records'))!;
    await data.write(Uint8Array.of(recordOf('experts.0', 2)[100]! ^ 1), 2 * 8192 + 100);
    expect(await readAll(first)).toEqual({ right: ALL - 1, wrong: 0, absent: 1 });
    expect([first.damaged, first.has('experts.0', 2), first.isComplete]).toEqual([1, false, false]);
    await first.close();
    const second = await openRecordCache(root, identity, specs);
    expect([second.has('experts.0', 2), second.damaged]).toEqual([false, 0]);
    expect(await writeAll(second)).toBe(ALL);
    expect(await readAll(second)).toEqual({ right: ALL, wrong: 0, absent: 0 });
  });

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
});
