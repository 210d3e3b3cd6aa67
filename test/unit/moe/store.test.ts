/** The expert store over fake slots: who fetches what, how often, in what order, and what failures leave behind. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MISSING_SLOT } from '../../../src/moe/slots.ts';
import type { BringOptions } from '../../../src/moe/store.ts';
import { nextUse } from '../../../src/policy/next-use.ts';
import { InvariantError } from '../../../src/util/assert.ts';
import { prng } from '../../../src/util/prng.ts';
import { tries } from '../../support/everyday.ts';
import { arenaShape, fakeStore, settled, type FakeStore } from '../../support/fake-store.ts';

const at = (layer: number, more: Partial<BringOptions> = {}): BringOptions => ({
  atLayer: layer,
  isKept: () => false,
  ...more,
});
/** One layer of 8 experts. */
const one = (slots: number): FakeStore => fakeStore([8], [arenaShape([0], slots)]);

async function brought({ store, fetches }: FakeStore, layer: number, experts: readonly number[]): Promise<void> {
  const work = store.bring(layer, experts, at(layer));
  await settled();
  for (const f of fetches.open) await f.arrive();
  await work;
}

/** Nothing on the GPU's table names a slot with other bytes, and it says what the store says. */
function expectConsistent({ store, homes }: FakeStore): void {
  expect(homes.wrong()).toEqual([]);
  store.experts.forEach((count, layer) => {
    for (let e = 0; e < count; e++) {
      expect(homes.table.get(`${layer} ${e}`) ?? null, `expert ${e} of layer ${layer}`).toBe(
        store.residency.slotOf(layer, e),
      );
    }
  });
}

