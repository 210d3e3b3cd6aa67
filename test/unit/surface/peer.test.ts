/** Requests over a port: calls, streams with back-pressure, aborts, early leaves, and what becomes of all when the other side dies. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidRequest, OutOfBudget, WorkerLost } from '../../../src/errors.ts';
import type { Handlers } from '../../../src/surface/connection.ts';
import { Direct } from '../../../src/surface/direct.ts';
import { Peer } from '../../../src/surface/port/peer.ts';
import { prng } from '../../../src/util/prng.ts';
import { fakePorts, type FakePorts } from '../../support/fake-port.ts';

const NOTHING: Handlers = { calls: {}, streams: {} };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const quiet = async (): Promise<void> => {
  for (let t = 0; t < 50; t++) await turn();
};

interface Log {
  made: number;
  ended: number;
}

/** Numbers up to a limit; `log` tells how many were made, and that the generator came to its end. */
const counting = (log: Log): Handlers => ({
  calls: {
    add: ([a, b]) => (a as number) + (b as number),
    refuse: () => {
      throw new OutOfBudget('too much', { bytes: 5 });
    },
    wait: (_args, { signal, emit }) =>
      new Promise((_resolve, reject) => {
        emit('waiting');
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      }),
    buffer: () => new Float32Array([1, 2, 3]),
  },
  streams: {
    async *count([limit], { signal }) {
      try {
        for (let i = 0; i < (limit as number); i++) {
          await turn();
          if (signal.aborted) return `aborted: ${String(signal.reason)}`;
          log.made++;
          yield i;
        }
        return `all ${String(limit)}`;
      } finally {
        log.ended++;
      }
    },
  },
  transfers: new Set(['buffer']),
});

function pair(delay?: () => number): { page: Peer; worker: Peer; log: Log; ports: FakePorts } {
  const ports = fakePorts(delay);
  const log = { made: 0, ended: 0 };
  return { page: new Peer(ports.ends[0], NOTHING), worker: new Peer(ports.ends[1], counting(log)), log, ports };
}

describe('calls', () => {
  it('are answered, refused with the class of the error, and told of events', async () => {
    const { page } = pair();
    expect(await page.call('add', [2, 3])).toBe(5);
    await expect(page.call('refuse', [])).rejects.toBeInstanceOf(OutOfBudget);
    await expect(page.call('no such', [])).rejects.toThrow('nothing answers');
    expect(await page.call('buffer', [])).toEqual(new Float32Array([1, 2, 3]));
    expect(page.openRequests).toBe(0);
  });

  it('an abort crosses, and comes back as the very reason', async () => {
    const { page } = pair();
    const controller = new AbortController();
    const reason = new Error('mine');
    const events: unknown[] = [];
    const call = page.call('wait', [], { signal: controller.signal, onEvent: (event) => events.push(event) });
    await quiet();
    controller.abort(reason);
    await expect(call).rejects.toBe(reason);
    expect(events).toEqual(['waiting']);
  });

  it('a request that is aborted already starts aborted, with the very reason', async () => {
    const { page, log } = pair();
    const signal = AbortSignal.abort('at once');
    expect(await page.stream('count', [5], { signal }).next()).toEqual({ value: 'aborted: at once', done: true });
    expect(log.made).toBe(0);
  });

  it('what cannot be cloned is an InvalidRequest, and nothing stays open', async () => {
    const { page } = pair();
    await expect(page.call('add', [() => 1])).rejects.toBeInstanceOf(InvalidRequest);
    expect(page.openRequests).toBe(0);
  });

  it('both ends may ask', async () => {
    const [a, b] = fakePorts().ends;
    const [left] = [new Peer(a, counting({ made: 0, ended: 0 })), new Peer(b, counting({ made: 0, ended: 0 }))];
    expect(await left.call('add', [1, 1])).toBe(2);
  });
});

describe('streams', () => {
  it.each([0, 1, 3])('with %i items ahead make no more than that before they are asked', async (ahead) => {
    const { page, log } = pair();
    const items = page.stream('count', [20], { ahead });
    await quiet();
    expect(log.made).toBe(0); // nothing starts before it is read
    for (let taken = 1; taken <= 5; taken++) {
      await items.next();
      await quiet();
      expect(log.made).toBe(taken + ahead);
    }
  });

  it('a loop that is left ends the other side before it goes on', async () => {
    const { page, log } = pair();
    for await (const item of page.stream('count', [20])) if (item === 2) break;
    expect(log).toEqual({ made: 3, ended: 1 });
    expect(page.openRequests).toBe(0);
  });

  it('an abort while it waits for its reader is seen when the reader goes on', async () => {
    const { page, log } = pair();
    const controller = new AbortController();
    const items = page.stream('count', [20], { signal: controller.signal });
    await items.next();
    controller.abort('enough');
    await quiet();
    expect(log.ended).toBe(0);
    expect(await items.next()).toEqual({ value: 'aborted: enough', done: true });
  });
});

