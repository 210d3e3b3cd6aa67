/** Which model, in which form, a cache holds. Two caches are never mixed. */
import { checksum } from './checksum.ts';

export interface SourceFile {
  readonly name: string;
  readonly bytes: number;
  /** As `ByteSource.version` tells it; null when unknown. */
  readonly version: string | null;
}

export interface CacheIdentity {
  /** URL, or name of the folder, without secrets: it is written to disk and shown. */
  readonly source: string;
  /** Commit or branch, where the source has one. */
  readonly revision: string | null;
  /** As in `as-is`, `q8`, `q4`. */
  readonly precision: string;
  /** Whatever else changes the bytes of a record: layouts, group sizes. */
  readonly format: string;
  /** Raised when the engine lays out records differently. */
  readonly recordVersion: number;
  /** The published files that records are made of. */
  readonly files: readonly SourceFile[];
}

/** Unknown agrees with everything, and so do versions of different kinds (`etag …`, `modified …`): they say nothing about each other. */
export function versionsAgree(a: string | null, b: string | null): boolean {
  if (a === null || b === null || a === b) return true;
  return kindOf(a) !== kindOf(b);
}

const kindOf = (version: string): string => version.slice(0, version.indexOf(' '));

/** @returns null when a cache made for `stored` serves `wanted`, else the reason, as the end of a sentence */
export function whyDifferent(stored: CacheIdentity, wanted: CacheIdentity): string | null {
  for (const key of ['source', 'revision', 'precision', 'format', 'recordVersion'] as const) {
    if (stored[key] !== wanted[key]) return `${key} was ${stored[key]}, is ${wanted[key]}`;
  }
  const before = new Map(stored.files.map((file) => [file.name, file]));
  for (const { name, bytes, version } of wanted.files) {
    const old = before.get(name);
    if (!old) return `${name} is new`;
    if (old.bytes !== bytes) return `${name} had ${old.bytes} bytes, has ${bytes}`;
    if (!versionsAgree(old.version, version)) return `${name} changed (${old.version}, now ${version})`;
    before.delete(name);
  }
  const [gone] = before.keys();
  return gone === undefined ? null : `${gone} is gone`;
}

/** Of everything that is kept of one source: letters and digits only, whatever the source is called. */
export const sourceKey = (source: string, revision: string | null): string => hashName([source, revision]);

/** Name of the folder that keeps a model: one for each source, revision, precision and format. */
export const modelFolderName = ({ source, revision, precision, format }: CacheIdentity): string =>
  `${sourceKey(source, revision)}-${hashName([precision, format])}`;

export const isModelFolderName = (name: string): boolean => /^[0-9a-f]{16}-[0-9a-f]{16}$/.test(name);

/** A collision costs nothing but time: the whole identity is compared after the name. */
function hashName(parts: readonly (string | null)[]): string {
  const bytes = new TextEncoder().encode(JSON.stringify(parts));
  return [0, 1].map((seed) => checksum(bytes, seed).toString(16).padStart(8, '0')).join('');
}