describe('bring', () => {
  it('fetches what is missing, and says where each came from', async () => {
    const fake = one(4);
    await brought(fake, 0, [1, 2]);
    const work = fake.store.bring(0, [3, 1], at(0));
    await settled();
    expect(fake.fetches.open.map((f) => f.expert)).toEqual([3]);
    await fake.fetches.of(0, 3).arrive();
    expect(await work).toEqual([
      { expert: 3, origin: 'disk', bytes: 100 },
      { expert: 1, origin: 'slot', bytes: 0 },
    ]);
    expectConsistent(fake);
    expect(fake.store.isComplete).toBe(false);
  });

  it('fetches an expert once, however many ask for it', async () => {
    const fake = one(4);
    const work = [1, 2, 3].map(() => fake.store.bring(0, [5], at(0)));
    await settled();
    expect(fake.fetches.all.length).toBe(1);
    await fake.fetches.of(0, 5).arrive();
    const origins = (await Promise.all(work)).map(([b]) => [b!.origin, b!.bytes]);
    expect(origins).toEqual([
      ['disk', 100],
      ['prefetched', 0],
      ['prefetched', 0],
    ]);
    expect(fake.fetches.all.length).toBe(1);
  });

  it('a fetch that fails leaves a free slot and nothing in the table; the next try starts afresh', async () => {
    const fake = one(3);
    await brought(fake, 0, [0, 1, 2]);
    const before = fake.homes.events.length;
    const own = new Error('connection lost');
    const work = fake.store.bring(0, [3], at(0));
    work.catch(() => undefined);
    await settled();
    await fake.fetches.of(0, 3).fail(own);
    await expect(work).rejects.toBe(own);
    expect(fake.homes.events.slice(before)).toEqual([
      { kind: 'table', layer: 0, expert: 0, slot: MISSING_SLOT }, // who made room, and nothing else
    ]);
    expect([fake.store.residency.ready, fake.store.residency.isLoading(0, 3)]).toEqual([2, false]);
    expectConsistent(fake);
    await brought(fake, 0, [3]);
    expect(fake.store.evictions).toBe(1); // into the free slot
    expectConsistent(fake);
  });

  it('reports a failure only when nothing is on its way any more', async () => {
    const fake = one(4);
    let isOver = false;
    const work = fake.store.bring(0, [1, 2], at(0)).finally(() => (isOver = true));
    work.catch(() => undefined);
    await settled();
    await fake.fetches.of(0, 1).fail(new Error('lost'));
    expect(isOver).toBe(false);
    await fake.fetches.of(0, 2).arrive();
    await expect(work).rejects.toThrow('lost');
    expect(fake.store.residency.has(0, 2)).toBe(true);
    expectConsistent(fake);
  });

  it('an abort stops fetches, and leaves free slots', async () => {
    const fake = one(4);
    const abort = new AbortController();
    const work = fake.store.bring(0, [1, 2], at(0, { signal: abort.signal }));
    work.catch(() => undefined);
    await settled();
    await fake.fetches.of(0, 1).arrive();
    const reason = new Error('stop');
    abort.abort(reason);
    await expect(work).rejects.toBe(reason);
    expect(fake.fetches.open).toEqual([]);
    expect([fake.store.residency.has(0, 1), fake.store.residency.isLoading(0, 2)]).toEqual([true, false]);
    expectConsistent(fake);
    await expect(fake.store.bring(0, [3], at(0, { signal: abort.signal }))).rejects.toBe(reason);
    expect(fake.fetches.all.length).toBe(2);
  });

  it('an abort by one leaves the fetch of another alone, who then has to do it when it was the first', async () => {
    const fake = one(4);
    const [first, second] = [new AbortController(), new AbortController()];
    const a = fake.store.bring(0, [1], at(0, { signal: first.signal }));
    const b = fake.store.bring(0, [1], at(0, { signal: second.signal }));
    a.catch(() => undefined);
    await settled();
    first.abort(new Error('a stops'));
    await expect(a).rejects.toThrow('a stops');
    await settled();
    await fake.fetches.of(0, 1).arrive(); // b's own
    expect((await b)[0]!.origin).toBe('disk');
    expect(fake.fetches.all.length).toBe(2);
    // The other way round, the waiting one leaves and the fetch goes on.
    const c = fake.store.bring(0, [2], at(0));
    const d = fake.store.bring(0, [2], at(0, { signal: first.signal }));
    await expect(d).rejects.toThrow('a stops');
    await settled();
    await fake.fetches.of(0, 2).arrive();
    expect((await c)[0]!.origin).toBe('disk');
    expectConsistent(fake);
  });

  it('never evicts what the same request asked for, nor what must stay', async () => {
    const fake = one(4);
    await brought(fake, 0, [0, 1, 2, 3]);
    const work = fake.store.bring(0, [0, 4, 5], at(0, { isKept: (_, e) => e === 1 }));
    await settled();
    for (const f of fake.fetches.open) await f.arrive();
    await work;
    expect([0, 1, 2, 3, 4, 5].filter((e) => fake.store.residency.has(0, e))).toEqual([0, 1, 4, 5]);
    expectConsistent(fake);
  });

  it('spares others while it can', async () => {
    const fake = one(3);
    await brought(fake, 0, [0, 1, 2]);
    const isSpared = (_: number, e: number): boolean => e !== 2;
    const first = fake.store.bring(0, [3], at(0, { isSpared }));
    await settled();
    await fake.fetches.of(0, 3).arrive();
    await first;
    expect([0, 1, 2].map((e) => fake.store.residency.has(0, e))).toEqual([true, true, false]);
    const second = fake.store.bring(0, [4], at(0, { isSpared: () => true }));
    await settled();
    await fake.fetches.of(0, 4).arrive();
    await second;
    expect(fake.store.residency.has(0, 4)).toBe(true);
  });

  it('takes the entry of the evicted out before anything is written, and sets the new one after the bytes', async () => {
    const fake = one(2);
    await brought(fake, 0, [0, 1]);
    fake.homes.events.length = 0;
    await brought(fake, 0, [2]);
    expect(fake.homes.events).toEqual([
      { kind: 'table', layer: 0, expert: 0, slot: MISSING_SLOT },
      { kind: 'bytes', layer: 0, expert: 2, slot: 0 },
      { kind: 'table', layer: 0, expert: 2, slot: 0 },
    ]);
  });

  it('waits for a slot while all are loading', async () => {
    const fake = one(2);
    const first = fake.store.bring(0, [0, 1], at(0));
    await settled();
    const second = fake.store.bring(0, [2], at(0));
    await settled();
    expect(fake.fetches.open.map((f) => f.expert)).toEqual([0, 1]);
    await fake.fetches.of(0, 1).arrive();
    await settled();
    expect(fake.fetches.open.map((f) => f.expert)).toEqual([0, 2]);
    await fake.fetches.of(0, 2).arrive();
    await fake.fetches.of(0, 0).arrive();
    await Promise.all([first, second]);
    expectConsistent(fake);
  });

  it('more experts than slots is a mistake of ours, and says so', async () => {
    const fake = one(2);
    const work = fake.store.bring(0, [0, 1, 2], at(0));
    work.catch(() => undefined);
    await settled();
    for (const f of fake.fetches.open) await f.arrive();
    await expect(work).rejects.toThrow(InvariantError);
  });
});

