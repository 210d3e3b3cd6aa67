/**
 * Every fault of the network table, for ranges as long as a header, an expert and a shard: the right bytes or a typed error, in bounded tries,
 * and never other bytes. Bytes of the right number in an answer without a contradiction cannot be told from the right ones without a hash:
 * the last group says which.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SourceError, WebmoeError } from '../../../src/errors.ts';
import { blockSource } from '../../../src/weights/block-source.ts';
import { openCheckpoint } from '../../../src/weights/checkpoint.ts';
import { forwardSource } from '../../../src/weights/forward-source.ts';
import { httpSource, type HttpOptions } from '../../../src/weights/http-source.ts';
import { delayAfter, PassingFailure, retryDefaults } from '../../../src/weights/retry.ts';
import { readBytes, type ByteSource } from '../../../src/weights/source.ts';
import { prng } from '../../../src/util/prng.ts';
import { redirectTo, type Misbehaviour } from '../../support/fault.ts';
import { faultServer, type FaultServer } from '../../support/fault-server.ts';
import { networkRows, type NetworkRow, type Outcome } from '../../support/network-rows.ts';
import { signLinks } from '../../support/signed-links.ts';
import { safetensors } from '../../support/weights.ts';

const FILE = 'model.safetensors';
const random = prng(1);
const noise = (n: number): Uint8Array => Uint8Array.from({ length: n }, () => 256 * random());
const shardOf = (): Uint8Array<ArrayBuffer> =>
  safetensors(
    Object.fromEntries(['a', 'b', 'c'].map((name) => [name, { dtype: 'U8', shape: [400_000], bytes: noise(400_000) }])),
  );
const shard = shardOf();
/** As long, with other numbers. */
const nextShard = shardOf();

const RANGES = {
  header: [0, 65_536],
  expert: [500_003, 900_001],
  /** All but a little at both ends, so that a server can send more than it is asked for. */
  shard: [8, shard.length - 100],
} as const;
type RangeName = keyof typeof RANGES;
const rangeNames = Object.keys(RANGES) as RangeName[];

let server: FaultServer;
let other: FaultServer;
beforeAll(async () => {
  server = await faultServer({ [FILE]: shard });
  other = await faultServer({ [FILE]: shard });
});
afterAll(() => Promise.all([server.close(), other.close()]));
beforeEach(() => {
  for (const s of [server, other]) {
    s.reset();
    s.etags = false;
    s.files[FILE] = shard;
  }
});

/** The default number of tries, without its waits. */
const retry = { firstDelayMs: 1, maxDelayMs: 10 };
const impatient = { ...retry, stallMs: 250 };
const source = (options: HttpOptions = {}): ByteSource => httpSource(server.url, { retry, ...options });
const read = ([begin, end]: readonly [number, number], from = source()): Promise<Uint8Array> =>
  readBytes(from, FILE, begin, end);
const isRight = (bytes: Uint8Array, [begin, end]: readonly [number, number], of = shard): boolean =>
  Buffer.compare(bytes, of.subarray(begin, end)) === 0;

async function expectOutcome(range: readonly [number, number], outcome: Outcome, from = source()): Promise<void> {
  const got = await read(range, from).catch((error: unknown) => error);
  if (outcome === 'bytes') {
    if (!(got instanceof Uint8Array)) throw got;
    expect(isRight(got, range)).toBe(true);
  } else {
    expect(got).toBeInstanceOf(SourceError);
    expect((got as Error).message).toMatch(outcome);
    expect((got as Error).message).toContain(server.url + FILE);
  }
}

async function plainFetch([begin, end]: readonly [number, number]): Promise<NetworkRow['plain']> {
  try {
    const response = await fetch(server.url + FILE, { headers: { range: `bytes=${begin}-${end - 1}` } });
    if (!response.ok) return 'error';
    return isRight(new Uint8Array(await response.arrayBuffer()), [begin, end]) ? 'bytes' : 'others';
  } catch {
    return 'error';
  }
}

describe.each(networkRows)('$name', ({ fault, once, always, plain }) => {
  test('the fault is real: what a plain fetch takes for the range', async () => {
    server.plan = fault;
    expect(await plainFetch(RANGES.expert)).toBe(plain);
  });

  test.each(rangeNames)('once, %s', async (name) => {
    server.plan = (request, n) => (n === 0 ? fault(request) : 'serve');
    await expectOutcome(RANGES[name], once);
    expect(server.requests.length).toBeLessThanOrEqual(2);
  });

  test.each(rangeNames)('always, %s', async (name) => {
    server.plan = fault;
    await expectOutcome(RANGES[name], always);
    // Five tries in a row without progress of 64 KiB; a redirect loop has 21 requests a try, and halves of a shard bring progress.
    expect(server.requests.length).toBeLessThanOrEqual(105);
  });
});

