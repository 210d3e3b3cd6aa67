/** The pieces under the cache: identity, journal, manifest, files in two places, the table. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvariantError } from '../../../../src/util/assert.ts';
import { readAtomic, writeAtomic } from '../../../../src/weights/records/atomic-file.ts';
import {
  isModelFolderName,
  modelFolderName,
  sourceKey,
  versionsAgree,
  whyDifferent,
} from '../../../../src/weights/records/identity.ts';
import {
  decodeEntries,
  encodeEntries,
  ENTRY_BYTES,
  NO_SLOT,
  type JournalEntry,
} from '../../../../src/weights/records/journal.ts';
import { decodeManifest, encodeManifest, type Manifest } from '../../../../src/weights/records/manifest.ts';
import { memoryFolder } from '../../../../src/weights/records/memory-folder.ts';
import { RecordTable } from '../../../../src/weights/records/record-table.ts';
import { identity } from './support.ts';

const word = fc.integer({ min: 0, max: 0xffffffff });

describe('identity', () => {
  test('the folder has no text of the user in its name', () => {
    const evil = { ...identity, source: '../../etc', precision: 'a/b', format: 'C:\\' };
    expect(modelFolderName(evil)).toMatch(/^[0-9a-f]{16}-[0-9a-f]{16}$/);
    expect(isModelFolderName(modelFolderName(evil))).toBe(true);
    expect(isModelFolderName('0123456789abcdef')).toBe(false);
  });

  test('names differ in everything that makes another model, and in nothing else', () => {
    const names = [
      identity,
      { ...identity, source: 'b' },
      { ...identity, revision: 'r' },
      { ...identity, precision: 'q8' },
      { ...identity, format: 'f' },
      { ...identity, precision: 'q4"', format: '' },
    ].map(modelFolderName);
    expect(new Set(names).size).toBe(names.length);
    expect(modelFolderName({ ...identity, files: [], recordVersion: 9 })).toBe(names[0]);
    expect(sourceKey('a', null)).not.toBe(sourceKey('a', 'null'));
    expect(names[0]!.startsWith(`${sourceKey(identity.source, null)}-`)).toBe(true);
  });

  test('versions agree unless they are of one kind and differ', () => {
    expect(versionsAgree(null, 'etag "a"')).toBe(true);
    expect(versionsAgree('etag "a"', 'etag "a"')).toBe(true);
    expect(versionsAgree('etag "a"', 'modified a')).toBe(true);
    expect(versionsAgree('etag "a"', 'etag "b"')).toBe(false);
    expect(versionsAgree('modified 1', 'modified 2')).toBe(false);
  });

  test('equals itself', () => expect(whyDifferent(identity, structuredClone(identity))).toBeNull());
});

describe('the journal', () => {
  const entry: fc.Arbitrary<JournalEntry> = fc.record({ file: word, index: word, slot: word, bytes: word, sum: word });

  test('gives back its entries, at any place of a torn tail', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 5 }), word, fc.uint8Array({ maxLength: 60 }), (entries, epoch, junk) => {
        const bytes = encodeEntries(entries, epoch);
        expect(decodeEntries(bytes, epoch)).toEqual(entries);
        for (let cut = 0; cut <= bytes.length; cut++) {
          const whole = entries.slice(0, Math.floor(cut / ENTRY_BYTES));
          expect(decodeEntries(bytes.slice(0, cut), epoch)).toEqual(whole);
          const zeros = new Uint8Array(bytes.length + 48);
          zeros.set(bytes.subarray(0, cut));
          expect(decodeEntries(zeros, epoch).slice(0, whole.length)).toEqual(whole);
        }
        const tail = new Uint8Array(Math.ceil((bytes.length + junk.length) / 4) * 4);
        tail.set(bytes);
        tail.set(junk, bytes.length);
        expect(decodeEntries(tail, epoch)).toEqual(entries);
      }),
      { numRuns: 50 },
    );
  });

  test('ends at a flipped bit, and at an entry of another epoch', () => {
    const entries = [1, 2, 3].map((i) => ({ file: i, index: i, slot: i, bytes: i, sum: i }));
    const bytes = encodeEntries(entries, 7);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(decodeEntries(flipped, 7)).toEqual(entries.slice(0, Math.floor(bit / 8 / ENTRY_BYTES)));
    }
    expect(decodeEntries(bytes, 8)).toEqual([]);
    const mixed = bytes.slice();
    mixed.set(encodeEntries(entries.slice(1, 2), 8), ENTRY_BYTES);
    expect(decodeEntries(mixed, 7)).toEqual(entries.slice(0, 1));
  });
});

describe('the manifest', () => {
  const files = fc.array(
    fc.nat(5).chain((count) =>
      fc.record({
        name: fc.constant('f'),
        recordBytes: fc.integer({ min: 1, max: 4096 }),
        count: fc.constant(count),
        stride: fc.constant(4096),
        planes: fc.constant(null),
        slots: fc.uint32Array({ minLength: count, maxLength: count }),
        lengths: fc.uint32Array({ minLength: count, maxLength: count }),
        sums: fc.uint32Array({ minLength: count, maxLength: count }),
      }),
    ),
    { maxLength: 3 },
  );
  const manifest: fc.Arbitrary<Manifest> = fc.record({
    epoch: word,
    identity: fc.record({
      source: fc.string({ unit: 'grapheme' }),
      revision: fc.option(fc.string()),
      precision: fc.string(),
      format: fc.string(),
      recordVersion: fc.nat(),
      files: fc.array(fc.record({ name: fc.string(), bytes: fc.nat(), version: fc.option(fc.string()) })),
    }),
    lastUsed: fc.nat(),
    bytes: fc.nat(),
    totalBytes: fc.nat(),
    files,
    popularity: fc.option(fc.float32Array({ maxLength: 5 })),
  });

  test('comes back as it was', () => {
    fc.assert(
      fc.property(manifest, (m) => {
        expect(decodeManifest(encodeManifest(m))).toEqual(m);
      }),
    );
  });

  test('of another version, too short, too long, or not JSON is none', () => {
    fc.assert(
      fc.property(manifest, (m) => {
        const bytes = encodeManifest(m);
        const other = bytes.slice();
        other[0] = 2;
        expect(decodeManifest(other)).toBeNull();
        expect(decodeManifest(bytes.slice(0, -1))).toBeNull();
        expect(decodeManifest(bytes.slice(0, 7))).toBeNull();
        expect(decodeManifest(new Uint8Array([...bytes, 0, 0, 0, 0]))).toBeNull();
        const text = bytes.slice();
        text[8] = 0x58;
        expect(decodeManifest(text)).toBeNull();
      }),
    );
  });

  test('whose JSON is something else is none', () => {
    const good: Record<string, unknown> = {
      epoch: 1,
      identity,
      lastUsed: 1,
      bytes: 1,
      totalBytes: 1,
      files: [],
      popularity: null,
    };
    const decode = (json: unknown): Manifest | null => {
      const text = new TextEncoder().encode(JSON.stringify(json));
      const bytes = new Uint8Array(8 + Math.ceil(text.length / 4) * 4);
      new Uint32Array(bytes.buffer, 0, 2).set([1, text.length]);
      bytes.set(text, 8);
      return decodeManifest(bytes);
    };
    expect(decode(good)).toEqual(good);
    for (const json of [null, 1, [], {}]) expect(decode(json)).toBeNull();
    for (const key of Object.keys(good))
      for (const bad of ['x', -1, {}, [1]]) expect(decode({ ...good, [key]: bad })).toBeNull();
    for (const key of Object.keys(identity))
      expect(decode({ ...good, identity: { ...identity, [key]: 1.5 } })).toBeNull();
  });
});

describe('a file in two places', () => {
  const bytes = (n: number): Uint8Array => Uint8Array.from({ length: 50 + n }, (_, i) => i * n);

  test('is the last that was written', async () => {
    const folder = memoryFolder();
    expect(await readAtomic(folder, 'f')).toBeNull();
    for (let n = 5; n > 0; n--) {
      await writeAtomic(folder, 'f', bytes(n));
      expect(await readAtomic(folder, 'f')).toEqual(bytes(n));
    }
    await writeAtomic(folder, 'f', new Uint8Array(0));
    expect(await readAtomic(folder, 'f')).toEqual(new Uint8Array(0));
  });

  test('with any bit of the newer flipped, or any part missing, is the older', async () => {
    const folder = memoryFolder();
    await writeAtomic(folder, 'f', bytes(1));
    await writeAtomic(folder, 'f', bytes(2));
    const file = (await folder.open('f.1'))!;
    const whole = new Uint8Array(await file.size());
    await file.read(whole, 0);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      await file.write(Uint8Array.of(whole[bit >> 3]! ^ (1 << (bit & 7))), bit >> 3);
      expect(await readAtomic(folder, 'f')).toEqual(bytes(1));
      await file.write(whole.subarray(bit >> 3, (bit >> 3) + 1), bit >> 3);
    }
    expect(await readAtomic(folder, 'f')).toEqual(bytes(2));
    for (let cut = 0; cut < whole.length; cut++) {
      await file.truncate(cut);
      expect(await readAtomic(folder, 'f')).toEqual(bytes(1));
      await file.write(whole, 0);
    }
    await file.truncate(10);
    await writeAtomic(folder, 'f', bytes(3)); // over the torn one
    expect(await readAtomic(folder, 'f')).toEqual(bytes(3));
  });
});

describe('the table of records', () => {
  test('keeps every place to one record, whatever is replayed', () => {
    const count = 5;
    const small = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max });
    const entry = fc.record({
      index: small(count),
      slot: fc.oneof(small(count), fc.constant(NO_SLOT)),
      bytes: small(12),
      sum: small(3),
    });
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        const table = new RecordTable({ name: 'f', recordBytes: 10, count });
        for (const placed of entries) {
          const makesSense =
            placed.index < count && (placed.slot < count || placed.slot === NO_SLOT) && placed.bytes <= 10;
          expect(table.replay(placed)).toBe(makesSense);
          if (makesSense) expect(table.find(placed.index)).toEqual(placed.slot === NO_SLOT ? null : placed);
          const found = Array.from({ length: count }, (_, i) => table.find(i)).filter((p) => p !== null);
          expect(new Set(found.map((p) => p.slot)).size).toBe(found.length);
          expect(table.present).toBe(found.length);
        }
      }),
    );
  });

  test('names become file names', () => {
    for (const name of ['', '../x', 'A', 'a/b', '.a', 'a'.repeat(65)])
      expect(() => new RecordTable({ name, recordBytes: 1, count: 1 })).toThrow(InvariantError);
  });
});