describe('guess', () => {
  it('takes a free slot, and counts as prefetched the first time it is used', async () => {
    const fake = one(4);
    const guess = fake.store.guess(0, 3, at(0))!;
    expect(guess).not.toBeNull();
    await fake.fetches.of(0, 3).arrive();
    expect(await guess).toEqual({ tier: 'disk', bytes: 100 });
    expect(await fake.store.bring(0, [3], at(0))).toEqual([{ expert: 3, origin: 'prefetched', bytes: 0 }]);
    expect(await fake.store.bring(0, [3], at(0))).toEqual([{ expert: 3, origin: 'slot', bytes: 0 }]);
    expect(fake.store.governor.stats).toMatchObject({ issued: 1, useful: 1, wasted: 0 });
    expect(fake.store.guess(0, 3, at(0))).toBeNull(); // it is there
  });

  it('that is on its way when it is needed is waited for, not fetched again, and not dropped any more', async () => {
    const fake = one(4);
    const guess = fake.store.guess(0, 3, at(0))!;
    expect(fake.store.guess(0, 3, at(0))).toBeNull();
    const work = fake.store.bring(0, [3], at(0));
    await settled();
    fake.store.dropGuesses(0, () => false);
    await settled();
    expect(fake.fetches.all.length).toBe(1);
    await fake.fetches.of(0, 3).arrive();
    expect(await work).toEqual([{ expert: 3, origin: 'prefetched', bytes: 0 }]);
    await guess;
    expect(fake.store.governor.stats).toMatchObject({ issued: 1, useful: 1, wasted: 0 });
    expect(fake.store.use(0, 3)).toBe('slot'); // used once already
  });

  it('that nobody wants is given up, of its own layer only, and leaves a free slot', async () => {
    const fake = fakeStore([8, 8], [arenaShape([0, 1], 6)]);
    const guesses = [fake.store.guess(0, 1, at(0)), fake.store.guess(0, 2, at(0)), fake.store.guess(1, 1, at(0))];
    const demand = fake.store.bring(0, [5], at(0));
    fake.store.dropGuesses(0, (e) => e === 2);
    await settled();
    expect(fake.fetches.open.map((f) => [f.layer, f.expert])).toEqual([
      [0, 2],
      [1, 1],
      [0, 5],
    ]);
    expect(await guesses[0]).toBeNull();
    expect(fake.store.residency.isLoading(0, 1)).toBe(false);
    expect(fake.store.governor.stats.wasted).toBe(1);
    for (const f of fake.fetches.open) await f.arrive();
    await Promise.all([...guesses, demand]);
    expectConsistent(fake);
  });

  it('that was dropped is fetched again when it is needed after all', async () => {
    const fake = one(4);
    void fake.store.guess(0, 1, at(0));
    fake.store.dropGuesses(0, () => false);
    const work = fake.store.bring(0, [1], at(0));
    await settled();
    await settled();
    await fake.fetches.of(0, 1).arrive();
    expect((await work)[0]!.origin).toBe('disk');
    expectConsistent(fake);
  });

  it('that fails is no failure, and a waiting demand fetches for itself', async () => {
    const fake = one(4);
    const guess = fake.store.guess(0, 1, at(0))!;
    const work = fake.store.bring(0, [1], at(0));
    await settled();
    await fake.fetches.of(0, 1).fail(new Error('lost'));
    expect(await guess).toBeNull();
    await fake.fetches.of(0, 1).arrive();
    expect((await work)[0]!.expert).toBe(1);
    expect(fake.fetches.all.length).toBe(2);
    expectConsistent(fake);
  });

  it('takes no slot of an expert that is as popular, unless the token itself chose it', async () => {
    const policy = nextUse({ layers: 1, experts: 8 });
    const fake = fakeStore([8], [arenaShape([0], 2)], { policy });
    await brought(fake, 0, [0, 1]);
    for (let i = 0; i < 5; i++) policy.visit(0, [0, 1]);
    expect(fake.store.guess(0, 5, at(0))).toBeNull();
    expect(fake.store.guess(0, 5, at(0, { isKept: () => true }), true)).toBeNull();
    const guess = fake.store.guess(0, 5, at(0), true);
    expect(guess).not.toBeNull();
    await fake.fetches.of(0, 5).arrive();
    expect(await guess).not.toBeNull();
    expectConsistent(fake);
  });

  it('that leaves unused is a waste, and what it displaced counts when it is asked for', async () => {
    const fake = one(2);
    await brought(fake, 0, [0, 1]);
    const guess = fake.store.guess(0, 2, at(0, { isKept: (_, e) => e === 1 }), true);
    await fake.fetches.of(0, 2).arrive();
    await guess;
    const back = fake.store.bring(0, [0], at(0, { isKept: (_, e) => e === 1 }));
    await settled();
    await fake.fetches.of(0, 0).arrive();
    await back;
    expect(fake.store.governor.stats).toMatchObject({ issued: 1, useful: 0, wasted: 1, displacedDemand: 1 });
  });
});