test.each([-10, 10])('an answer whose length contradicts its Content-Range by %i hands nothing on', async (extra) => {
  server.plan = (_, n) => (n === 0 ? { extra, claimsAsked: true } : 'serve');
  await expectOutcome(RANGES.expert, 'bytes');
  expect(server.requests.map(({ range }) => range!.begin)).toEqual([RANGES.expert[0], RANGES.expert[0]]);
});

describe('sizes', () => {
  const sizeIs = async (wanted: number, options?: HttpOptions): Promise<void> =>
    expect(await source(options).size(FILE)).toBe(wanted);

  test.each(networkRows)('with $name at first: the size, "no such file", or an error', async ({ fault }) => {
    server.plan = (request, n) => (n === 0 ? fault(request) : 'serve');
    const got = await source()
      .size(FILE)
      .catch((error: unknown) => error);
    if (got instanceof Error) expect(got).toBeInstanceOf(SourceError);
    else expect([shard.length, null]).toContain(got);
  });

  test('a count that an early end made too small is noticed by the read that follows', async () => {
    server.plan = (_, n) => ({ whole: true, framing: 'close', ...(n < 2 ? { endAfter: 1000 } : {}) });
    const s = source();
    expect(await s.size(FILE)).toBe(1000); // nothing tells it from a file of 1000 bytes
    await expect(read([0, 1000], s)).rejects.toThrow(/more than the 1000 bytes/);
  });

  test('by HEAD, without the length of a compressed form', async () => {
    // A server of static files: ranges uncompressed and without a total, everything else compressed for those who accept it.
    server.plan = ({ method }) =>
      method === 'HEAD' ? { gzip: 'accepted' } : { set: { 'content-range': `bytes 0-0/*` }, gzip: 'accepted' };
    server.files[FILE] = new Uint8Array(50_000);
    await sizeIs(50_000);
  });

  test('where HEAD is refused, as signed links do: by the length of an open range', async () => {
    server.plan = ({ method, range }) =>
      method === 'HEAD'
        ? { status: 403 }
        : {
            set: { 'content-range': `bytes ${range!.begin}-${Math.min(range!.end, shard.length - 1)}/*` },
            bytesPerSecond: 1e6,
          };
    await sizeIs(shard.length);
    expect(server.sent).toBeLessThan(shard.length); // the answer's body is not waited for
  });
});

