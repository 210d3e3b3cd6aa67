/** Bad servers: right bytes or a typed error, in bounded tries, and never more of a file than needed. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { InvalidCheckpoint, InvalidRequest, SourceError } from '../../../src/errors.ts';
import { blockSource } from '../../../src/weights/block-source.ts';
import { openCheckpoint } from '../../../src/weights/checkpoint.ts';
import { forwardSource } from '../../../src/weights/forward-source.ts';
import { parseContentRange } from '../../../src/weights/http-file.ts';
import { httpSource, type HttpOptions } from '../../../src/weights/http-source.ts';
import { delayAfter, parseRetryAfter, PassingFailure, retryDefaults } from '../../../src/weights/retry.ts';
import { readBytes, type ByteSource } from '../../../src/weights/source.ts';
import { faultServer, type Fault, type FaultServer } from '../../support/fault-server.ts';
import { safetensors } from '../../support/weights.ts';

const SIZE = 3_000_000;
/** More than the sockets between client and server hold. */
const HUGE = 64e6;
const big = Uint8Array.from({ length: SIZE }, (_, i) => (i * 2654435761) >>> 13);
const model = safetensors({ a: { dtype: 'U8', shape: [4], bytes: Uint8Array.of(1, 2, 3, 4) } });

let server: FaultServer;
beforeAll(async () => {
  server = await faultServer({
    'big.bin': big,
    'huge.bin': new Uint8Array(HUGE),
    'empty.bin': new Uint8Array(0),
    'dir/model.safetensors': model,
    'config.json': new TextEncoder().encode('{}'),
  });
});
afterAll(() => server.close());
beforeEach(() => {
  server.plan = () => 'serve';
  server.requests.length = 0;
  server.sent = 0;
  server.aborted = 0;
});

const quick = { attempts: 4, firstDelayMs: 1, maxDelayMs: 50, stallMs: 300 };
const source = (options: HttpOptions = {}): ByteSource => httpSource(server.url, { retry: quick, ...options });
const read = (begin: number, end: number, from = source()): Promise<Uint8Array> =>
  readBytes(from, 'big.bin', begin, end);
const expectBytes = (bytes: Uint8Array, begin: number, end: number): void => {
  expect(Buffer.compare(bytes, big.subarray(begin, end))).toBe(0);
};
/** Faults for the first requests, then good answers. */
const first = (...faults: Fault[]): void => {
  server.plan = (_, n) => faults[n] ?? 'serve';
};

describe('a good server', () => {
  test('size and ranges', async () => {
    const s = source();
    expect(await s.size('big.bin')).toBe(SIZE);
    expect(await s.size('empty.bin')).toBe(0);
    expect(await s.size('nothing.bin')).toBeNull();
    expectBytes(await read(1000, 2_500_000, s), 1000, 2_500_000);
    expectBytes(await read(SIZE - 1, SIZE, s), SIZE - 1, SIZE);
    expect((await read(7, 7, s)).length).toBe(0);
    expect(server.requests.map((r) => r.range)).toEqual([
      { begin: 0, end: 0 },
      { begin: 0, end: 0 },
      { begin: 0, end: 0 },
      { begin: 1000, end: 2_499_999 },
      { begin: SIZE - 1, end: SIZE - 1 },
    ]);
  });

  test('a checkpoint below a path, with headers', async () => {
    const s = httpSource(`${server.url}dir`, { headers: { authorization: 'Bearer secret' } });
    expect(s.label).toBe(`${server.url}dir/`);
    expect((await openCheckpoint(s)).has('a')).toBe(true);
    expect(server.requests.every((r) => r.headers.authorization === 'Bearer secret')).toBe(true);
  });

  test('leaving the loop stops the transfer', async () => {
    for await (const piece of source().stream('huge.bin', 0, HUGE)) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(server.aborted).toBe(1);
    expect(server.sent).toBeLessThan(HUGE / 2);
  });
});

