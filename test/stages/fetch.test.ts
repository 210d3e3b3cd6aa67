/** Filling slots: from a record when there is a good one, else from the checkpoint, which is then kept. */
import { describe, expect, it } from 'vitest';
import type { ExpertsSpec } from '../../src/engine/describe/specs.ts';
import { expertFiles, ExpertFetcher } from '../../src/engine/fetch.ts';
import type { Uploader } from '../../src/engine/upload.ts';
import { subview, wholeBuffer, type BufferView } from '../../src/gpu/buffer.ts';
import type { RecordCache } from '../../src/weights/records/cache.ts';
import { memoryFolder } from '../../src/weights/records/memory-folder.ts';
import { openRecordCache } from '../../src/weights/records/open-cache.ts';
import { openModelGpu } from '../support/gpu.ts';
import { identity } from '../unit/weights/records/support.ts';

const gpu = await openModelGpu();
const SLOT = 1024;
const EXPERTS = 4;
const spec = { slot: { bytes: SLOT }, count: EXPERTS, storedBytes: 4000 } as ExpertsSpec;

interface Made {
  readonly fetcher: ExpertFetcher;
  readonly cache: RecordCache;
  readonly slots: BufferView;
  /** Experts that were read from the checkpoint. */
  readonly read: number[];
}

/** Expert e is bytes of e + 1. */
async function make(diskBytes?: number): Promise<Made> {
  const cache = await openRecordCache(memoryFolder(), identity, expertFiles([spec]), { diskBytes });
  const read: number[] = [];
  const uploader = {
    expert: async (_: ExpertsSpec, e: number, home: BufferView, signal?: AbortSignal): Promise<void> => {
      read.push(e);
      await Promise.resolve();
      signal?.throwIfAborted();
      gpu.write(home, new Uint8Array(SLOT).fill(e + 1));
    },
  } as unknown as Uploader;
  const fetcher = new ExpertFetcher({
    gpu,
    uploader,
    experts: [spec],
    origin: 'network',
    cache: { records: cache, tier: 'disk' },
  });
  return { fetcher, cache, slots: wholeBuffer(gpu.createBuffer('slots', 'experts', 2 * SLOT)), read };
}
const slotOf = ({ slots }: Made, i: number): BufferView => subview(slots, i * SLOT, SLOT);
const content = async (view: BufferView): Promise<number[]> => [...new Set(new Uint8Array(await gpu.read(view)))];
const record = (e: number): Uint8Array => new Uint8Array(SLOT).fill(e + 1);
const FILE = expertFiles([spec])[0]!.name;

describe('fill', () => {
  it('comes from the record when there is one', async () => {
    const made = await make();
    await made.cache.write(FILE, 2, record(2));
    expect(await made.fetcher.fill(0, 2, slotOf(made, 1))).toEqual({ tier: 'disk', bytes: SLOT });
    expect(await content(slotOf(made, 1))).toEqual([3]);
    expect(made.read).toEqual([]);
  });

  it('else from the checkpoint, and is kept as it was, whatever comes into the slot next', async () => {
    const made = await make();
    expect(await made.fetcher.fill(0, 1, slotOf(made, 0))).toEqual({ tier: 'network', bytes: 1000 });
    gpu.write(slotOf(made, 0), new Uint8Array(SLOT).fill(77)); // at once
    await made.fetcher.collect(0, 1, () => slotOf(made, 0));
    const kept = new Uint8Array(SLOT);
    expect(await made.cache.read(FILE, 1, kept)).toBe(true);
    expect([...new Set(kept)]).toEqual([2]);
  });

  it('a damaged record falls back to the checkpoint', async () => {
    const made = await make();
    await made.cache.write(FILE, 2, record(2));
    const inner = made.cache.read.bind(made.cache);
    let reads = 0;
    made.cache.read = async (file, index, into) => {
      reads++;
      await inner(file, index, into);
      into.fill(0xee); // as damage looks: bytes, and no
      return false;
    };
    expect((await made.fetcher.fill(0, 2, slotOf(made, 0))).tier).toBe('network');
    expect(await content(slotOf(made, 0))).toEqual([3]);
    expect([reads, made.read]).toEqual([1, [2]]);
    // The ring got its buffer back each time: more fills than it has.
    for (let i = 0; i < 10; i++) await made.fetcher.fill(0, 2, slotOf(made, 0));
  });

  it('an abort writes nothing, and gives the buffer back', async () => {
    const made = await make();
    await made.cache.write(FILE, 2, record(2));
    const inner = made.cache.read.bind(made.cache);
    for (let i = 0; i < 10; i++) {
      const abort = new AbortController();
      made.cache.read = async (...args) => {
        const isThere = await inner(...args);
        abort.abort(new Error('stop'));
        return isThere;
      };
      await expect(made.fetcher.fill(0, 2, slotOf(made, 0), abort.signal)).rejects.toThrow('stop');
    }
    expect(await content(slotOf(made, 0))).toEqual([0]);
    expect(made.read).toEqual([]);
  });
});

describe('keep', () => {
  it('does nothing while another one is kept; in its turn, it does', async () => {
    const made = await make();
    gpu.write(slotOf(made, 0), record(0));
    gpu.write(slotOf(made, 1), record(1));
    const first = made.fetcher.keep(0, 0, slotOf(made, 0));
    await made.fetcher.keep(0, 1, slotOf(made, 1));
    expect([made.fetcher.isKept(0, 0), made.fetcher.isKept(0, 1)]).toEqual([false, false]);
    const second = made.fetcher.collect(0, 1, () => slotOf(made, 1));
    expect(await Promise.all([first, second])).toEqual([undefined, true]);
    expect([made.fetcher.isKept(0, 0), made.fetcher.isKept(0, 1)]).toEqual([true, true]);
    expect(await made.fetcher.collect(0, 2, () => null)).toBe(true); // it left meanwhile, and is fetched
  });

  it('reads nothing back that the disk has no room for', async () => {
    const made = await make(2 * 4096);
    for (const e of [0, 1, 2, 3]) await made.fetcher.collect(0, e, () => null);
    expect([0, 1, 2, 3].map((e) => made.fetcher.isKept(0, e))).toEqual([true, true, false, false]);
    expect(made.fetcher.mayKeep(0)).toBe(false);
    const { readbacks } = gpu.counters;
    await made.fetcher.keep(0, 3, slotOf(made, 0));
    expect(gpu.counters.readbacks).toBe(readbacks);
    expect(made.cache.note).toMatch(/disk that the model may take are full/);
  });

  it('collects for the disk alone, right after a fill that is still being kept', async () => {
    const made = await make();
    await made.fetcher.fill(0, 0, slotOf(made, 0));
    await made.fetcher.collect(0, 3, () => null);
    expect([0, 1, 2, 3].map((e) => made.fetcher.isKept(0, e))).toEqual([true, false, false, true]);
    expect(await content(slotOf(made, 0))).toEqual([1]);
    const kept = new Uint8Array(SLOT);
    await made.cache.read(FILE, 3, kept);
    expect([...new Set(kept)]).toEqual([4]);
  });
});
