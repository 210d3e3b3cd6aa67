/**
 * The network's faults in Chromium, whose `fetch` is not Node's: it hides headers across origins, takes a cut gzip body or one without length for
 * whole, drops Authorization on the way to another origin, has a cache, and can be offline.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { prng } from '../../src/util/prng.ts';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { redirectTo, type Misbehaviour } from '../support/fault.ts';
import { faultServer, type Cors, type FaultServer } from '../support/fault-server.ts';
import { networkRows, type NetworkRow, type Outcome } from '../support/network-rows.ts';
import { filesOf } from '../support/served-file.ts';
import { signLinks } from '../support/signed-links.ts';
import type { Read, Reading } from './pages/faults.ts';

const FILE = 'model.safetensors';
const random = prng(1);
const noise = (): Uint8Array => Uint8Array.from({ length: 400_000 }, () => 256 * random());
const data = noise();
/** As long, with other bytes. */
const nextData = noise();
const [BEGIN, END] = [100_003, 300_001];
const hashOf = (bytes: Uint8Array, begin = BEGIN, end = END): string =>
  createHash('sha256').update(bytes.subarray(begin, end)).digest('hex');

let site: Site;
/** Serves the page and a file of the same origin; `other` is another origin. */
let own: FaultServer;
let other: FaultServer;
let opened: OpenedPage;
beforeAll(async () => {
  site = await openSite('faults.html');
  own = await faultServer({ ...filesOf(site.dist), [FILE]: data });
  other = await faultServer({ [FILE]: data }, { cors: 'exposed' });
  opened = await site.open('/faults.html', { origin: new URL(own.url).origin });
});
afterAll(async () => {
  await site.close();
  await Promise.all([own.close(), other.close()]);
});
beforeEach(() => {
  for (const server of [own, other]) {
    server.reset();
    server.etags = false;
    server.files[FILE] = data;
  }
  other.cors = 'exposed';
});

type Where = 'same origin' | 'other origin';
const serverAt = (where: Where): FaultServer => (where === 'same origin' ? own : other);
const reading = (server: FaultServer, more: Partial<Reading> = {}): Reading => ({
  base: server.url,
  file: FILE,
  begin: BEGIN,
  end: END,
  cache: 'no-store',
  ...more,
});
const read = (r: Reading): Promise<Read> => opened.page.evaluate((of) => window.faults.read(of), r);
const size = (r: Reading): Promise<number | null | string> => opened.page.evaluate((of) => window.faults.size(of), r);

function expectOutcome(got: Read, outcome: Outcome): void {
  if (outcome === 'bytes') expect(got).toEqual({ sha256: hashOf(data) });
  else {
    expect(got).toMatchObject({ code: 'source' });
    expect('message' in got && got.message).toMatch(outcome);
  }
}

const plainOutcome = (got: Read): NetworkRow['plain'] =>
  'error' in got ? 'error' : got.sha256 === hashOf(data) ? 'bytes' : 'others';

type Difference = Partial<Pick<NetworkRow, 'once' | 'always' | 'plain'>>;

/** A request for a range asks for the plain form, and Chromium refuses an answer in another one. */
const refused: Difference = { plain: 'error', once: 'bytes', always: /gave up after 5 tries: the request failed/ };
const unlikeNode: Readonly<Record<string, Difference>> = {
  gzip: refused,
  'gzip, cut in the middle': refused,
  'gzip of a range': refused,
  'gzip of a range, cut': refused,
};
/** A Content-Range that is not there may be one that is not shown: then the number of bytes decides. */
const acrossOrigins: Readonly<Record<string, Difference>> = { 'no Content-Range': { once: 'bytes', always: 'bytes' } };
const byLength: Difference = { once: /no Content-Range/, always: /no Content-Range/ };
const withHiddenHeaders: Readonly<Record<string, Difference>> = {
  'another range': byLength,
  'a shorter range': byLength,
  'a shorter body than claimed': byLength,
  'a longer body than claimed': byLength,
  'a senseless Content-Range': { once: 'bytes', always: 'bytes' },
};

const expected = (row: NetworkRow, cors: Cors): NetworkRow => ({
  ...row,
  ...unlikeNode[row.name],
  ...(cors === 'none' ? {} : acrossOrigins[row.name]),
  ...(cors === 'hidden' ? withHiddenHeaders[row.name] : {}),
});

describe.each<[Where, Cors]>([
  ['same origin', 'none'],
  ['other origin', 'exposed'],
  ['other origin', 'hidden'],
])('%s, headers: %s', (where, cors) => {
  it.each(networkRows)('$name', async (row) => {
    const { fault, plain, once, always } = expected(row, cors);
    const server = serverAt(where);
    const misbehave = (isBad: (n: number) => boolean): void => {
      server.reset();
      server.cors = cors;
      server.plan = (request, n) => (request.path === FILE && isBad(n) ? fault(request) : 'serve');
    };
    misbehave(() => true);
    const taken = await opened.page.evaluate((of) => window.faults.plain(of), reading(server));
    expect(plainOutcome(taken), 'a plain fetch').toBe(plain);
    misbehave((n) => n === 0);
    expectOutcome(await read(reading(server)), once);
    misbehave(() => true);
    expectOutcome(await read(reading(server)), always);
    expect(server.requests.length).toBeLessThanOrEqual(105);
    expect(server.requests.filter(({ method }) => method !== 'GET')).toEqual([]); // no preflight
  });
});

