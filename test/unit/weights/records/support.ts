/** A small model of records, whose right bytes anyone can compute. */
import { prng } from '../../../../src/util/prng.ts';
import type { RecordCache } from '../../../../src/weights/records/cache.ts';
import type { RecordFolder } from '../../../../src/weights/records/folder.ts';
import { modelFolderName, type CacheIdentity } from '../../../../src/weights/records/identity.ts';
import type { RecordFileSpec } from '../../../../src/weights/records/record-table.ts';

export const identity: CacheIdentity = {
  source: 'https://example.org/model/',
  revision: null,
  precision: 'q4',
  format: 'int4 group 32',
  recordVersion: 1,
  files: [
    { name: 'model-1.safetensors', bytes: 1000, version: 'etag "a"' },
    { name: 'model-2.safetensors', bytes: 2000, version: null },
  ],
};

export const specs: readonly RecordFileSpec[] = [
  { name: 'experts.0', recordBytes: 5000, count: 6 },
  { name: 'experts.1', recordBytes: 4096, count: 6 },
  { name: 'dense', recordBytes: 9000, count: 2 },
];

export const ID = modelFolderName(identity);

/** A cache's folder inside `root`. */
export const inside = (root: RecordFolder): Promise<RecordFolder> => root.folder(ID);

/** What record `index` of `file` is. */
export function recordOf(file: string, index: number, specOf: readonly RecordFileSpec[] = specs): Uint8Array {
  const at = specOf.findIndex((s) => s.name === file);
  const u = prng(1000 * at + index);
  return Uint8Array.from({ length: specOf[at]!.recordBytes }, () => u() * 256);
}

export const everyRecord = (of: readonly RecordFileSpec[] = specs): { file: string; index: number }[] =>
  of.flatMap(({ name, count }) => Array.from({ length: count }, (_, index) => ({ file: name, index })));

/** @returns how many were kept */
export async function writeAll(cache: RecordCache, records = everyRecord()): Promise<number> {
  let kept = 0;
  for (const { file, index } of records) if (await cache.write(file, index, recordOf(file, index))) kept++;
  return kept;
}

export interface Found {
  readonly right: number;
  /** Never allowed. */
  readonly wrong: number;
  readonly absent: number;
}

export async function readAll(cache: RecordCache, records = everyRecord()): Promise<Found> {
  const found = { right: 0, wrong: 0, absent: 0 };
  for (const { file, index } of records) {
    const expected = recordOf(file, index);
    const into = new Uint8Array(expected.length);
    if (!(await cache.read(file, index, into))) found.absent++;
    else if (Buffer.compare(into, expected) === 0) found.right++;
    else found.wrong++;
  }
  return found;
}
