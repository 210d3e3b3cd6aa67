/** Hundreds of answers in one page, and models that come and go, leave nothing behind. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { faultServer, type FaultServer } from '../support/fault-server.ts';
import { heapMeter, slope } from '../support/heap.ts';
import { withLetters } from '../support/letters.ts';
import { fixturePath, type Files } from '../support/models.ts';
import { filesOf } from '../support/served-file.ts';

/** WEBMOE_ANSWERS=500 and WEBMOE_CYCLES=100: long sweeps. */
const ANSWERS = Number(process.env.WEBMOE_ANSWERS ?? 40);
const CYCLES = Number(process.env.WEBMOE_CYCLES ?? 3);
/** What long sweeps may take on a busy machine: it grows with their length. */
const ANSWERS_MS = 1_000_000 + 5_000 * ANSWERS;
const CYCLES_MS = 1_000_000 + 60_000 * CYCLES;
/** From here on nothing is made that is not given back. */
const FLAT_AFTER = 10;
const SAMPLES = 10;
/** Bytes an answer. */
const MAX_SLOPE = 20_000;
const NOTHING = { buffers: 0, bufferBytes: 0, devices: 0, files: 0 };

let site: Site;
let server: FaultServer;
let opened: OpenedPage;
beforeAll(async () => {
  server = await faultServer(withLetters(filesOf(fixturePath('families/olmoe')) as Files), { cors: 'exposed' });
  site = await openSite('endure.html');
  opened = await site.open('/endure.html');
});
afterAll(async () => {
  await site.close();
  await server.close();
});

it(
  `${ANSWERS} answers in one page: objects flat after ${FLAT_AFTER}, heap slope below 20 KB an answer`,
  async () => {
    const { page } = opened;
    expect(await page.evaluate((url) => window.endure.load(url), server.url)).toBe('opfs');
    const heap = await heapMeter(page);
    const dom = await page.context().newCDPSession(page);
    const run = (from: number, to: number): Promise<number[]> =>
      page.evaluate(([a, b]) => window.endure.run(a, b), [from, to] as const);
    const samples: { at: number; page: number; worker: number; listeners: number }[] = [];
    const measure = async (at: number): Promise<void> => {
      const { page: own, workers } = await heap();
      const { jsEventListeners } = await dom.send('Memory.getDOMCounters');
      samples.push({ at, page: own, worker: Math.max(...workers), listeners: jsEventListeners });
    };

    expect(await run(0, FLAT_AFTER)).not.toContain(0);
    const flat = await page.evaluate(() => window.endure.counts());
    await measure(FLAT_AFTER);
    const step = Math.max(1, Math.floor((ANSWERS - FLAT_AFTER) / SAMPLES));
    for (let at = FLAT_AFTER; at < ANSWERS; at += step) {
      const to = Math.min(ANSWERS, at + step);
      expect(await run(at, to)).not.toContain(0);
      expect(await page.evaluate(() => window.endure.counts())).toEqual(flat);
      await measure(to);
    }
    const [inPage, inWorker] = (['page', 'worker'] as const).map((key) =>
      slope(samples.map((sample) => [sample.at, sample[key]] as const)),
    ) as [number, number];
    console.log(
      `${ANSWERS} answers: ${flat.alive.buffers} buffers of ${flat.alive.bufferBytes} bytes, made ${JSON.stringify(flat.made)}, ${flat.alive.files} files open;`,
      `heap of the page ${inPage.toFixed(0)} bytes an answer, of the worker ${inWorker.toFixed(0)} (${samples.map((s) => (s.worker / 1e6).toFixed(2)).join(' ')} MB)`,
    );
    expect(flat.alive.buffers).toBeGreaterThan(5);
    expect(flat.alive.files).toBeGreaterThan(0);
    expect(inPage).toBeLessThan(MAX_SLOPE);
    expect(inWorker).toBeLessThan(MAX_SLOPE);
    expect(samples.at(-1)!.listeners).toBe(samples[0]!.listeners);
    expect(await page.evaluate(() => window.endure.dispose())).toEqual(NOTHING);
  },
  ANSWERS_MS,
);

it(
  `${CYCLES} models loaded, asked and disposed in one worker: no buffer, device or file is left`,
  async () => {
    const held = await opened.page.evaluate(([url, n]) => window.endure.cycles(url, n), [server.url, CYCLES] as const);
    expect(held).toEqual(Array.from({ length: CYCLES }, () => NOTHING));
  },
  CYCLES_MS,
);

it('leaves nothing in the console', () => expect(opened.problems).toEqual([]));