describe('a server without ranges', () => {
  test.each(['whole', 'whole-chunked'] as const)('%s: skips, stops after the end, holds little', async (fault) => {
    server.plan = () => fault;
    const s = source();
    let largest = 0;
    let total = 0;
    for await (const piece of s.stream('big.bin', 1_000_000, 1_200_000)) {
      expectBytes(piece, 1_000_000 + total, 1_000_000 + total + piece.length);
      largest = Math.max(largest, piece.length);
      total += piece.length;
    }
    expect(total).toBe(200_000);
    expect(largest).toBeLessThanOrEqual(256 * 1024);
    expect(await s.size('big.bin')).toBe(SIZE);
  });

  test('a size that HEAD alone knows', async () => {
    server.plan = ({ method }) => (method === 'HEAD' ? 'serve' : 'whole-chunked');
    expect(await source().size('big.bin')).toBe(SIZE);
    expect(server.requests.map((r) => r.method)).toEqual(['GET', 'HEAD']);
  });

  test('a file shorter than asked for', async () => {
    server.plan = () => 'whole';
    await expect(read(0, SIZE + 1)).rejects.toThrow(SourceError);
    server.plan = () => 'whole-chunked';
    await expect(read(0, SIZE + 1)).rejects.toThrow(/gave up after 4 tries: the transfer ended at byte 3000000/);
  });
});

