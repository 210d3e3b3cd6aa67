/** Weights outside the experts, kept as records: what comes back is what was there, whatever of it is missing or damaged. */
import { describe, expect, it } from 'vitest';
import { DENSE_RECORD_BYTES, denseFile, DenseRecords } from '../../src/engine/dense-records.ts';
import { wholeBuffer, type BufferView } from '../../src/gpu/buffer.ts';
import { memoryFolder } from '../../src/weights/records/memory-folder.ts';
import { openRecordCache } from '../../src/weights/records/open-cache.ts';
import type { RecordCache } from '../../src/weights/records/cache.ts';
import type { RecordFolder } from '../../src/weights/records/folder.ts';
import { openModelGpu } from '../support/gpu.ts';
import { prng } from '../../src/util/prng.ts';
import { identity } from '../unit/weights/records/support.ts';

const gpu = await openModelGpu();
const R = DENSE_RECORD_BYTES;

/** Small ones, one that ends with a record, one over three records, and a rest. */
const SIZES = [256, 4, R - 260, 2 * R + 1024, 512, 16];
const TOTAL = SIZES.reduce((a, b) => a + b, 0);
const RECORDS = 4;

function contents(): Uint8Array<ArrayBuffer>[] {
  const u = prng(3);
  return SIZES.map((bytes) => {
    const words = new Uint32Array(bytes / 4);
    for (let i = 0; i < words.length; i++) words[i] = u() * 2 ** 32;
    return new Uint8Array(words.buffer);
  });
}
const WANTED = contents();
const newBuffers = (): BufferView[] => SIZES.map((bytes) => wholeBuffer(gpu.createBuffer('dense', 'weights', bytes)));
const open = (root: RecordFolder, diskBytes?: number): Promise<RecordCache> =>
  openRecordCache(root, identity, [denseFile(TOTAL)], { diskBytes });

async function expectContents(views: readonly BufferView[]): Promise<void> {
  for (const [i, view] of views.entries())
    expect(Buffer.compare(new Uint8Array(await gpu.read(view)), WANTED[i]!), `buffer ${i}`).toBe(0);
}

/** Loads as the uploader does. @returns which buffers were restored */
async function load(dense: DenseRecords): Promise<{ views: BufferView[]; restored: boolean[] }> {
  const views = newBuffers();
  const restored: boolean[] = [];
  for (const [i, view] of views.entries()) {
    restored.push(await dense.restore(view));
    if (!restored[i]) gpu.write(view, WANTED[i]!);
  }
  return { views, restored };
}

async function session(
  root: RecordFolder,
  use: (dense: DenseRecords, cache: RecordCache) => Promise<void>,
  diskBytes?: number,
): Promise<void> {
  const cache = await open(root, diskBytes);
  const dense = new DenseRecords(gpu, cache, TOTAL);
  try {
    await use(dense, cache);
  } finally {
    dense.dispose();
    await cache.close();
  }
}

/** Flips a bit in the middle of a record on the disk. */
async function damage(root: RecordFolder, record: number): Promise<void> {
  const [name] = await root.folders();
  const file = (await (await root.folder(name!)).open('dense.records'))!;
  const byte = new Uint8Array(1);
  const at = record * R + 1000;
  await file.read(byte, at);
  byte[0]! ^= 16;
  await file.write(byte, at);
  await file.close();
}

describe('DenseRecords', () => {
  it('keeps what was loaded, and the next session restores it all', async () => {
    const root = memoryFolder();
    await session(root, async (dense, cache) => {
      const { restored } = await load(dense);
      expect(restored).toEqual(SIZES.map(() => false));
      expect(await dense.keepMissing()).toBe(true);
      expect(cache.isComplete).toBe(true);
    });
    await session(root, async (dense) => {
      const { views, restored } = await load(dense);
      expect(restored).toEqual(SIZES.map(() => true));
      await expectContents(views);
    });
  });

  it('a damaged record costs the buffers that it has a part of; it is mended, and only it is written', async () => {
    for (const record of [0, 1, 2, 3]) {
      const root = memoryFolder();
      await session(root, async (dense) => {
        await load(dense);
        await dense.keepMissing();
      });
      await damage(root, record);
      let at = 0;
      const touched = SIZES.map((bytes) => {
        const [begin, end] = [at, (at += bytes)];
        return begin < (record + 1) * R && end > record * R;
      });
      await session(root, async (dense, cache) => {
        const { views, restored } = await load(dense);
        expect(restored).toEqual(touched.map((t) => !t));
        expect(cache.damaged).toBe(1);
        await expectContents(views);
        const written: number[] = [];
        const inner = cache.write.bind(cache);
        cache.write = (file, index, bytes) => {
          written.push(index);
          return inner(file, index, bytes);
        };
        expect(await dense.keepMissing()).toBe(true);
        expect(written).toEqual([record]);
      });
      await session(root, async (dense) => {
        const { views, restored } = await load(dense);
        expect(restored).toEqual(SIZES.map(() => true));
        await expectContents(views);
      });
    }
  });

  it('stops where the disk is full; what is kept serves', async () => {
    const root = memoryFolder();
    await session(
      root,
      async (dense, cache) => {
        await load(dense);
        expect(await dense.keepMissing()).toBe(false);
        expect(cache.presentBytes).toBe(2 * R);
      },
      2 * R + 100,
    );
    await session(root, async (dense) => {
      const { views, restored } = await load(dense);
      expect(restored).toEqual([true, true, true, false, false, false]); // the first record ends with the third buffer
      await expectContents(views);
    });
  });

  it('stops when told', async () => {
    await session(memoryFolder(), async (dense, cache) => {
      await load(dense);
      const reason = new Error('stop');
      await expect(dense.keepMissing(AbortSignal.abort(reason))).rejects.toBe(reason);
      expect(cache.presentBytes).toBe(0);
    });
  });

  it('has as many records as the bytes take', () => {
    expect(denseFile(TOTAL)).toMatchObject({ count: RECORDS, recordBytes: R });
    expect(denseFile(R).count).toBe(1);
    expect(denseFile(R + 1).count).toBe(2);
  });
});