describe('headers hidden across origins: sizes', () => {
  beforeEach(() => void (other.cors = 'hidden'));

  it.each<[string, Misbehaviour]>([
    ['a server that compresses where it may', { gzip: 'accepted' }],
    ['one that also sends whole files', { gzip: 'accepted', whole: true }],
    ['and one that sends them without a length', { whole: true, framing: 'close' }],
  ])('%s', async (_, fault) => {
    other.files[FILE] = new Uint8Array(400_000); // compresses to nearly nothing
    other.plan = () => fault;
    expect(await size(reading(other))).toBe(400_000);
  });

  it('and nothing tells as many bytes from elsewhere', async () => {
    other.plan = () => ({ shift: 16 });
    expect(await read(reading(other))).toEqual({ sha256: hashOf(data, BEGIN + 16, END + 16) });
  });

  it('links signed for GET alone', async () => {
    const links = signLinks(own, other);
    const [page, content] = [own.plan, other.plan];
    own.plan = (request, n) => (request.path === FILE ? page(request, n) : 'serve');
    other.plan = (request, n) => (request.method === 'GET' ? content(request, n) : { status: 403 });
    expect(await size(reading(own))).toBe(400_000);
    expectOutcome(await read(reading(own)), 'bytes');
    expect(links.issued).toBe(2);
  });
});

describe('redirects', () => {
  it('lose Authorization on the way to another origin', async () => {
    own.plan = ({ path }) => (path === FILE ? redirectTo(other.url + FILE) : 'serve');
    const twice = await opened.page.evaluate(([a, b, url]) => window.faults.readTwice(a, b, url), [
      reading(own, { headers: { authorization: 'Bearer secret' } }),
      reading(own),
      `${own.url}faults.html`,
    ] as const);
    for (const got of twice) expectOutcome(got, 'bytes');
    const asked = own.requests.filter(({ path }) => path === FILE);
    expect(asked.map((r) => r.headers.authorization)).toEqual(['Bearer secret']);
    const gets = other.requests.filter(({ method }) => method === 'GET');
    expect(gets.map((r) => r.headers.authorization)).toEqual([undefined, undefined]);
  });

  it('to links that expire: the first address is asked again', async () => {
    const links = signLinks(own, other, { uses: 1 });
    const twice = await opened.page.evaluate(([a, url]) => window.faults.readTwice(a, a, url), [
      reading(own),
      `${other.url}nothing`, // uses no link
    ] as const);
    for (const got of twice) expectOutcome(got, 'bytes');
    expect(links.issued).toBe(2);
  });

  it('to a name that does not resolve', async () => {
    own.plan = () => redirectTo('http://missing.test/');
    expectOutcome(await read(reading(own)), /gave up after 5 tries.*Is the network up/);
    expectOutcome(await read(reading(own, { base: 'http://missing.test/' })), /gave up after 5 tries/);
  });
});

describe('a file that changes', () => {
  /** A range, then that and the bytes before it, of another version. */
  async function readChanging(cache: RequestCache, fault: Misbehaviour): Promise<readonly [Read, Read]> {
    own.etags = true;
    own.plan = ({ path }) => {
      if (path === 'changed') own.files[FILE] = nextData;
      return path === FILE ? fault : 'serve';
    };
    const first = { ...reading(own), cache };
    return opened.page.evaluate(([a, b, url]) => window.faults.readTwice(a, b, url), [
      first,
      { ...first, begin: 0 },
      `${own.url}changed`,
    ] as const);
  }

  it.each<[RequestCache, Misbehaviour]>([
    ['no-store', {}],
    ['no-store', { ignoresIfRange: true }],
    ['default', {}],
  ])('is noticed by its tag, cache: %s, %o', async (cache, fault) => {
    const [before, after] = await readChanging(cache, fault);
    expectOutcome(before, 'bytes');
    expectOutcome(after, /changed while it was read/);
  });

  it('is not, where the browser fills its cache up from a server that ignores If-Range', async () => {
    const [, after] = await readChanging('default', { ignoresIfRange: true });
    expect(after).toHaveProperty('sha256');
    for (const version of [data, nextData]) expect(after).not.toEqual({ sha256: hashOf(version, 0, END) });
  });
});

describe('no network', () => {
  const offline = (is: boolean): Promise<void> => opened.page.context().setOffline(is);

  it('ends after five tries', async () => {
    await offline(true);
    expectOutcome(await read(reading(own)), /gave up after 5 tries.*Is the network up/);
    await offline(false);
    expectOutcome(await read(reading(own)), 'bytes');
  });

  it('for a moment: goes on where it stopped', async () => {
    own.plan = (_, n) => (n === 0 ? { stallAfter: 100_000 } : 'serve');
    const got = read(reading(own, { stallMs: 300, firstDelayMs: 400 }));
    await expect.poll(() => own.sent).toBe(100_000);
    await offline(true);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await offline(false);
    expectOutcome(await got, 'bytes');
    expect(own.requests.at(-1)!.range).toEqual({ begin: BEGIN + 100_000, end: END - 1 });
  });

  it('a stall resumes where it stopped', async () => {
    own.plan = (_, n) => (n === 0 ? { stallAfter: 50_000 } : 'serve');
    expectOutcome(await read(reading(own, { stallMs: 300 })), 'bytes');
    expect(own.requests.map(({ range }) => range!.begin)).toEqual([BEGIN, BEGIN + 50_000]);
  });
});

it('more transfers than the browser has connections wait for each other', async () => {
  own.setLink({ bytesPerSecond: 1.6e6 }); // the first six take three quarters of a second
  const got = await opened.page.evaluate(
    (of) => Promise.all(Array.from({ length: 9 }, () => window.faults.read(of))),
    reading(own, { stallMs: 400 }),
  );
  own.setLink({});
  for (const one of got) expectOutcome(one, 'bytes');
  expect(own.requests.length).toBe(9);
});

it('none of this leaves an error of its own', () => {
  expect(opened.problems.filter((text) => !text.includes('blocked by CORS policy'))).toEqual([]);
});
