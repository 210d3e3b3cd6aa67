/** The server of the fault tests: that its link is as slow as told, that large files are read where asked, that it counts. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { redirectTo } from '../../support/fault.ts';
import { faultServer, type FaultServer } from '../../support/fault-server.ts';
import { filesOf } from '../../support/served-file.ts';

let server: FaultServer;
afterEach(() => server.close());

const SIZE = 500_000;
const data = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31) ^ (i >> 8));
const get = async (path: string, headers: Record<string, string> = {}): Promise<Uint8Array> =>
  new Uint8Array(await (await fetch(server.url + path, { headers })).arrayBuffer());
const timed = async (what: Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await what;
  return performance.now() - start;
};

test('transfers share the link: its rate is that of all together', async () => {
  server = await faultServer({ a: data, b: data }, { link: { bytesPerSecond: 1e6 } });
  expect(await timed(get('a'))).toBeGreaterThan(450);
  const ends: number[] = [];
  const start = performance.now();
  const ending = (path: string): Promise<unknown> => get(path).then(() => ends.push(performance.now() - start));
  expect(await timed(Promise.all([ending('a'), ending('b')]))).toBeGreaterThan(950);
  expect(ends[0]).toBeGreaterThan(800); // by turns, not one after the other
  server.setLink({});
  expect(await timed(Promise.all([get('a'), get('b')]))).toBeLessThan(400);
});

test('a request may have a rate and a wait of its own', async () => {
  server = await faultServer({ a: data }, { link: { latencyMs: 40 } });
  expect(await timed(get('a', { range: 'bytes=0-9' }))).toBeGreaterThan(38);
  server.plan = () => ({ latencyMs: 60, bytesPerSecond: 2e6 });
  expect(await timed(get('a'))).toBeGreaterThan(38 + 60 + 225);
});

test('sparse files on disk, beyond 4 GiB', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'webmoe-served-'));
  try {
    const file = openSync(join(folder, 'large.bin'), 'w');
    ftruncateSync(file, 6e9);
    writeSync(file, data, 0, 100_000, 5e9);
    closeSync(file);
    server = await faultServer(filesOf(folder));
    const got = await get('large.bin', { range: `bytes=${5e9 - 10}-${5e9 + 99_999}` });
    expect(got.subarray(0, 10)).toEqual(new Uint8Array(10));
    expect(Buffer.compare(got.subarray(10), data.subarray(0, 100_000))).toBe(0);
    server.plan = () => ({ flipAt: 5e9 + 70_000 });
    const flipped = await get('large.bin', { range: `bytes=${5e9}-${5e9 + 99_999}` });
    expect([...flipped.keys()].filter((i) => flipped[i] !== data[i])).toEqual([70_000]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('counts by path, and forgets', async () => {
  server = await faultServer({ a: data, b: data });
  await get('a', { range: 'bytes=10-19' });
  server.plan = () => ({ endAfter: 1000 });
  await get('a');
  await get('b', { range: `bytes=${SIZE - 5}-${SIZE + 5}` });
  expect(server.traffic('a')).toEqual({ requests: 2, asked: 10 + SIZE, sent: 1010 });
  expect(server.traffic('b')).toEqual({ requests: 1, asked: 5, sent: 5 });
  expect(server.traffic()).toEqual({ requests: 3, asked: SIZE + 15, sent: 1015 });
  expect(server.sent).toBe(1015);
  server.reset();
  expect(server.traffic()).toEqual({ requests: 0, asked: 0, sent: 0 });
});

test('tags: of the bytes, and If-Range honoured', async () => {
  server = await faultServer({ a: data }, { etags: true });
  const range = 'bytes=0-9';
  const tag = (await fetch(`${server.url}a`, { headers: { range } })).headers.get('etag')!;
  expect((await get('a', { range, 'if-range': tag })).length).toBe(10);
  server.files.a = data.map((x) => x + 1);
  expect((await get('a', { range, 'if-range': tag })).length).toBe(SIZE);
  server.plan = () => ({ ignoresIfRange: true });
  expect((await get('a', { range, 'if-range': tag })).length).toBe(10);
});

test('headers for other origins', async () => {
  server = await faultServer({ a: data });
  const shown = async (path = 'a'): Promise<(string | null)[]> => {
    const { headers } = await fetch(server.url + path, { redirect: 'manual' });
    return [headers.get('access-control-allow-origin'), headers.get('access-control-expose-headers')];
  };
  expect(await shown()).toEqual([null, null]);
  server.cors = 'hidden';
  expect(await shown()).toEqual(['*', null]);
  server.cors = 'exposed';
  for (const plan of ['serve', redirectTo('/b'), { status: 503 }] as const) {
    server.plan = () => plan;
    expect((await shown())[1]).toMatch(/Content-Range/);
  }
});