describe('fillFree', () => {
  it('brings into a slot that nobody has, and never evicts', async () => {
    const fake = one(2);
    const work = fake.store.fillFree(0, 4);
    const again = fake.store.fillFree(0, 4); // waits for the one on its way
    await fake.fetches.of(0, 4).arrive();
    expect([await work, await again]).toEqual([true, false]);
    expect(await fake.store.fillFree(0, 4)).toBe(false);
    await brought(fake, 0, [5]);
    expect(await fake.store.fillFree(0, 6)).toBe(false);
    expect([fake.store.evictions, fake.fetches.all.length]).toEqual([0, 2]);
    expectConsistent(fake);
  });

  it('throws what the fetch threw', async () => {
    const fake = one(2);
    const work = fake.store.fillFree(0, 4);
    work.catch(() => undefined);
    await fake.fetches.of(0, 4).fail(new Error('lost'));
    await expect(work).rejects.toThrow('lost');
    expect(fake.store.residency.isLoading(0, 4)).toBe(false);
  });
});

describe('evict, settle and resize', () => {
  it('an evicted expert is out of the table at once', async () => {
    const fake = one(2);
    await brought(fake, 0, [0, 1]);
    fake.store.evict(0, 1);
    fake.store.evict(0, 7); // was not there
    expect([fake.store.slotView(0, 1), fake.store.residency.ready, fake.store.evictions]).toEqual([null, 1, 1]);
    expect(fake.store.slotView(0, 0)).toMatchObject({ offset: 0, size: 256 });
    expectConsistent(fake);
  });

  it('settle gives up guesses and waits for the rest', async () => {
    const fake = one(4);
    const demand = fake.store.bring(0, [1], at(0));
    const guess = fake.store.guess(0, 2, at(0));
    let isOver = false;
    const work = fake.store.settle().then(() => (isOver = true));
    await settled();
    expect(await guess).toBeNull();
    expect(isOver).toBe(false);
    await fake.fetches.of(0, 1).arrive();
    await Promise.all([work, demand]);
  });

  it('resize waits, empties everything, and works on in other arenas', async () => {
    const fake = fakeStore([8, 8], [arenaShape([0, 1], 6)]);
    await brought(fake, 0, [0, 1]);
    await brought(fake, 1, [0]);
    const under = fake.store.fillFree(1, 7);
    const resizing = fake.store.resize([arenaShape([0], 2), arenaShape([1], 3)]);
    await settled();
    expect(fake.homes.replaced).toBe(0); // bytes are on their way into the old arena
    await fake.fetches.of(1, 7).arrive();
    await Promise.all([under, resizing]);
    expect([fake.store.residency.ready, fake.homes.table.size]).toEqual([0, 0]);
    await brought(fake, 1, [3, 4, 5]);
    await brought(fake, 0, [0, 1]);
    await brought(fake, 0, [2]);
    expect(fake.store.residency.readyOf(1)).toBe(3);
    expectConsistent(fake);
  });

  it('resize to all is complete when all have come', async () => {
    const fake = one(2);
    await fake.store.resize([arenaShape([0], 8)]);
    await brought(fake, 0, [0, 1, 2, 3, 4, 5, 6, 7]);
    expect(fake.store.isComplete).toBe(true);
  });
});