describe('answers that are not the bytes asked for', () => {
  test.each([
    ['another range', { set: { 'content-range': `bytes 1-100/${SIZE}` } }, /sent bytes 1-100/],
    ['a shorter range', { set: { 'content-range': `bytes 0-98/${SIZE}` } }, /sent bytes 0-98/],
    ['no Content-Range', { set: { 'content-range': null } }, /no Content-Range/],
    ['a senseless Content-Range', { set: { 'content-range': 'pages 1-2' } }, /pages 1-2/],
    ['gzip', { set: { 'content-encoding': 'br' } }, /Content-Encoding/],
    [
      'a web page',
      { status: 200, headers: { 'content-type': 'text/html; charset=utf-8' }, body: '<html>' },
      /web page/,
    ],
    ['404', { status: 404 }, /no such file/],
    ['401', { status: 401 }, /gated/],
    ['403', { status: 403 }, /gated/],
    ['416', { status: 416 }, /shorter/],
    ['204', { status: 204 }, /204/],
    ['418', { status: 418 }, /418/],
  ] as [string, Fault, RegExp][])('%s', async (_, fault, message) => {
    expectBytes(await read(0, 100), 0, 100);
    server.requests.length = 0;
    server.plan = () => fault;
    const error = await read(0, 100).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(SourceError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toContain(`${server.url}big.bin`);
    expect(server.requests.length).toBe(1);
  });

  test('a missing file that answers with a web page has no size', async () => {
    server.plan = () => ({ status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' });
    expect(await source().size('big.bin')).toBeNull();
    server.plan = () => ({ status: 403 });
    await expect(source().size('big.bin')).rejects.toThrow(/gated/);
  });

  test('hidden headers across origins: the number of bytes decides', async () => {
    const across =
      (extra: Record<string, string>): typeof fetch =>
      async () => {
        const response = new Response(big.slice(0, 100), { status: 206, headers: extra });
        Object.defineProperty(response, 'type', { value: 'cors' });
        return Promise.resolve(response);
      };
    const s = (headers: Record<string, string>): ByteSource => source({ fetch: across(headers) });
    expectBytes(await read(0, 100, s({ 'content-length': '100' })), 0, 100);
    expectBytes(await read(0, 100, s({})), 0, 100);
    await expect(read(0, 90, s({ 'content-length': '100' }))).rejects.toThrow(SourceError);
  });
});

describe('failures that pass', () => {
  test.each([429, 500, 502, 503, 504, 408])('%i once', async (status) => {
    first({ status, headers: { 'retry-after': '0' } });
    expectBytes(await read(5, 500), 5, 500);
    expect(server.requests.length).toBe(2);
    first({ status }, { status });
    server.requests.length = 0;
    expect(await source().size('big.bin')).toBe(SIZE);
  });

  test('gives up after so many tries', async () => {
    server.plan = () => ({ status: 503 });
    await expect(read(0, 10)).rejects.toThrow(/gave up after 4 tries: the server answered 503/);
    expect(server.requests.length).toBe(4);
    await server.close();
    await expect(read(0, 10)).rejects.toThrow(SourceError);
    await expect(source().size('big.bin')).rejects.toThrow(SourceError);
    server = await faultServer({ 'big.bin': big });
  });

  test('Retry-After is honoured, up to the longest wait', async () => {
    first({ status: 429, headers: { 'retry-after': '3600' } });
    const start = performance.now();
    expectBytes(await read(0, 10), 0, 10);
    expect(performance.now() - start).toBeGreaterThan(quick.maxDelayMs - 5);
    const now = Date.parse('2026-01-01T00:00:00Z');
    expect(parseRetryAfter('Thu, 01 Jan 2026 00:00:07 GMT', now)).toBe(7000);
    expect(parseRetryAfter('soon')).toBeUndefined();
    expect(parseRetryAfter(null)).toBeUndefined();
  });

  test('waits double, up to the longest', () => {
    const retry = retryDefaults({ firstDelayMs: 100, maxDelayMs: 1000 });
    for (const [failures, full] of [
      [1, 100],
      [2, 200],
      [4, 800],
      [5, 1000],
      [60, 1000],
    ] as const) {
      const wait = delayAfter(failures, retry, new PassingFailure('x'));
      expect(wait).toBeGreaterThanOrEqual(full / 2);
      expect(wait).toBeLessThanOrEqual(full);
    }
  });

  test.each([
    ['reset', { resetAfter: 100_000 }],
    ['an early end', { endAfter: 100_000 }],
    ['a stall', { stallAfter: 100_000 }],
  ] as [string, Fault][])('%s in the body: goes on where it stopped', async (_, fault) => {
    first(fault, fault, fault, fault, fault, fault); // more than `attempts`, but each brings bytes
    expectBytes(await read(0, 1_000_000), 0, 1_000_000);
    const starts = server.requests.map((r) => r.range!.begin);
    expect(starts.length).toBe(7);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    expect(starts[1]).toBeGreaterThan(0);
    expect(server.sent).toBeLessThan(1_100_000);
  });

  test('a reset of a server without ranges starts over and skips', async () => {
    server.plan = (_, n) => (n === 0 ? { resetAfter: 200_000, whole: true } : 'whole');
    expectBytes(await read(10_000, 400_000), 10_000, 400_000);
  });

  test('breaking after every byte does not go on for ever', async () => {
    server.plan = () => ({ resetAfter: 1 });
    await expect(read(0, 1000)).rejects.toThrow(SourceError);
    expect(server.requests.length).toBe(4);
  });
});

describe('a file that changes', () => {
  test.each([
    ['etag', { etag: '"a"' }, { etag: '"b"' }],
    [
      'last-modified',
      { 'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT' },
      { 'last-modified': 'Thu, 01 Jan 2026 00:00:01 GMT' },
    ],
    ['size', { 'content-range': `bytes 0-9/${SIZE}` }, { 'content-range': `bytes 0-9/${SIZE + 1}` }],
  ])('%s', async (_, before, after) => {
    first({ set: before }, { set: before }, { set: after });
    const s = source();
    await read(0, 10, s);
    await read(0, 10, s);
    await expect(read(0, 10, s)).rejects.toThrow(/changed while it was read/);
  });

  test('between the parts of a resumed transfer', async () => {
    let n = 0;
    const s = source({
      fetch: async (input, init) => {
        const response = await fetch(input, init);
        const headers = new Headers(response.headers);
        headers.set('etag', `"${n++}"`);
        return new Response(response.body, { status: response.status, headers });
      },
    });
    first({ resetAfter: 100_000 });
    await expect(read(0, 1_000_000, s)).rejects.toThrow(/changed while it was read/);
  });

  test('a weak tag equals its strong form', async () => {
    first({ set: { etag: '"a"' } }, { set: { etag: 'W/"a"' } });
    const s = source();
    await read(0, 10, s);
    expectBytes(await read(0, 10, s), 0, 10);
  });
});

describe('version', () => {
  const modified = { 'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT' };
  test.each([
    ['a strong tag', { etag: '"a"', ...modified }, 'etag "a"'],
    ['a weak tag, and a time', { etag: 'W/"a"', ...modified }, `modified ${modified['last-modified']}`],
    ['a weak tag alone', { etag: 'W/"a"' }, null],
    ['nothing', {}, null],
  ])('of %s', async (_, headers, expected) => {
    first({ set: headers });
    const s = source();
    expect(s.version!('big.bin')).toBeNull();
    await read(0, 10, s);
    expect(s.version!('big.bin')).toBe(expected);
    expect(blockSource(forwardSource(s)).version!('big.bin')).toBe(expected);
  });

  test('is known from a size alone', async () => {
    first({ set: { etag: '"a"' } });
    const s = source();
    await s.size('big.bin');
    expect(s.version!('big.bin')).toBe('etag "a"');
  });
});

describe('redirects', () => {
  test('the target is asked directly, without our headers, and given up when it fails', async () => {
    const cdn = await faultServer({ signed: big });
    try {
      server.plan = () => ({ status: 302, headers: { location: `${cdn.url}signed` } });
      const s = source({ headers: { authorization: 'Bearer secret' } });
      expectBytes(await read(0, 10, s), 0, 10);
      expectBytes(await read(10, 20, s), 10, 20);
      expect(server.requests.length).toBe(1);
      expect(cdn.requests.every((r) => r.headers.authorization === undefined)).toBe(true);
      cdn.plan = (_, n) => (n === 2 ? { status: 403 } : 'serve'); // the link expired
      expectBytes(await read(20, 30, s), 20, 30);
      expect(server.requests.length).toBe(2);
    } finally {
      await cdn.close();
    }
  });

  test('a loop ends', async () => {
    server.plan = () => ({ status: 302, headers: { location: `${server.url}big.bin` } });
    await expect(read(0, 10, httpSource(server.url, { retry: { ...quick, attempts: 2 } }))).rejects.toThrow(
      SourceError,
    );
  });
});

describe('abort', () => {
  const reason = new Error('the visitor left');

  test('before, while waiting, while reading, while sleeping', async () => {
    const aborted = AbortSignal.abort(reason);
    await expect(readBytes(source(), 'big.bin', 0, 10, aborted)).rejects.toBe(reason);
    await expect(source().size('big.bin', aborted)).rejects.toBe(reason);
    expect(server.requests.length).toBe(0);

    const after = (ms: number): AbortSignal => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), ms);
      return controller.signal;
    };
    server.plan = () => ({ stallAfter: 0 });
    await expect(readBytes(source(), 'big.bin', 0, 10, after(50))).rejects.toBe(reason);
    server.plan = () => ({ stallAfter: 1000 });
    await expect(readBytes(source(), 'big.bin', 0, 5000, after(50))).rejects.toBe(reason);
    server.plan = () => ({ status: 503 });
    const patient = source({ retry: { ...quick, firstDelayMs: 60_000, maxDelayMs: 60_000 } });
    await expect(readBytes(patient, 'big.bin', 0, 10, after(50))).rejects.toBe(reason);
    server.requests.length = 0;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(server.requests.length).toBe(0);
  });
});

