/** Slots for some of the experts, in Chromium: the same bits in every mode, whatever was evicted, and no new buffer once it runs. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { faultServer, type FaultServer } from '../support/fault-server.ts';
import { DENSE, fixturePath, FIXTURES, SHIPPED } from '../support/models.ts';
import { filesOf } from '../support/served-file.ts';
import type { StreamOptions } from './pages/stream.ts';

/** Of the answer after evictions. WEBMOE_STORE_TOKENS=200 with `-t smolmoe` is the long sweep of docs/testing.md. */
const TOKENS = Number(process.env.WEBMOE_STORE_TOKENS ?? 12);
/** Of the answer before them, after which everything that a chat needs is there. */
const FIRST = 12;
const PROMPT = [3, 141, 59, 26, 53, 58, 97, 93, 23];

let site: Site;
let opened: OpenedPage;
beforeAll(async () => {
  site = await openSite('stream.html');
  opened = await site.open('/stream.html');
});
afterAll(() => site.close());

interface Outcome {
  readonly bits: string;
  readonly ids: number[];
}

/** WEBMOE_STORE_FIXTURES=all: every fixture with experts and the shipped model at every size, a long sweep. */
const LONG = process.env.WEBMOE_STORE_FIXTURES === 'all';
const SHARES = LONG ? [0.75, 0.5, 0.25, 0] : [0.5, 0];
const MODES = SHARES.flatMap((expertsResident): [string, StreamOptions][] => [
  ['optimistic', { expertsResident }],
  ['lockstep', { expertsResident }],
]);
const WITH_EXPERTS = FIXTURES.filter((fixture) => !DENSE.includes(fixture));
const SWEPT = LONG
  ? [...WITH_EXPERTS.map(fixturePath), SHIPPED]
  : ['families/mixtral', 'families/olmoe'].map(fixturePath);

describe.each(SWEPT)('%s', (model) => {
  let server: FaultServer;
  let resident: Outcome;
  const run = (options: StreamOptions, count: number): Promise<Outcome> =>
    opened.page.evaluate(
      async ([url, prompt, tokens, o]) => {
        await window.stream.load(url, { prefillChunk: 8, storage: null, contextLength: 64 + tokens, ...o });
        const { ids } = await window.stream.answer(prompt, tokens);
        return { bits: await window.stream.logitBits(prompt), ids };
      },
      [server.url, PROMPT, count, options] as const,
    );

  beforeAll(async () => {
    server = await faultServer(filesOf(model), { cors: 'exposed' });
    resident = await run({}, TOKENS);
    expect(await opened.page.evaluate(() => window.stream.stats.then(({ mode }) => mode))).toBe('resident');
  });
  afterAll(() => server.close());

  it.each(MODES)('%s, %j: the bits of all experts on the GPU, also after evictions', async (mode, options) => {
    const all = { mode: mode as 'optimistic' | 'lockstep', ...options };
    const first = await run({ contextLength: 64 + TOKENS, ...all }, FIRST);
    expect(first).toEqual({ ...resident, ids: resident.ids.slice(0, FIRST) });
    const after = await opened.page.evaluate(
      async ([prompt, tokens]) => {
        const { stream } = window;
        // Every buffer that a chat may ever need is there after the first answer; logits make some of their own.
        const before = await stream.buffers();
        const evicted = await stream.evict(0.5, 1);
        const { ids } = await stream.answer(prompt, tokens);
        const made = (await stream.buffers()) - before;
        await stream.evict(0.5, 2);
        const bits = await stream.logitBits(prompt);
        const { mode: used, replays, slots, experts } = await stream.stats;
        return { evicted, ids, bits, made, used, replays, slots, experts };
      },
      [PROMPT, TOKENS] as const,
    );
    expect(after.evicted).toBeGreaterThan(0);
    expect(after.ids).toEqual(resident.ids);
    expect(after.bits).toBe(resident.bits);
    expect(after.made, 'buffers made after the first answer').toBe(0);
    expect(after.slots).toBeLessThan(after.experts);
    if (mode === 'optimistic') expect(after.replays).toBeGreaterThan(0);
  });

  it('leaves nothing in the console', () => expect(opened.problems).toEqual([]));
});
