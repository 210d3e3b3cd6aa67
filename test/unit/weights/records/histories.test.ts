/** Random histories of a cache against a model of it that is a map. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { memoryFolder } from '../../../../src/weights/records/memory-folder.ts';
import { openRecordCache } from '../../../../src/weights/records/open-cache.ts';
import { modelStorage } from '../../../../src/weights/records/storage.ts';
import { localLock } from '../../../../src/weights/records/lock.ts';
import { identity, inside } from './support.ts';

const specs = [
  { name: 'a', recordBytes: 100, count: 3 },
  { name: 'b', recordBytes: 5000, count: 2 },
];
const places = specs.flatMap(({ name, count }) => Array.from({ length: count }, (_, index) => ({ name, index })));

const content = (variant: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => i * 31 + variant * 17);

type Step =
  | { readonly do: 'write'; readonly at: number; readonly variant: number; readonly length: number }
  | { readonly do: 'damage'; readonly at: number; readonly bit: number }
  | { readonly do: 'sync' | 'crash' | 'close' | 'verify' | 'tidy' | 'popularity' };

const place = fc.nat(places.length - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      at: place,
      variant: fc.nat(3),
      length: fc.integer({ min: 1, max: 100 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('damage' as const), at: place, bit: fc.nat() }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom('sync', 'crash', 'close', 'verify', 'tidy', 'popularity') }),
  },
);

test('every record is absent or the last that was written; what was synced and not damaged is there', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.option(fc.integer({ min: 0, max: 40_000 })),
      async (steps, budget) => {
        const root = memoryFolder();
        const options = { groups: { delayMs: 60_000 }, ...(budget === null ? {} : { diskBytes: budget }) };
        let cache = await openRecordCache(root, identity, specs, options);
        /** By place: what was written last, and whether it must be there now, and after a crash. */
        const model = new Map<number, { bytes: Uint8Array; isHere: boolean; isSafe: boolean }>();
        const expectRight = async (): Promise<void> => {
          for (const [at, known] of model) {
            const { name, index } = places[at]!;
            const into = new Uint8Array(known.bytes.length);
            const hit = await cache.read(name, index, into);
            if (hit) expect(into).toEqual(known.bytes);
            if (known.isHere) expect(hit).toBe(true);
            if (!hit) model.delete(at);
          }
        };
        for (const now of steps) {
          if (now.do === 'write') {
            const { name, index } = places[now.at]!;
            const bytes = content(now.variant, now.length);
            const kept = await cache.write(name, index, bytes);
            if (budget === null) expect(kept).toBe(true);
            const old = model.get(now.at);
            const isSame = old && Buffer.compare(old.bytes, bytes) === 0;
            if (kept && !isSame) model.set(now.at, { bytes, isHere: true, isSafe: false });
            if (!kept) model.delete(now.at);
          } else if (now.do === 'damage') {
            const { name } = places[now.at]!;
            const file = await (await inside(root)).open(`${name}.records`);
            const size = (await file?.size()) ?? 0;
            if (!file || size === 0) continue;
            const byte = new Uint8Array(1);
            const offset = Math.floor(now.bit / 8) % size;
            await file.read(byte, offset);
            await file.write(Uint8Array.of(byte[0]! ^ (1 << (now.bit % 8))), offset);
            for (const [at, known] of model) if (places[at]!.name === name) known.isHere = known.isSafe = false;
          } else if (now.do === 'sync' || now.do === 'popularity') {
            if (now.do === 'sync') expect(await cache.sync()).toBe(true);
            else expect(await cache.savePopularity(Float32Array.of(1))).toBe(true);
            for (const known of model.values()) known.isSafe = known.isHere;
          } else if (now.do === 'verify') {
            await cache.verify();
          } else if (now.do === 'tidy') {
            await cache.close();
            for (const known of model.values()) known.isSafe = known.isHere;
            await modelStorage(root, localLock()).tidy();
            cache = await openRecordCache(root, identity, specs, options);
          } else {
            if (now.do === 'close') {
              await cache.close();
              for (const known of model.values()) known.isSafe = known.isHere;
            }
            cache = await openRecordCache(root, identity, specs, options);
            for (const known of model.values()) known.isHere = known.isSafe;
          }
          await expectRight();
          if (budget !== null) expect(cache.presentBytes).toBeLessThanOrEqual(budget);
        }
        await cache.close();
      },
    ),
    { numRuns: 150 },
  );
});
