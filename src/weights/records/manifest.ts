/**
 * What a folder of records holds: whose they are, where each one is, and its checksum. Written whole (`atomic-file.ts`); the journal continues it.
 *
 * Words 0 and 1 are the format version and the length of a JSON text; the text; padding to 4 bytes; for each file `count` slots and `count`
 * checksums; the popularity.
 */
import { readAtomic, writeAtomic } from './atomic-file.ts';
import type { RecordFolder } from './folder.ts';
import type { CacheIdentity, SourceFile } from './identity.ts';
import { strideOf, type RecordFileSpec } from './record-table.ts';

export const MANIFEST = 'manifest';
/** Raised when anything on disk changes its meaning. Another version's caches are dropped. */
export const FORMAT_VERSION = 1;

export interface ManifestFile extends RecordFileSpec {
  readonly stride: number;
  /** For records whose first bytes are a usable coarser form; none yet. */
  readonly planes: null;
  /** NO_SLOT where a record is absent: the presence map. `count` words. */
  readonly slots: Uint32Array;
  readonly sums: Uint32Array;
}

export interface Manifest {
  /** Drawn anew each time: the journal's entries are checked with it. */
  readonly epoch: number;
  readonly identity: CacheIdentity;
  /** Milliseconds since 1970. */
  readonly lastUsed: number;
  /** On disk, whole strides. */
  readonly bytes: number;
  readonly totalBytes: number;
  readonly files: readonly ManifestFile[];
  readonly popularity: Float32Array | null;
}

/** Does not tell damage, absence and other versions apart: each means starting anew. @throws StorageError */
export async function readManifest(folder: RecordFolder): Promise<Manifest | null> {
  const bytes = await readAtomic(folder, MANIFEST);
  return bytes && decodeManifest(bytes);
}

/** @throws StorageError, QuotaExceeded: then the old one stays */
export const writeManifest = (folder: RecordFolder, manifest: Manifest): Promise<void> =>
  writeAtomic(folder, MANIFEST, encodeManifest(manifest));

export function encodeManifest({ popularity, ...manifest }: Manifest): Uint8Array<ArrayBuffer> {
  const files = manifest.files.map(({ name, recordBytes, count, stride, planes }) => ({
    name,
    recordBytes,
    count,
    stride,
    planes,
  }));
  const json = new TextEncoder().encode(
    JSON.stringify({ ...manifest, files, popularity: popularity === null ? null : popularity.length }),
  );
  const textEnd = 8 + Math.ceil(json.length / 4) * 4;
  const counted = manifest.files.reduce((sum, { count }) => sum + 2 * count, 0);
  const bytes = new Uint8Array(textEnd + 4 * (counted + (popularity?.length ?? 0)));
  new Uint32Array(bytes.buffer, 0, 2).set([FORMAT_VERSION, json.length]);
  bytes.set(json, 8);
  const words = new Uint32Array(bytes.buffer, textEnd);
  let at = 0;
  for (const { slots, sums, count } of manifest.files) {
    words.set(slots, at);
    words.set(sums, at + count);
    at += 2 * count;
  }
  if (popularity) new Float32Array(bytes.buffer, textEnd + 4 * at).set(popularity);
  return bytes;
}

/** null for anything that this version did not write. */
export function decodeManifest(bytes: Uint8Array<ArrayBuffer>): Manifest | null {
  if (bytes.length < 8) return null;
  const [version, length] = new Uint32Array(bytes.buffer, bytes.byteOffset, 2) as unknown as [number, number];
  const textEnd = 8 + Math.ceil(length / 4) * 4;
  if (version !== FORMAT_VERSION || textEnd > bytes.length) return null;
  const head = readHead(bytes.subarray(8, 8 + length));
  if (!head) return null;
  const counted = head.files.reduce((sum, { count }) => sum + 2 * count, 0);
  if (bytes.length !== textEnd + 4 * (counted + (head.popularity ?? 0))) return null;
  let at = bytes.byteOffset + textEnd;
  const words = (count: number): Uint32Array => {
    const found = new Uint32Array(bytes.buffer, at, count);
    at += 4 * count;
    return found;
  };
  const files = head.files.map((file) => ({ ...file, slots: words(file.count), sums: words(file.count) }));
  const popularity = head.popularity === null ? null : new Float32Array(bytes.buffer, at, head.popularity).slice();
  return { ...head, files, popularity };
}

type Head = Omit<Manifest, 'files' | 'popularity'> & {
  readonly files: readonly Omit<ManifestFile, 'slots' | 'sums'>[];
  readonly popularity: number | null;
};

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null;
const isText = (value: unknown): value is string => typeof value === 'string';
const isTextOrNull = (value: unknown): value is string | null => value === null || isText(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function readHead(text: Uint8Array): Head | null {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch {
    return null;
  }
  return isHead(json) ? json : null;
}

function isHead(json: unknown): json is Head {
  if (!isFields(json) || !isIdentity(json.identity)) return false;
  if (![json.epoch, json.lastUsed, json.bytes, json.totalBytes].every(isCount)) return false;
  if (json.popularity !== null && !isCount(json.popularity)) return false;
  return Array.isArray(json.files) && json.files.every(isManifestFile);
}

const isManifestFile = (json: unknown): boolean =>
  isFields(json) &&
  isText(json.name) &&
  isCount(json.recordBytes) &&
  isCount(json.count) &&
  json.stride === strideOf(json.recordBytes) &&
  json.planes === null;

const isIdentity = (json: unknown): json is CacheIdentity =>
  isFields(json) &&
  isText(json.source) &&
  isTextOrNull(json.revision) &&
  isText(json.precision) &&
  isText(json.format) &&
  isCount(json.recordVersion) &&
  Array.isArray(json.files) &&
  json.files.every(isSourceFile);

const isSourceFile = (json: unknown): json is SourceFile =>
  isFields(json) && isText(json.name) && isCount(json.bytes) && isTextOrNull(json.version);
