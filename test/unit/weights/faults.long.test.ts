/** Broken transfers of a whole shard, at every percent of it, and long random sequences of faults. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { WebmoeError } from '../../../src/errors.ts';
import { prng } from '../../../src/util/prng.ts';
import { blockSource } from '../../../src/weights/block-source.ts';
import { forwardSource } from '../../../src/weights/forward-source.ts';
import { httpSource } from '../../../src/weights/http-source.ts';
import { readBytes, type ByteSource } from '../../../src/weights/source.ts';
import type { Misbehaviour } from '../../support/fault.ts';
import { faultServer, type FaultServer } from '../../support/fault-server.ts';
import { networkRows } from '../../support/network-rows.ts';

const FILE = 'model.safetensors';
const SIZE = 8_000_000;
const random = prng(1);
const shard = Uint8Array.from({ length: SIZE }, () => 256 * random());
const isRight = (bytes: Uint8Array, begin = 0, end = SIZE): boolean =>
  Buffer.compare(bytes, shard.subarray(begin, end)) === 0;

let server: FaultServer;
beforeAll(async () => {
  server = await faultServer({ [FILE]: shard });
});
afterAll(() => server.close());
beforeEach(() => server.reset());

/** The default number of tries, without its waits. */
const retry = { firstDelayMs: 1, maxDelayMs: 10 };
const source = (): ByteSource => httpSource(server.url, { retry });

/** Bytes that reached the reader, whatever it made of them. */
let received = 0;
const counting: typeof fetch = async (input, init) => {
  const { body, status, headers } = await fetch(input, init);
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform(piece, out) {
      received += piece.length;
      out.enqueue(piece);
    },
  });
  return new Response(body?.pipeThrough(count) ?? null, { status, headers });
};
const readShard = (): Promise<Uint8Array> => {
  received = 0;
  return readBytes(httpSource(server.url, { retry, fetch: counting }), FILE, 0, SIZE);
};
const figures = (): string =>
  `${(received / SIZE).toFixed(3)} times the shard received, ${(server.sent / SIZE).toFixed(3)} times sent`;

const ways: readonly [string, Misbehaviour][] = [
  ['closed', {}],
  ['ended without a length, as HTTP/1.0 does', { framing: 'close' }],
];

test.each<[string, Misbehaviour]>([
  ...ways,
  // What lies in the sockets is lost with the connection: sent twice, but received once.
  ['reset', { hard: true }],
])('cut at every percent of a shard, one cut a transfer, %s', { timeout: 300_000 }, async (_, how) => {
  let worst = 0;
  for (let percent = 1; percent < 100; percent++) {
    server.reset();
    const at = Math.floor((SIZE * percent) / 100);
    const cut = how.framing ? { endAfter: at } : { resetAfter: at };
    server.plan = (_r, n) => (n === 0 ? { ...how, ...cut } : 'serve');
    expect(isRight(await readShard()), `${percent} %`).toBe(true);
    expect(server.requests.length).toBe(2);
    worst = Math.max(worst, received / SIZE);
    if (percent % 33 === 0) console.log(`${percent} %: ${figures()}`);
  }
  expect(worst).toBeLessThanOrEqual(1.1);
});

test.each(ways)('cut at every percent, 99 cuts in one transfer, %s', { timeout: 300_000 }, async (_, how) => {
  const step = SIZE / 100;
  server.plan = ({ range }) => {
    const left = step - (range!.begin % step);
    const cut = how.framing ? { endAfter: left } : { resetAfter: left };
    return range!.begin + left < SIZE ? { ...how, ...cut } : 'serve';
  };
  expect(isRight(await readShard())).toBe(true);
  console.log(`${figures()}, ${server.requests.length} requests`);
  expect(server.requests.length).toBeGreaterThanOrEqual(100);
  expect(server.sent / SIZE).toBeLessThanOrEqual(1.1);
});

test('any sequence of faults: the right bytes or a typed error, read plainly or through the layers of `load`', async () => {
  const faults = networkRows.filter(({ name }) => name !== 'a slow answer' && name !== 'a redirect loop');
  const seen = { bytes: 0, errors: 0 };
  const draw = prng(7);
  for (let run = 0; run < 500; run++) {
    const rate = draw();
    server.reset();
    server.plan = (request) =>
      draw() < 0.7 * rate ? faults[Math.floor(draw() * faults.length)]!.fault(request) : 'serve';
    const plain = source();
    const from = run % 2 ? plain : blockSource(forwardSource(plain), { blockBytes: 100_000 });
    const begin = Math.floor(draw() * 1_000_000);
    const range = [begin, begin + 1 + Math.floor(draw() * (run % 3 ? 200_000 : 3_000))] as const;
    const got = await readBytes(from, FILE, ...range).catch((error: unknown) => error);
    if (got instanceof Uint8Array) {
      seen.bytes++;
      expect(isRight(got, ...range), `run ${run}`).toBe(true);
    } else {
      seen.errors++;
      if (!(got instanceof WebmoeError)) throw got;
    }
  }
  expect(seen.bytes).toBeGreaterThan(100);
  expect(seen.errors).toBeGreaterThan(50);
});
