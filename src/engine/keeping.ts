/** Where a model's weights are kept between sessions: the storage that the caller offers or, where that fails, memory, or nowhere. */
import { StorageError } from '../errors.ts';
import type { Tier } from '../moe/store.ts';
import { layoutName } from '../weights/layout.ts';
import type { RecordFolder } from '../weights/records/folder.ts';
import { modelFolderName, sourceKey, type CacheIdentity } from '../weights/records/identity.ts';
import { localLock, type RecordLease, type RecordLock } from '../weights/records/lock.ts';
import { memoryFolder } from '../weights/records/memory-folder.ts';
import { openRecordCache } from '../weights/records/open-cache.ts';
import { openSharedRecords, SharedRecords, type SharedOptions } from '../weights/records/shared-records.ts';
import type { RecordFileSpec } from '../weights/records/record-table.ts';
import { sourceBlobs, type BlobStore } from '../weights/records/blobs.ts';
import { metadataSource, type MetadataSource } from '../weights/records/metadata-source.ts';
import { modelStorage } from '../weights/records/storage.ts';
import type { ByteSource } from '../weights/source.ts';
import type { ExpertStats } from './expert-stats.ts';
import { denseFile } from './dense-records.ts';
import { expertFiles } from './fetch.ts';
import type { OpenedModel, PlannedModel } from './open.ts';
import { expertSpecs } from './describe/specs.ts';

/** Raised when the bytes of a record change. */
const RECORD_VERSION = 1;
/** Without sync handles a browser copies the whole file for each commit: few, then. */
const SLOW_GROUPS = { bytes: 512 * 2 ** 20, records: 8192, delayMs: 10_000 };
/** In memory, when there is no better place. */
const DEFAULT_HOST_BYTES = 256 * 2 ** 20;

export interface Storage {
  /** null when nothing can be kept; `note` says why. */
  readonly root: RecordFolder | null;
  readonly lock?: RecordLock | undefined;
  /** It lies in memory and goes with the window: as much is kept as in memory. */
  readonly isTemporary?: boolean | undefined;
  /** Why it is no better than it is, in one sentence for people. */
  readonly note?: string | null | undefined;
}

export interface KeepingOptions {
  /** Where weights are kept between sessions; default: nowhere. */
  readonly storage?: Storage | null | undefined;
  /** Disk that this model may take; default: all it needs. */
  readonly diskBytes?: number | undefined;
  /** Memory for experts where there is no storage, for models that come over a network; default 256 MiB. */
  readonly hostBytes?: number | undefined;
}

export interface Keeping {
  readonly records: SharedRecords;
  readonly tier: Tier;
}

export interface OpenedKeeping {
  readonly keeping: Keeping | null;
  readonly about: ExpertStats['storage'];
}

function identityOf({ source, checkpoint, adapter }: OpenedModel, { spec, plan }: PlannedModel): CacheIdentity {
  const slots = expertSpecs(spec).map(
    ({ slot }) => `${layoutName(slot.gateUp)} ${layoutName(slot.down)} ${slot.bytes}`,
  );
  return {
    source: source.key ?? source.label,
    revision: null,
    precision: plan.precision,
    format: `${plan.bytes.weights} ${[...new Set(slots)].join(', ')}${adapter ? ` + ${adapter.id}` : ''}`,
    recordVersion: RECORD_VERSION,
    files: checkpoint.files.map(({ name, bytes }) => ({ name, bytes, version: source.version?.(name) ?? null })),
  };
}

/** `source` with what an earlier session read of it to describe the model; null where nothing is kept. */
export async function rememberedSource(
  source: ByteSource,
  storage: Storage | null | undefined,
  signal?: AbortSignal,
): Promise<MetadataSource | null> {
  if (!storage?.root || source.origin !== 'network') return null;
  try {
    return await metadataSource(source, await sourceBlobs(storage.root, source.key ?? source.label, null), { signal });
  } catch (error) {
    if (error instanceof StorageError) return null;
    throw error;
  }
}

/** Where small things about a source are kept; null where nothing is. */
export async function sourceNotes(source: ByteSource, storage: Storage | null | undefined): Promise<BlobStore | null> {
  if (!storage?.root) return null;
  try {
    return await sourceBlobs(storage.root, source.key ?? source.label, null);
  } catch (error) {
    if (error instanceof StorageError) return null;
    throw error;
  }
}

/** One tab at a time reads a model's description from the network: the next finds it kept. @returns null where nobody waits. @throws the signal's reason */
export async function describingTurn(
  source: ByteSource,
  storage: Storage | null | undefined,
  signal?: AbortSignal,
): Promise<RecordLease | null> {
  if (!storage?.root || source.origin !== 'network') return null;
  const key = sourceKey(source.key ?? source.label, null);
  return (await storage.lock?.queue?.(`${key}/describing`, signal)) ?? null;
}

/** Without it a model can be run, too: where another tab is getting it, it is waited for. @throws the signal's reason when aborted, nothing else */
export async function openKeeping(
  opened: OpenedModel,
  planned: PlannedModel,
  { storage, diskBytes, hostBytes, signal, onWait }: KeepingOptions & Pick<SharedOptions, 'signal' | 'onWait'>,
): Promise<OpenedKeeping> {
  const identity = identityOf(opened, planned);
  const files: RecordFileSpec[] = [...expertFiles(expertSpecs(planned.spec)), denseFile(planned.plan.bytes.weights)];
  let note = storage?.note ?? null;
  if (storage?.root) {
    const { root, lock } = storage;
    const most = diskBytes ?? (storage.isTemporary ? (hostBytes ?? DEFAULT_HOST_BYTES) : undefined);
    try {
      const models = lock && modelStorage(root, lock);
      const makeRoom =
        models && ((bytes: number): Promise<number> => models.makeRoom(bytes, modelFolderName(identity)));
      const records = await openSharedRecords(root, identity, files, {
        lock,
        signal,
        onWait,
        diskBytes: most,
        makeRoom,
        ...(root.kind === 'opfs-async' ? { groups: SLOW_GROUPS } : {}),
      });
      return { keeping: { records, tier: 'disk' }, about: { kind: root.kind, note: records.note ?? note } };
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      note = `Weights are not kept on disk: ${error.message}`;
    }
  }
  // Files on this computer are as near as memory that would hold their copies.
  const isFar = opened.source.origin === 'network' && storage !== null && storage !== undefined;
  if (!isFar && hostBytes === undefined) return { keeping: null, about: { kind: 'none', note } };
  const memory = memoryFolder(hostBytes ?? DEFAULT_HOST_BYTES);
  try {
    const records = new SharedRecords(await openRecordCache(memory, identity, files, { lock: localLock() }));
    return { keeping: { records, tier: 'memory' }, about: { kind: 'memory', note } };
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    return { keeping: null, about: { kind: 'none', note } };
  }
}