describe('URLs', () => {
  test.each([
    ['ftp://host/x', /must start with http/],
    ['https://host/x?download=true', /query/],
    ['https://host/x#main', /fragment/],
    ['https://user:pass@host/x', /user name/],
    ['not a url', /not a URL/],
  ])('%s', (url, message) => {
    expect(() => httpSource(url)).toThrow(InvalidRequest);
    expect(() => httpSource(url)).toThrow(message);
  });

  test('secrets in a refused URL do not appear in the message', () => {
    expect(() => httpSource('https://host/x?token=hf_secret')).not.toThrow(/hf_secret/);
  });

  test('no request leaves the folder', async () => {
    const asked: string[] = [];
    const s = httpSource('https://host/org/repo/resolve/main', {
      fetch: (input) => {
        asked.push(String(input));
        return Promise.resolve(new Response('', { status: 404 }));
      },
    });
    for (const name of ['../x', '%2e%2e/x', '/x', '//evil/x', 'https://evil/x', 'a?b', 'a\\..\\b']) {
      await expect(s.size(name)).rejects.toThrow(InvalidCheckpoint);
      await expect(readBytes(s, name, 0, 1)).rejects.toThrow(InvalidCheckpoint);
    }
    expect(await s.size('model.safetensors')).toBeNull();
    expect(asked).toEqual(['https://host/org/repo/resolve/main/model.safetensors']);
  });

  test('Content-Range', () => {
    expect(parseContentRange('bytes 0-9/100')).toEqual({ begin: 0, end: 10, total: 100 });
    expect(parseContentRange('bytes 5-5/*')).toEqual({ begin: 5, end: 6, total: null });
    for (const bad of [null, '', 'bytes */100', 'bytes 1-/5', 'items 0-1/2', 'bytes 0-9/1e3'])
      expect(parseContentRange(bad)).toBeNull();
  });
});