describe('a stall', () => {
  test.each(rangeNames)('resumes after the idle time, %s', async (name) => {
    const [begin, end] = RANGES[name];
    const at = Math.floor((end - begin) / 3);
    server.plan = (_, n) => (n === 0 ? { stallAfter: at } : 'serve');
    const start = performance.now();
    await expectOutcome(RANGES[name], 'bytes', source({ retry: impatient }));
    const ms = performance.now() - start;
    expect(ms).toBeGreaterThanOrEqual(impatient.stallMs - 5);
    expect(ms).toBeLessThan(impatient.stallMs + 2000);
    expect(server.requests[1]!.range!.begin).toBe(begin + at);
    expect(server.sent).toBe(end - begin);
  });

  test('for ever ends after five tries', async () => {
    const s = source({ retry: { ...retry, stallMs: 100 } });
    server.plan = () => ({ stallAfter: 10 });
    await expectOutcome([0, 1000], /gave up after 5 tries.*nothing came for 100 ms/, s);
    expect(server.requests.map(({ range }) => range!.begin)).toEqual([0, 10, 20, 30, 40]);
    server.reset();
    server.plan = () => ({ stallAfter: 0 });
    await expectOutcome([0, 1000], /gave up after 5 tries.*nothing came for 400 ms/, s);
    expect(server.requests.length).toBe(5);
  });

  test('a late answer is none: the browser may hold the request back', async () => {
    server.plan = () => ({ latencyMs: 300 });
    await expectOutcome(RANGES.header, 'bytes', source({ retry: { ...retry, stallMs: 100 } }));
    expect(server.requests.length).toBe(1);
  });

  test('a slow reader is no stall', async () => {
    let total = 0;
    for await (const piece of source({ retry: { ...retry, stallMs: 100 } }).stream(FILE, 0, 200_000)) {
      total += piece.length;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    expect(total).toBe(200_000);
    expect(server.requests.length).toBe(1);
  });

  test('the defaults: 15 s idle, 5 tries', () => {
    expect(retryDefaults()).toMatchObject({ stallMs: 15_000, attempts: 5 });
  });
});

describe('waits', () => {
  test('Retry-After is honoured, in seconds and as a date', async () => {
    const date = (): string => new Date(Date.now() + 2000).toUTCString(); // in whole seconds: one to two from now
    for (const after of ['1', 'a date']) {
      server.reset();
      const times: number[] = [];
      server.plan = (_, n) => {
        times.push(performance.now());
        return n === 0 ? { status: 429, headers: { 'retry-after': after === '1' ? after : date() } } : 'serve';
      };
      await read(RANGES.header, source({ retry: { ...retry, maxDelayMs: 30_000 } }));
      expect(times[1]! - times[0]!).toBeGreaterThan(900);
      expect(times[1]! - times[0]!).toBeLessThan(3000);
    }
  });

  test('double, with jitter', () => {
    const waits = Array.from({ length: 200 }, () => delayAfter(3, retryDefaults(), new PassingFailure('x')));
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(1000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(2000);
    expect(Math.max(...waits) - Math.min(...waits)).toBeGreaterThan(500);
  });
});

describe('no server', () => {
  test.each([
    [
      'a closed port',
      async () => {
        const closed = await faultServer({});
        await closed.close();
        return closed.url;
      },
    ],
    // A label of 64 letters fails in the resolver itself, before any question leaves the machine.
    ['a name that does not resolve', () => Promise.resolve(`http://${'x'.repeat(64)}.test/`)],
  ])('%s', async (_, urlOf) => {
    const url = await urlOf();
    let tries = 0;
    const s = httpSource(url, { retry, fetch: (...of) => (tries++, fetch(...of)) });
    await expect(read(RANGES.header, s)).rejects.toThrow(/gave up after 5 tries.*Is the network up/);
    expect(tries).toBe(5);
    await expect(s.size(FILE)).rejects.toThrow(SourceError);
  });
});

describe('a file that changes between ranges', () => {
  const changed = /changed while it was read/;
  const modified = (day: number): Misbehaviour => ({ set: { 'last-modified': `Thu, 0${day} Jan 2026 00:00:00 GMT` } });

  test.each<[string, () => void]>([
    ['its tag', () => void ((server.etags = true), (server.files[FILE] = nextShard))],
    ['its date', () => void ((server.files[FILE] = nextShard), (server.plan = () => modified(2)))],
    ['its size', () => void (server.files[FILE] = nextShard.subarray(0, 1_200_000))],
  ])('%s', async (what, change) => {
    server.etags = what === 'its tag';
    if (what === 'its date') server.plan = () => modified(1);
    const s = source();
    expect(isRight(await read(RANGES.header, s), RANGES.header)).toBe(true);
    change();
    await expect(read(RANGES.expert, s)).rejects.toThrow(changed);
  });

  test.each([100, 100_000])('in a transfer that broke after %i bytes: no mixed file', async (at) => {
    server.etags = true;
    server.plan = (_, n) => {
      if (n > 0) server.files[FILE] = nextShard;
      return n === 0 ? { resetAfter: at } : 'serve';
    };
    await expect(read(RANGES.shard)).rejects.toThrow(changed);
  });

  test('between the header and the weights, through the layers of `load`', async () => {
    server.etags = true;
    const s = blockSource(forwardSource(source()), { blockBytes: 100_000 });
    const { begin, end } = (await openCheckpoint(s)).tensor('b');
    server.files[FILE] = nextShard;
    await expect(readBytes(s, FILE, begin, end)).rejects.toThrow(changed);
  });

  test('for the shorter: 416', async () => {
    const s = source();
    await read(RANGES.header, s);
    server.files[FILE] = shard.subarray(0, 100_000);
    await expect(read(RANGES.expert, s)).rejects.toThrow(/416.*shorter/);
  });
});

describe('signed links', () => {
  test.each([
    ['each good for one request', { uses: 1 }],
    ['each good for a moment', { ms: 50 }],
  ])('%s: the first address is asked again', async (_, life) => {
    const links = signLinks(server, other, life);
    const s = source();
    for (let at = 0; at < 1_000_000; at += 100_000) {
      const range = [at, at + 50_000] as const;
      expect(isRight(await read(range, s), range)).toBe(true);
      if ('ms' in life) await new Promise((resolve) => setTimeout(resolve, 60));
    }
    expect(links.issued).toBeGreaterThanOrEqual(10);
    expect(links.refused).toBe(links.issued - 1);
  });

  test('expire under transfers that run side by side', async () => {
    const links = signLinks(server, other);
    const s = source();
    await read(RANGES.header, s);
    for (let round = 0; round < 10; round++) {
      links.expire();
      // The answers come back in any order: late ones find that another transfer has a new link already, or is about to.
      const slow = other.plan;
      other.plan = (request, n) => {
        const answer = slow(request, n);
        return typeof answer === 'object' ? { ...answer, latencyMs: (n * 7) % 20 } : answer;
      };
      const ranges = Array.from({ length: 6 }, (_, i) => [i * 100_000, i * 100_000 + 1000] as const);
      const all = await Promise.all(ranges.map((range) => read(range, s)));
      all.forEach((bytes, i) => expect(isRight(bytes, ranges[i]!)).toBe(true));
      other.plan = slow;
    }
    expect(links.refused).toBe(60);
  });

  test('that are never good end after five tries, without being shown', async () => {
    const links = signLinks(server, other, { uses: 0 });
    const error = await read(RANGES.header).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(SourceError);
    expect((error as Error).message).toMatch(/gave up after 5 tries.*403/);
    expect((error as Error).message).not.toContain('signature');
    expect(links.issued).toBe(5);
  });

  test('a file that has gone from behind its link is asked for at its first address', async () => {
    signLinks(server, other);
    const s = source();
    await read(RANGES.header, s);
    server.plan = () => ({ status: 404 });
    other.plan = () => ({ status: 404 });
    await expect(read(RANGES.header, s)).rejects.toThrow(/404.*no such file/);
  });

  test('a token goes to its own origin only', async () => {
    signLinks(server, other);
    const s = source({ headers: { authorization: 'Bearer secret', 'x-other': 'seen' } });
    await read(RANGES.header, s);
    await read(RANGES.expert, s);
    expect(server.requests.map((r) => r.headers.authorization)).toEqual(['Bearer secret']);
    expect(other.requests.map((r) => r.headers.authorization)).toEqual([undefined, undefined]);
    expect(other.requests.map((r) => r.headers['x-other'])).toEqual(['seen', undefined]); // fetch's own doing
  });

  test('to a server that breaks off: resumes there, or at the first address', async () => {
    other.plan = (r, n) => (n % 2 ? 'serve' : { resetAfter: Math.floor(r.asked / 2) });
    const links = signLinks(server, other);
    await expectOutcome(RANGES.shard, 'bytes');
    expect(links.issued).toBe(2);
    server.plan = () => redirectTo(server.url.replace('127.0.0.1', `${'x'.repeat(64)}.test`) + FILE);
    await expectOutcome(RANGES.header, /gave up after 5 tries/);
  });
});

describe('what nothing tells: other bytes of the right number, without a contradiction', () => {
  test('a flipped bit in a tensor', async () => {
    server.plan = () => ({ flipAt: RANGES.expert[0] + 5 });
    expect(isRight(await read(RANGES.expert), RANGES.expert)).toBe(false);
  });

  test('another range under the Content-Range of the one asked for', async () => {
    server.plan = () => ({ shift: 16, claimsAsked: true });
    expect(isRight(await read(RANGES.expert), RANGES.expert)).toBe(false);
  });

  test('a new file of the same size from a server that sends neither tag nor date', async () => {
    const s = source();
    await read(RANGES.header, s);
    server.files[FILE] = nextShard;
    expect(isRight(await read(RANGES.expert, s), RANGES.expert, nextShard)).toBe(true);
  });

  test('though a flipped bit in a header breaks a rule of the format, or names another tensor', async () => {
    const outcomes = { typed: 0, other: 0 };
    const intact = await openCheckpoint(source());
    const json = 8 + JSON.stringify({ ...Object.fromEntries([...'abc'].map((n) => [n, intact.tensor(n)])) }).length;
    for (let at = 0; at < Math.min(json, 150); at += 3) {
      server.plan = () => ({ flipAt: at });
      const got = await openCheckpoint(source()).catch((error: unknown) => error);
      if (got instanceof Error) {
        expect(got).toBeInstanceOf(WebmoeError);
        outcomes.typed++;
      } else outcomes.other++;
    }
    expect(outcomes.typed).toBeGreaterThan(30);
  });
});
