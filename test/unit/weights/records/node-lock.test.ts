import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StorageError } from '../../../../src/errors.ts';
import { nodeLock } from '../../../../src/weights/records/node-lock.ts';

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'webmoe-'));
});
afterEach(() => rm(dir, { recursive: true }));

/** As another process would have left it. */
const leave = async (turn: number, content: object | string): Promise<void> => {
  await mkdir(join(dir, '.locks'), { recursive: true });
  await writeFile(join(dir, `.locks/a.${turn}`), typeof content === 'string' ? content : JSON.stringify(content));
};
/** No process has this number: it is above every system's limit. */
const DEAD = 2 ** 30;

test('one holder at a time, however many locks of one folder there are', async () => {
  const one = nodeLock(dir);
  const two = nodeLock(dir);
  expect(await one.isHeld('a')).toBe(false);
  const lease = (await one.acquire('a'))!;
  expect(await Promise.all([one.isHeld('a'), two.isHeld('a'), two.isHeld('b')])).toEqual([true, true, false]);
  expect([await one.acquire('a'), await two.acquire('a')]).toEqual([null, null]);
  const other = (await two.acquire('b'))!;
  await lease.release();
  await lease.release();
  expect(await two.isHeld('a')).toBe(false);
  const again = (await two.acquire('a'))!;
  await lease.release(); // of the past: it must not free what is held now
  expect(await one.isHeld('a')).toBe(true);
  await again.release();
  await other.release();
  expect((await readdir(join(dir, '.locks'))).sort()).toEqual(['a.2', 'b.1']);
});

test('of many at once, one', async () => {
  for (let round = 0; round < 20; round++) {
    const leases = await Promise.all(Array.from({ length: 10 }, () => nodeLock(dir).acquire('a')));
    const got = leases.filter((lease) => lease !== null);
    expect(got).toHaveLength(1);
    await got[0]!.release();
  }
});

test.each<[string, object | string]>([
  ['of a process that died', { host: hostname(), pid: DEAD, started: null, token: 'x' }],
  ['of a process whose number another has now', { host: hostname(), pid: process.pid, started: '-1', token: 'x' }],
  ['that was given back', 'free'],
  ['that makes no sense', '{"host":'],
  ['that is empty', ''],
])('a lock %s is taken over, by one only', async (_, content) => {
  await leave(7, content);
  expect(await nodeLock(dir).isHeld('a')).toBe(false);
  const leases = await Promise.all(Array.from({ length: 10 }, () => nodeLock(dir).acquire('a')));
  expect(leases.filter((lease) => lease !== null)).toHaveLength(1);
  expect(await readdir(join(dir, '.locks'))).toEqual(['a.8']);
});

test('a lock of another machine is respected', async () => {
  await leave(1, { host: `not-${hostname()}`, pid: DEAD, started: null, token: 'x' });
  expect(await nodeLock(dir).acquire('a')).toBeNull();
});

test('a folder that cannot hold locks says so', async () => {
  await writeFile(join(dir, 'file'), 'x');
  await expect(nodeLock(join(dir, 'file')).acquire('a')).rejects.toThrow(StorageError);
  await expect(nodeLock(join(dir, 'file')).acquire('a')).rejects.toThrow(/writable/);
});
