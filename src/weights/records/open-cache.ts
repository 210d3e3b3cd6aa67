/** Opens the records that an earlier session left, or starts anew where there are none of this very model. */
import { StorageError } from '../../errors.ts';
import { RecordCache, type CacheOptions } from './cache.ts';
import { JOURNAL } from './commits.ts';
import type { RecordFolder } from './folder.ts';
import { modelFolderName, whyDifferent, type CacheIdentity } from './identity.ts';
import { decodeEntries, ENTRY_BYTES } from './journal.ts';
import type { RecordLease, RecordLock } from './lock.ts';
import { readManifest, type Manifest } from './manifest.ts';
import { dataName, RecordTable, type RecordFileSpec } from './record-table.ts';
import { sweep } from './sweep.ts';

export interface OpenCacheOptions extends CacheOptions {
  /** Keeps other tabs and processes out. Without one the caller knows that there are none. */
  readonly lock?: RecordLock | undefined;
}

/**
 * @param root folder of all models; the model's own is inside
 * @param files in a fixed order: another order, size or count is another layout, and starts anew
 * @throws StorageError `in-use` when another tab or process has the model open; QuotaExceeded when not even the manifest fits.
 *   A model can always be loaded without a cache.
 */
export async function openRecordCache(
  root: RecordFolder,
  identity: CacheIdentity,
  files: readonly RecordFileSpec[],
  options: OpenCacheOptions = {},
): Promise<RecordCache> {
  const id = modelFolderName(identity);
  const lease = options.lock ? await options.lock.acquire(id) : null;
  if (options.lock && !lease) {
    throw new StorageError('in-use', `${identity.source} is open in another tab or process, which keeps its weights`, {
      id,
    });
  }
  return openLeasedCache(root, identity, files, options, lease);
}

/** The same for whoever has the model's lock already. @param lease released when the cache is closed, or cannot be opened */
export async function openLeasedCache(
  root: RecordFolder,
  identity: CacheIdentity,
  files: readonly RecordFileSpec[],
  options: CacheOptions,
  lease: RecordLease | null,
): Promise<RecordCache> {
  const id = modelFolderName(identity);
  try {
    let folder = await root.folder(id);
    const manifest = await readManifest(folder);
    const reason = await whyAnew(folder, manifest, identity, files);
    if (reason !== null) {
      await root.removeFolder(id);
      folder = await root.folder(id);
    }
    const kept = reason === null ? manifest : null;
    const tables = files.map((spec) => new RecordTable(spec));
    if (kept) await sweep(folder, files);
    const journalBytes = kept ? await restore(folder, kept, tables) : 0;
    const parts = { id, folder, identity: merge(kept, identity), tables, lease };
    return await RecordCache.start(parts, kept && { manifest: kept, journalBytes }, options, reason);
  } catch (error) {
    await lease?.release();
    throw error;
  }
}

/** null when the manifest serves. An empty folder has a reason too, for which nothing has to be said: ''. */
export async function whyAnew(
  folder: RecordFolder,
  manifest: Manifest | null,
  identity: CacheIdentity,
  files: readonly RecordFileSpec[],
): Promise<string | null> {
  if (!manifest) {
    const isEmpty = (await folder.list()).length === 0;
    return isEmpty ? '' : 'its manifest is damaged, or from another version of webmoe';
  }
  const difference = whyDifferent(manifest.identity, identity);
  if (difference !== null) return difference;
  const isSame =
    manifest.files.length === files.length &&
    manifest.files.every(({ name, recordBytes, count }, i) => {
      const spec = files[i]!;
      return name === spec.name && recordBytes === spec.recordBytes && count === spec.count;
    });
  return isSame ? null : 'records are laid out differently';
}

/** A version that was known once is not forgotten by a session that could not see it. */
function merge(kept: Manifest | null, identity: CacheIdentity): CacheIdentity {
  const known = new Map(kept?.identity.files.map((f) => [f.name, f.version]));
  return {
    ...identity,
    files: identity.files.map((f) => ({ ...f, version: f.version ?? known.get(f.name) ?? null })),
  };
}

/** Marks what manifest and journal say, as far as the data files reach. @returns bytes of the journal that count */
export async function restore(
  folder: RecordFolder,
  manifest: Manifest,
  tables: readonly RecordTable[],
): Promise<number> {
  manifest.files.forEach(({ slots, lengths, sums, count }, i) => {
    for (let index = 0; index < count; index++)
      tables[i]!.replay({ index, slot: slots[index]!, bytes: lengths[index]!, sum: sums[index]! });
  });
  const entries = decodeEntries(await readJournal(folder), manifest.epoch);
  for (const { file, ...placed } of entries) tables[file]?.replay(placed);
  const sizes = new Map((await folder.list()).map(({ name, bytes }) => [name, bytes]));
  for (const table of tables) {
    table.fileBytes = sizes.get(dataName(table.spec)) ?? 0;
    table.dropBeyond(table.fileBytes);
  }
  return entries.length * ENTRY_BYTES;
}

async function readJournal(folder: RecordFolder): Promise<Uint8Array> {
  const file = await folder.open(JOURNAL);
  if (!file) return new Uint8Array(0);
  try {
    const bytes = new Uint8Array(await file.size());
    return bytes.subarray(0, await file.read(bytes, 0));
  } finally {
    await file.close();
  }
}
