/** The collector over a fake store and a fake disk. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Collector } from '../../../src/engine/collector.ts';
import type { DenseRecords } from '../../../src/engine/dense-records.ts';
import type { ExpertsSpec } from '../../../src/engine/describe/specs.ts';
import { ExpertMonitor } from '../../../src/engine/expert-monitor.ts';
import type { ExpertFetcher } from '../../../src/engine/fetch.ts';
import type { Plan } from '../../../src/engine/plan.ts';
import { SourceError } from '../../../src/errors.ts';
import { lru } from '../../../src/policy/lru.ts';
import { arenaShape, fakeStore, type FakeStore } from '../../support/fake-store.ts';

const EXPERTS = 4;
const LAYERS = 2;

/** A disk that holds so many experts. Keeps what it is given at once. */
class FakeFetcher {
  readonly kept = new Set<string>();
  /** `keep`: from a slot; `fetch`: from the checkpoint, for the disk alone. */
  readonly log: string[] = [];
  readonly room: number;
  failures: Error[] = [];
  /** Called before each fetch for the disk. */
  onCollect: () => void | Promise<void> = () => undefined;

  constructor(room: number) {
    this.room = room;
  }

  get asFetcher(): ExpertFetcher {
    return this as unknown as ExpertFetcher;
  }

  isKept(layer: number, expert: number): boolean {
    return this.kept.has(`${layer} ${expert}`);
  }

  mayKeep(): boolean {
    return this.kept.size < this.room;
  }

  async collect(layer: number, expert: number, slotNow: () => unknown, signal?: AbortSignal): Promise<boolean> {
    const isHere = slotNow() !== null;
    this.log.push(`${isHere ? 'keep' : 'fetch'} ${layer} ${expert}`);
    if (!isHere) {
      await this.onCollect();
      signal?.throwIfAborted();
      const failure = this.failures.shift();
      if (failure) throw failure;
    }
    if (!this.mayKeep()) return false;
    this.kept.add(`${layer} ${expert}`);
    return true;
  }
}

interface Made {
  readonly fake: FakeStore;
  readonly fetcher: FakeFetcher;
  readonly monitor: ExpertMonitor;
  readonly collector: Collector;
}

function make({
  slots = 3,
  room = Infinity,
  dense = null,
}: { slots?: number; room?: number; dense?: DenseRecords | null } = {}): Made {
  const policy = lru({ layers: LAYERS, experts: EXPERTS });
  policy.visit(1, [2]);
  policy.visit(0, [3]); // the most popular: used last
  const fake = fakeStore([EXPERTS, EXPERTS], [arenaShape([0, 1], slots)], { turns: () => 0, policy });
  const fetcher = new FakeFetcher(room);
  const monitor = new ExpertMonitor(
    fake.store,
    { verdict: 'streams', slots: { count: slots, experts: 8, minimum: 3, bytesEach: 256 } } as Plan,
    { kind: 'path', note: null },
  );
  const experts = Array.from({ length: LAYERS }, () => ({ count: EXPERTS, storedBytes: 400 }) as ExpertsSpec);
  const collector = new Collector({ store: fake.store, fetcher: fetcher.asFetcher, experts, dense, monitor });
  return { fake, fetcher, monitor, collector };
}

const names = (made: Made): string[] => made.fake.fetches.all.map((f) => `${f.layer} ${f.expert}`);