describe('the other side dies', () => {
  it('rejects whatever is open, and whatever is asked later', async () => {
    const { page, ports } = pair();
    const lost = new WorkerLost('gone');
    const call = page.call('wait', []);
    const items = page.stream('count', [20]);
    await items.next();
    ports.cut();
    const next = items.next();
    page.close(lost);
    await expect(call).rejects.toBe(lost);
    await expect(next).rejects.toBe(lost);
    await expect(page.call('add', [1, 2])).rejects.toBe(lost);
    await expect(page.stream('count', [1]).next()).rejects.toBe(lost);
    expect(page.openRequests).toBe(0);
  });

  it('a loop that is left then ends at once', async () => {
    const { page, ports } = pair();
    const items = page.stream('count', [20]);
    await items.next();
    ports.cut();
    page.close(new WorkerLost('gone'));
    expect(await items.return(undefined)).toEqual({ value: undefined, done: true });
  });

  it('what runs for a page that is gone is stopped', async () => {
    const { page, worker, log } = pair();
    const items = page.stream('count', [20]);
    await items.next();
    worker.close(new WorkerLost('the page is gone'));
    await quiet();
    expect(log.ended).toBe(1);
  });
});

/** What a reader does with a stream of `limit` items, and after how many. */
interface Reading {
  readonly limit: number;
  readonly ahead: number;
  readonly until: number;
  readonly end: 'leave' | 'abort' | 'all';
}

async function read(connection: Pick<Peer, 'stream'>, { limit, ahead, until, end }: Reading): Promise<unknown[]> {
  const controller = new AbortController();
  const seen: unknown[] = [];
  const items = connection.stream('count', [limit], { signal: controller.signal, ahead });
  for (;;) {
    const { value, done } = await items.next();
    seen.push(value);
    if (done) return seen;
    if (seen.length === until && end === 'abort') controller.abort('enough');
    if (seen.length === until && end === 'leave') {
      await items.return(undefined);
      return seen;
    }
  }
}

const readings = fc.array(
  fc.record<Reading>({
    limit: fc.integer({ min: 0, max: 8 }),
    ahead: fc.integer({ min: 0, max: 3 }),
    until: fc.integer({ min: 1, max: 8 }),
    end: fc.constantFrom('leave', 'abort', 'all'),
  }),
  { minLength: 1, maxLength: 6 },
);

describe('whatever the delays', () => {
  it('many readers at once see what they see without a port', async () => {
    await fc.assert(
      fc.asyncProperty(readings, fc.integer(), async (all, seed) => {
        const random = prng(seed);
        const { page, worker, log } = pair(() => Math.floor(random() * 4));
        const here = new Direct(counting({ made: 0, ended: 0 }), () => undefined);
        const exact = all.map((reading) => (reading.end === 'abort' ? { ...reading, ahead: 0 } : reading));
        const [far, near] = await Promise.all(
          [page, here].map((connection) => Promise.all(exact.map((reading) => read(connection as Peer, reading)))),
        );
        expect(far).toEqual(near);
        expect([page.openRequests, worker.openRequests]).toEqual([0, 0]);
        expect(log.ended).toBe(all.length);
      }),
      { numRuns: 100 },
    );
  });

  it('a death at any message ends every reader, with its items or the error', async () => {
    await fc.assert(
      fc.asyncProperty(readings, fc.integer(), fc.integer({ min: 0, max: 40 }), async (all, seed, turns) => {
        const random = prng(seed);
        const { page, ports } = pair(() => Math.floor(random() * 4));
        const lost = new WorkerLost('gone');
        const ends = all.map((reading) =>
          read(page, reading).then(
            () => 'items',
            (error: unknown) => error,
          ),
        );
        for (let t = 0; t < turns; t++) await turn();
        ports.cut();
        page.close(lost);
        for (const end of await Promise.all(ends)) expect(end === 'items' || end === lost).toBe(true);
        expect(page.openRequests).toBe(0);
      }),
      { numRuns: 100 },
    );
  });
});

it('what changes goes with the next answer, once', async () => {
  const [a, b] = fakePorts().ends;
  let change: unknown = { plan: 1 };
  const page = new Peer(a, NOTHING);
  const changes = (): unknown => {
    const now = change;
    change = undefined;
    return now;
  };
  const peer = new Peer(b, counting({ made: 0, ended: 0 }), { changes });
  expect(page.note).toBeUndefined();
  await page.call('add', [1, 2]);
  expect(page.note).toEqual({ plan: 1 });
  await page.call('refuse', []).catch(() => undefined);
  expect(page.note).toEqual({ plan: 1 });
  change = { plan: 2 };
  await page.call('refuse', []).catch(() => undefined);
  expect(page.note).toEqual({ plan: 2 });
  peer.close(new WorkerLost('done'));
});
