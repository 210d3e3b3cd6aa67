import { describe, expect, test, vi } from 'vitest';
import { localLock, type RecordLease, type RecordLock } from '../../../../src/weights/records/lock.ts';
import { memoryFolder } from '../../../../src/weights/records/memory-folder.ts';
import { modelFolderName } from '../../../../src/weights/records/identity.ts';
import { openRecordCache } from '../../../../src/weights/records/open-cache.ts';
import { openSharedRecords, type SharedRecords } from '../../../../src/weights/records/shared-records.ts';
import { modelStorage } from '../../../../src/weights/records/storage.ts';
import { ALL, everyRecord, identity, recordOf, specs, TOTAL } from './support.ts';

const ID = modelFolderName(identity);

/** One site's storage and locks; each tab can be killed, which frees its locks and nothing else. */
function site(): { root: ReturnType<typeof memoryFolder>; lock: RecordLock; tab(): Tab } {
  const root = memoryFolder();
  const lock = localLock();
  return { root, lock, tab: () => new Tab(root, lock) };
}

class Tab {
  readonly #root: ReturnType<typeof memoryFolder>;
  readonly #lock: RecordLock;
  readonly #leases: RecordLease[] = [];
  readonly told: [number, number][] = [];
  readonly leaving = new AbortController();

  constructor(root: ReturnType<typeof memoryFolder>, lock: RecordLock) {
    this.#root = root;
    this.#lock = lock;
  }

  open(): Promise<SharedRecords> {
    const keep = <T extends RecordLease | null>(lease: T): T => {
      if (lease) this.#leases.push(lease);
      return lease;
    };
    const lock: RecordLock = {
      acquire: async (id) => keep(await this.#lock.acquire(id)),
      queue: async (id, signal) => keep(await this.#lock.queue!(id, signal)),
      isHeld: (id) => this.#lock.isHeld(id),
    };
    return openSharedRecords(this.#root, identity, specs, {
      lock,
      signal: this.leaving.signal,
      onWait: (present, total) => void this.told.push([present, total]),
    });
  }

  async kill(): Promise<void> {
    for (const lease of this.#leases) await lease.release();
  }
}

const write = async (records: SharedRecords, some = everyRecord()): Promise<void> => {
  for (const { file, index } of some) expect(await records.write(file, index, recordOf(file, index))).toBe(true);
};
async function readable(records: SharedRecords): Promise<number> {
  let right = 0;
  for (const { file, index } of everyRecord()) {
    const wanted = recordOf(file, index);
    const into = new Uint8Array(wanted.length);
    if (!(await records.read(file, index, into))) continue;
    expect(Buffer.compare(into, wanted)).toBe(0);
    right++;
  }
  return right;
}
const settled = async (work: Promise<unknown>): Promise<boolean> => {
  let isOver = false;
  work.then(
    () => (isOver = true),
    () => (isOver = true),
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  return isOver;
};

describe('several tabs with one model', () => {
  test('one gets it, the others wait for that, and read it all', async () => {
    const { tab } = site();
    const first = await tab().open();
    const waiting = [tab(), tab()];
    const opening = waiting.map((t) => t.open());
    await write(first);
    expect(await settled(Promise.race(opening))).toBe(false);
    await first.filled();
    for (const records of await Promise.all(opening)) {
      expect([records.isComplete, records.presentBytes, records.totalBytes, records.note]).toEqual([
        true,
        TOTAL,
        TOTAL,
        null,
      ]);
      expect(await readable(records)).toBe(ALL);
      expect(records.hasRoom('dense')).toBe(false);
      expect(await records.write('dense', 0, Uint8Array.of(1))).toBe(false);
    }
    expect(await readable(first)).toBe(ALL);
  });

  test('those who wait are told how much is on disk', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const { tab } = site();
      const first = await tab().open();
      await write(first);
      await first.sync();
      const other = tab();
      const opening = other.open();
      await settled(opening);
      expect(other.told).toEqual([[0, 0]]);
      vi.advanceTimersByTime(500);
      await settled(opening);
      expect(other.told.at(-1)).toEqual([TOTAL, TOTAL]);
      await first.filled();
      await opening;
    } finally {
      vi.useRealTimers();
    }
  });

  test('one that is killed in the middle is followed by one that waits: it has what was safe, and keeps the rest', async () => {
    const { tab } = site();
    const killed = tab();
    const first = await killed.open();
    const some = everyRecord().slice(0, 3);
    await write(first, some);
    await first.sync();
    const [second, third] = [tab().open(), tab().open()];
    await killed.kill();
    const heir = await second;
    expect(await readable(heir)).toBe(some.length);
    expect(await settled(third)).toBe(false);
    await write(heir);
    await heir.filled();
    expect(await readable(await third)).toBe(ALL);
  });

  test('whoever reads takes over when the keeper goes, and the model is in use all the while', async () => {
    const { root, lock, tab } = site();
    const first = await tab().open();
    await write(first, everyRecord().slice(0, 3));
    await first.filled();
    const second = await tab().open();
    expect(second.note).toMatch(/^Another tab keeps this model, and not all of it/);
    expect(await readable(second)).toBe(3);
    await first.close();
    await vi.waitFor(() => expect(second.hasRoom('dense')).toBe(true));
    expect((await modelStorage(root, lock).list())[0]).toMatchObject({ inUse: true });
    await expect(modelStorage(root, lock).remove(ID)).rejects.toThrow(/in use/);
    await write(second);
    expect(await readable(second)).toBe(ALL);
    await second.close();
    expect([await lock.isHeld(ID), await lock.isHeld(`${ID}/filling`)]).toEqual([false, false]);
    const again = await openRecordCache(root, identity, specs, { lock });
    expect(again.isComplete).toBe(true);
  });

  test('one that leaves while it waits holds up nobody', async () => {
    const { lock, tab } = site();
    const first = await tab().open();
    const leaver = tab();
    const [left, stays] = [leaver.open(), tab().open()];
    left.catch(() => undefined);
    await settled(left);
    const reason = new Error('the visitor left');
    leaver.leaving.abort(reason);
    await expect(left).rejects.toBe(reason);
    await first.close();
    const heir = await stays;
    await write(heir);
    await heir.close();
    expect(await lock.isHeld(`${ID}/filling`)).toBe(false);
  });

  test('a record that the keeper has put elsewhere is found there; one that is gone is absent', async () => {
    const { tab } = site();
    const first = await tab().open();
    await write(first);
    await first.filled();
    const second = await tab().open();
    const { file, index } = everyRecord()[0]!;
    const changed = recordOf(file, index).map((byte) => byte ^ 1);
    expect(await first.write(file, index, changed)).toBe(true); // in the place of the old one, by now
    await first.sync();
    const into = new Uint8Array(changed.length);
    expect([await second.read(file, index, into), into]).toEqual([true, changed]);
    expect(await second.read(file, index, new Uint8Array(changed.length + 1))).toBe(false);
    await second.close();
    expect(await second.read(file, index, into)).toBe(false);
  });
});