describe('Collector', () => {
  it('brings the popular ones into free slots, then as the model is; all others only to the disk, and evicts nobody', async () => {
    const made = make();
    made.collector.start();
    await made.collector.done;
    expect(names(made)).toEqual(['0 3', '1 2', '0 0']);
    expect(made.fetcher.log).toEqual([
      'keep 0 3',
      'keep 1 2',
      'keep 0 0',
      ...['0 1', '0 2', '1 0', '1 1', '1 3'].map((x) => `fetch ${x}`),
    ]);
    expect(made.fetcher.kept.size).toBe(8);
    expect(made.fake.store.evictions).toBe(0);
    expect(made.fake.store.residency.ready).toBe(3);
    expect(made.monitor.download).toBeNull();
    expect(made.monitor.storage.note).toBeNull();
  });

  it('leaves alone what is here and kept', async () => {
    const made = make();
    for (const key of ['0 3', '0 1', '1 0']) made.fetcher.kept.add(key);
    await made.fake.store.bring(0, [3], { atLayer: 0, isKept: () => false });
    made.collector.start();
    await made.collector.done;
    expect(names(made)).toEqual(['0 3', '1 2', '0 0']); // the first by `bring`
    expect(made.fetcher.log).toEqual(['keep 1 2', 'keep 0 0', 'fetch 0 2', 'fetch 1 1', 'fetch 1 3']);
  });

  it('fetches nothing that the disk would not keep', async () => {
    const made = make({ room: 4 });
    made.collector.start();
    await made.collector.done;
    expect(made.fetcher.log).toEqual(['keep 0 3', 'keep 1 2', 'keep 0 0', 'fetch 0 1']);
    expect(made.fetcher.kept.size).toBe(4);
  });

  it('fills free slots even when there is no disk', async () => {
    const made = make({ room: 0 });
    made.collector.start();
    await made.collector.done;
    expect(names(made)).toEqual(['0 3', '1 2', '0 0']);
    expect(made.fetcher.log).toEqual([]);
  });

  it('keeps everything outside the experts first', async () => {
    const order: string[] = [];
    const dense = { keepMissing: async () => order.push('dense') } as unknown as DenseRecords;
    const made = make({ dense });
    made.fetcher.onCollect = () => void order.push('expert');
    made.collector.start();
    await made.collector.done;
    expect(order.slice(0, 2)).toEqual(['dense', 'expert']);
  });

  it('says how far it is', async () => {
    const made = make();
    const seen: unknown[] = [];
    made.fetcher.onCollect = () => void seen.push(made.monitor.download);
    made.collector.start();
    await made.collector.done;
    expect(seen).toEqual([300, 400, 500, 600, 700].map((loadedBytes) => ({ loadedBytes, totalBytes: 800 })));
  });

  it('stops when told, and has let go then', async () => {
    const made = make();
    let arrived: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => (arrived = resolve));
    let go: () => void = () => undefined;
    made.fetcher.onCollect = () => {
      arrived();
      return new Promise<void>((resolve) => (go = resolve));
    };
    made.collector.start();
    await reached;
    let isStopped = false;
    const stopping = made.collector.stop().then(() => (isStopped = true));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(isStopped).toBe(false);
    go();
    await stopping;
    expect(made.fetcher.log.filter((l) => l.startsWith('fetch'))).toEqual(['fetch 0 1']);
    expect(made.monitor.storage.note).toBeNull(); // stopping is no failure
  });
});

describe('a collector whose fetches fail', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());
  const lost = (): SourceError => new SourceError('connection lost', {});

  it('tries again after a while, the same expert', async () => {
    const made = make({ slots: 0 });
    made.fetcher.failures = [lost(), lost()];
    made.collector.start();
    await vi.advanceTimersByTimeAsync(4999);
    expect(made.fetcher.log).toEqual(['fetch 0 3']);
    await vi.advanceTimersByTimeAsync(1);
    expect(made.fetcher.log).toEqual(['fetch 0 3', 'fetch 0 3']);
    await vi.advanceTimersByTimeAsync(5000);
    await made.collector.done;
    expect(made.fetcher.kept.size).toBe(8);
    expect(made.monitor.storage.note).toBeNull();
  });

  it('gives up after five failures in a row, and says why', async () => {
    const made = make({ slots: 0 });
    made.fetcher.failures = Array.from({ length: 9 }, lost);
    made.collector.start();
    await vi.advanceTimersByTimeAsync(60_000);
    await made.collector.done;
    expect(made.fetcher.log).toEqual(Array(5).fill('fetch 0 3'));
    expect(made.monitor.storage.note).toBe('The rest is fetched when it is needed: connection lost');
    expect(made.monitor.download).toBeNull();
  });

  it('counts failures of one expert only', async () => {
    const made = make({ slots: 0 });
    let count = 0;
    made.fetcher.onCollect = () => {
      if (count++ % 2 === 0) throw lost();
    };
    made.collector.start();
    await vi.advanceTimersByTimeAsync(100_000);
    await made.collector.done;
    expect(made.fetcher.kept.size).toBe(8);
  });

  it('does not repeat what no repetition can mend', async () => {
    const made = make({ slots: 0 });
    made.fetcher.failures = [new Error('the GPU is gone')];
    made.collector.start();
    await vi.advanceTimersByTimeAsync(60_000);
    await made.collector.done;
    expect(made.fetcher.log).toEqual(['fetch 0 3']);
    expect(made.monitor.storage.note).toContain('the GPU is gone');
  });

  it('stops while it waits', async () => {
    const made = make({ slots: 0 });
    made.fetcher.failures = [lost()];
    made.collector.start();
    await vi.advanceTimersByTimeAsync(100);
    await made.collector.stop();
    expect(made.fetcher.log).toEqual(['fetch 0 3']);
    expect(vi.getTimerCount()).toBe(0);
    expect(made.monitor.storage.note).toBeNull();
  });
});
