import { afterEach, describe, expect, test } from 'vitest';
import { blockSource } from '../../../src/weights/block-source.ts';
import { forwardSource } from '../../../src/weights/forward-source.ts';
import { httpSource } from '../../../src/weights/http-source.ts';
import { readBytes, type ByteSource } from '../../../src/weights/source.ts';
import { faultServer, type FaultServer } from '../../support/fault-server.ts';

const SIZE = 3_000_000;
const data = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31) ^ (i >> 8));

let server: FaultServer;
afterEach(() => server.close());

const whole = async (): Promise<ReturnType<typeof forwardSource>> => {
  server = await faultServer({ f: data });
  server.plan = () => 'whole';
  return forwardSource(httpSource(server.url));
};

/** toEqual would take seconds. */
const expectBytes = async (source: ByteSource, begin: number, end: number): Promise<void> => {
  const read = await readBytes(source, 'f', begin, end);
  expect(Buffer.compare(read, data.subarray(begin, end))).toBe(0);
};

/** Requests for the file beyond the first, which asks for its size. */
const transfers = (): number => server.requests.length - 1;

describe('forwardSource, on a server without ranges', () => {
  test('reads forwards in one transfer', async () => {
    const source = await whole();
    for (let at = 0; at < SIZE; at += 250_000) {
      await expectBytes(source, at, at + 200_000);
    }
    expect(source.seeks!('f')).toBe(false);
    expect(transfers()).toBe(1);
  });

  test('reads two places forwards, by turns, in two transfers after the first', async () => {
    const source = await whole();
    for (let i = 0; i < 10; i++) {
      for (const at of [i * 100_000, 1_500_000 + i * 10_000]) {
        await expectBytes(source, at, at + 10_000);
      }
    }
    expect(transfers()).toBeLessThanOrEqual(3);
  });

  test('starts over to go back', async () => {
    const source = await whole();
    await expectBytes(source, 1_000_000, 1_000_010);
    await expectBytes(source, 10, 20);
    expect(transfers()).toBe(2);
  });

  test('a reader that leaves or aborts harms nobody', async () => {
    const source = await whole();
    for await (const piece of source.stream('f', 0, SIZE)) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    const controller = new AbortController();
    const reason = new Error('enough');
    const reading = readBytes(source, 'f', 0, SIZE, controller.signal);
    controller.abort(reason);
    await expect(reading).rejects.toBe(reason);
    await expectBytes(source, 5, 5000);
  });

  test('under blocks, large reads go through them', async () => {
    const source = blockSource(await whole(), { blockBytes: 100_000, blocks: 3 });
    await expectBytes(source, 50, 900_000);
    await expectBytes(source, 900_000, SIZE);
    expect(transfers()).toBeLessThanOrEqual(2);
  });

  test('leaves a server with ranges alone', async () => {
    const source = await whole();
    server.plan = () => 'serve';
    await expectBytes(source, 1_000_000, 1_000_010);
    await expectBytes(source, 10, 20);
    expect(server.sent).toBeLessThan(1000);
  });
});
