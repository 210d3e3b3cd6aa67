/** What every folder of records promises, and what is special about the two that run here. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QuotaExceeded, StorageError, WebmoeError } from '../../../../src/errors.ts';
import { InvariantError } from '../../../../src/util/assert.ts';
import type { RecordFolder } from '../../../../src/weights/records/folder.ts';
import { memoryFolder } from '../../../../src/weights/records/memory-folder.ts';
import { nodeFolder } from '../../../../src/weights/records/node-folder.ts';

let dir = '';
let made = 0;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'webmoe-'));
});
afterAll(() => rm(dir, { recursive: true }));

describe.each<[string, () => RecordFolder]>([
  ['memory', () => memoryFolder()],
  ['path', () => nodeFolder(join(dir, `made/${made++}`))],
])('a folder: %s', (kind, make) => {
  test('files are made, listed, opened again, removed', async () => {
    const folder = make();
    expect(folder.kind).toBe(kind);
    expect(await folder.list()).toEqual([]);
    expect(await folder.open('a')).toBeNull();
    const file = (await folder.open('a', { create: true }))!;
    expect(await file.size()).toBe(0);
    await file.write(Uint8Array.of(1, 2, 3), 5);
    await file.flush();
    await file.close();
    expect(await folder.list()).toEqual([{ name: 'a', bytes: 8 }]);
    const again = (await folder.open('a', { create: true }))!;
    const into = new Uint8Array(10).fill(9);
    expect(await again.read(into, 0)).toBe(8);
    expect([...into]).toEqual([0, 0, 0, 0, 0, 1, 2, 3, 9, 9]);
    expect(await again.read(into, 8)).toBe(0);
    expect(await again.read(into, 100)).toBe(0);
    await again.close();
    await folder.remove('a');
    await folder.remove('a');
    expect(await folder.list()).toEqual([]);
  });

  test('truncating reserves and cuts; what comes back is zero', async () => {
    const file = (await make().open('a', { create: true }))!;
    await file.truncate(600_000);
    expect(await file.size()).toBe(600_000);
    const data = Uint8Array.from({ length: 300_000 }, (_, i) => i);
    await file.write(data, 200_000);
    const into = new Uint8Array(300_000);
    expect(await file.read(into, 200_000)).toBe(300_000);
    expect(Buffer.compare(into, data)).toBe(0);
    await file.truncate(200_001);
    await file.truncate(500_000);
    await file.read(into, 200_000);
    expect(into.every((byte, i) => byte === (i === 0 ? data[0] : 0))).toBe(true);
    await file.close();
  });

  test('views are written and read at their own offset', async () => {
    const file = (await make().open('a', { create: true }))!;
    await file.write(Uint8Array.of(9, 1, 2, 9).subarray(1, 3), 0);
    const into = new Uint8Array(4);
    expect(await file.read(into.subarray(1, 3), 0)).toBe(2);
    expect([...into]).toEqual([0, 1, 2, 0]);
    await file.close();
  });

  test('folders inside are made, listed, removed with all they hold', async () => {
    const folder = make();
    const inner = await folder.folder('inner');
    await (await inner.open('a', { create: true }))!.write(Uint8Array.of(1), 0);
    await (await (await inner.folder('deep')).open('b', { create: true }))!.write(Uint8Array.of(1), 0);
    expect(await folder.folders()).toEqual(['inner']);
    expect(await folder.list()).toEqual([]);
    expect((await (await folder.folder('inner')).list()).length).toBe(1);
    await folder.removeFolder('inner');
    await folder.removeFolder('inner');
    expect(await folder.folders()).toEqual([]);
    expect(await (await folder.folder('inner')).list()).toEqual([]);
    await folder.close();
  });

  test('a closed file fails, typed', async () => {
    const file = (await make().open('a', { create: true }))!;
    await file.close();
    await file.close();
    await expect(file.write(Uint8Array.of(1), 0)).rejects.toThrow(StorageError);
    await expect(file.read(new Uint8Array(1), 0)).rejects.toThrow(StorageError);
  });
});

describe('memory', () => {
  test('its bound counts all files, holes and reserved room, and gives back what is removed', async () => {
    const folder = memoryFolder(1000);
    const a = (await folder.open('a', { create: true }))!;
    const b = (await (await folder.folder('inner')).open('b', { create: true }))!;
    await a.truncate(600);
    await expect(b.truncate(401)).rejects.toThrow(QuotaExceeded);
    await b.write(Uint8Array.of(1), 399);
    await expect(b.write(Uint8Array.of(1), 400)).rejects.toThrow(QuotaExceeded);
    expect(await b.size()).toBe(400);
    await a.write(new Uint8Array(600), 0);
    await a.truncate(500);
    await b.write(Uint8Array.of(1), 400);
    await folder.removeFolder('inner');
    await a.truncate(1000);
  });

  test('reserving a terabyte takes no memory', async () => {
    const file = (await memoryFolder().open('a', { create: true }))!;
    await file.truncate(1e12);
    await file.write(Uint8Array.of(7), 9e11);
    const into = new Uint8Array(2);
    await file.read(into, 9e11 - 1);
    expect([...into]).toEqual([0, 7]);
  });
});

describe('path', () => {
  test('names lead nowhere else, and what begins with a dot is not ours', async () => {
    const folder = nodeFolder(join(dir, 'names'));
    for (const name of ['../x', '/x', '.x', 'a/b', '', 'a\\b']) {
      await expect(folder.open(name, { create: true })).rejects.toThrow(InvariantError);
      await expect(folder.folder(name)).rejects.toThrow(InvariantError);
      await expect(folder.remove(name)).rejects.toThrow(InvariantError);
      await expect(folder.removeFolder(name)).rejects.toThrow(InvariantError);
    }
    await mkdir(join(dir, 'names/.locks'), { recursive: true });
    await writeFile(join(dir, 'names/.x'), 'x');
    expect([await folder.list(), await folder.folders()]).toEqual([[], []]);
  });

  test('failures of the system are typed, and name the path', async () => {
    await writeFile(join(dir, 'file'), 'x');
    const folder = nodeFolder(join(dir, 'file'));
    const failure = folder.open('a', { create: true });
    await expect(failure).rejects.toThrow(StorageError);
    await expect(failure).rejects.toThrow(/file/);
    await expect(failure).rejects.toMatchObject({ code: 'storage', reason: 'failed' });
    await expect(folder.list()).rejects.toThrow(StorageError);
  });

  test.skipIf(!existsSync('/dev/full'))('a disk that is full is told apart', async () => {
    // /dev/full answers every write with ENOSPC.
    await symlink('/dev/full', join(dir, 'full'));
    const file = (await nodeFolder(dir).open('full'))!;
    const failure = file.write(Uint8Array.of(1), 0);
    await expect(failure).rejects.toThrow(QuotaExceeded);
    await expect(failure).rejects.toBeInstanceOf(StorageError);
    await expect(failure).rejects.toBeInstanceOf(WebmoeError);
    await expect(failure).rejects.toMatchObject({ code: 'quota-exceeded', reason: 'quota', name: 'QuotaExceeded' });
    await file.close();
  });

  test('closing closes every file', async () => {
    const folder = nodeFolder(join(dir, 'closing'));
    const files = [
      (await folder.open('a', { create: true }))!,
      (await (await folder.folder('inner')).open('b', { create: true }))!,
    ];
    for (const file of files) expect(await file.size()).toBe(0);
    await folder.close();
    for (const file of files) await expect(file.size()).rejects.toThrow(StorageError);
  });
});