it('tells the governor how busy the link was', async () => {
  const fake = one(4);
  fake.store.endStep(10);
  expect(fake.store.governor.stats.busyShare).toBe(0);
  const work = fake.store.bring(0, [1], at(0));
  await new Promise((resolve) => setTimeout(resolve, 20));
  fake.store.endStep(10); // while it is still loading
  expect(fake.store.governor.stats.busyShare).toBeCloseTo(0.5, 1);
  await fake.fetches.of(0, 1).arrive();
  await work;
});

describe('whatever happens', () => {
  it('K + 1 slots never lock up, with guesses, aborts and failures in any order', async () => {
    const K = 3;
    const layers = 4;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 - 1 }), async (seed) => {
        const u = prng(seed);
        const below = (n: number): number => Math.floor(u() * n);
        const fake = fakeStore(Array<number>(layers).fill(8), [arenaShape([0, 1, 2, 3], K + 1)], {
          turns: () => below(3),
        });
        const fills: Promise<unknown>[] = []; // one that waited for another's fetch may begin its own after `settle`
        for (let token = 0; token < 6; token++) {
          for (let layer = 0; layer < layers; layer++) {
            const experts = [...new Set(Array.from({ length: K }, () => below(8)))];
            fake.store.dropGuesses(layer, (e) => experts.includes(e));
            const abort = new AbortController();
            const isAborted = below(8) === 0;
            const work = fake.store.bring(layer, experts, at(layer, { signal: abort.signal }));
            const fails = below(8) === 0;
            if (fails) void fake.fetches.open[0]?.fail(new Error('lost'));
            if (isAborted) abort.abort(new Error('stop'));
            const result = await work.catch((error: unknown) => error as Error);
            if (result instanceof Error) expect(['lost', 'stop']).toContain(result.message);
            else {
              expect(result.map((b) => b.expert)).toEqual(experts);
              for (const e of experts) expect(fake.store.residency.has(layer, e)).toBe(true);
            }
            expectConsistent(fake);
            const inUse = (l: number, e: number): boolean => l === layer && experts.includes(e);
            for (let g = 0; g < below(4); g++)
              void fake.store.guess((layer + 1) % layers, below(8), at(layer, { isKept: inUse }), below(2) === 0);
            if (below(4) === 0) fills.push(fake.store.fillFree(below(layers), below(8)).catch(() => undefined));
          }
        }
        await Promise.all(fills);
        await fake.store.settle();
        expect(fake.fetches.open).toEqual([]);
        expectConsistent(fake);
      }),
      { numRuns: tries(60) },
    );
  });
});
