/**
 * Remembers what is read of a model to describe it (configs, tokenizer, index, headers), so that the next session opens it without asking for
 * any of that, and without a network when the records are there too.
 *
 * Nothing stale is mixed with anything new: config.json and the index, or a GGUF file, are compared with the network's when it answers, and every other file's
 * size and version before the first byte of it that was not remembered is handed on.
 */
import { SourceError } from '../../errors.ts';
import { isOffline } from '../../util/offline.ts';
import { INDEX_FILE } from '../checkpoint.ts';
import { readBytes, type ByteSource } from '../source.ts';
import type { BlobStore } from './blobs.ts';
import { versionsAgree } from './identity.ts';
import { covering, decodeReads, encodeReads, newReads, type Remembered, type SmallReads } from './small-reads.ts';

/** `new`: nothing was remembered. `fresh`: the network has the same. `changed`: it has something else. `offline`: it did not answer in time. */
export type Freshness = 'new' | 'fresh' | 'changed' | 'offline';

export interface MetadataSource extends ByteSource {
  readonly freshness: Freshness;
  /** The same in one sentence for people; null when new. */
  readonly note: string | null;
  version(file: string): string | null;
  /**
   * Keeps it for the next session. Call it when the model is described and before weights are read: from then on only sizes and versions are
   * answered from memory. @returns false when there was no room
   */
  save(): Promise<boolean>;
}

export interface MetadataOptions {
  /** How long the network may take to say whether the model changed; default 3000. Then it counts as away. */
  readonly checkMs?: number | undefined;
  /** Most that is remembered, in bytes; default 256 MiB. */
  readonly maxBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const BLOB = 'metadata';
/** A source that failed a read with all its retries is not asked at such length again. */
const FAILURE_CHECK_MS = 3000;
const CONFIG_FILE = 'config.json';

/** @param blobs `sourceBlobs` of the source. @throws the signal's reason when aborted */
export async function metadataSource(
  source: ByteSource,
  blobs: BlobStore,
  { checkMs = 3000, maxBytes = 256 * 2 ** 20, signal }: MetadataOptions = {},
): Promise<MetadataSource> {
  const blob = await blobs.readBlob(BLOB);
  const reads = blob && decodeReads(blob);
  if (!reads || reads.label !== source.label)
    return new RememberingSource(source, blobs, newReads(source.label), 'new', null, maxBytes);
  const [freshness, note] = await compare(source, reads, checkMs, signal);
  const kept = freshness === 'changed' ? newReads(source.label) : reads;
  return new RememberingSource(source, blobs, kept, freshness, note, maxBytes);
}

/** The label of the source whose reads are kept there; null when none are. */
export async function rememberedLabel(blobs: BlobStore): Promise<string | null> {
  const blob = await blobs.readBlob(BLOB);
  return (blob && decodeReads(blob)?.label) ?? null;
}

async function compare(
  source: ByteSource,
  reads: SmallReads,
  checkMs: number,
  signal: AbortSignal | undefined,
): Promise<[Freshness, string]> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new SourceError(`no answer within ${checkMs} ms`)), checkMs);
  const either = signal ? AbortSignal.any([signal, late.signal]) : late.signal;
  try {
    if (isOffline()) throw new SourceError('this device is offline');
    const files = tellingFiles(reads);
    const answers = await Promise.all(files.map((file) => whatChanged(source, file, reads.files.get(file)!, either)));
    const change = answers.find((answer) => answer !== null);
    if (change) return ['changed', `The model changed since it was kept: ${change}. It is read anew`];
    return ['fresh', 'The model is the same as when it was kept'];
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof SourceError)) throw error;
    return ['offline', `The model is used as it was kept, because its source does not answer: ${error.message}`];
  } finally {
    clearTimeout(timer);
  }
}

/** What a change would show in: of a GGUF the file itself, from which its config.json would have to be read anew. */
function tellingFiles({ files }: SmallReads): string[] {
  const ggufs = [...files].filter(([name, { size }]) => /\.gguf$/i.test(name) && size !== null).map(([name]) => name);
  return ggufs.length > 0 ? ggufs : [CONFIG_FILE, INDEX_FILE].filter((file) => files.has(file));
}

/** null when nothing did. */
async function whatChanged(
  source: ByteSource,
  file: string,
  before: Remembered,
  signal: AbortSignal,
): Promise<string | null> {
  const size = await source.size(file, signal);
  const version = source.version?.(file) ?? null;
  if (size !== before.size) return `${file} had ${shown(before.size)}, has ${shown(size)}`;
  if (!versionsAgree(before.version, version)) return `${file} is another (${before.version}, now ${version})`;
  // Without versions only its bytes can tell. It is a few kilobytes; an index can be megabytes.
  const isTold = version !== null && version === before.version;
  if (size === null || isTold || file !== CONFIG_FILE) return null;
  const old = covering(before, 0, size);
  const now = await readBytes(source, file, 0, size, signal);
  return old?.every((byte, i) => byte === now[i]) ? null : `${file} has other content`;
}

const shown = (size: number | null): string => (size === null ? 'no bytes: it did not exist' : `${size} bytes`);

class RememberingSource implements MetadataSource {
  readonly label: string;
  readonly key: string;
  readonly origin: 'disk' | 'network';
  readonly freshness: Freshness;
  readonly note: string | null;
  readonly #source: ByteSource;
  readonly #blobs: BlobStore;
  readonly #reads: SmallReads;
  /** Files whose size and version were compared with what is remembered. */
  readonly #compared = new Set<string>();
  #roomBytes: number;
  #isRemembering = true;
  #isSaved: boolean;

  constructor(
    source: ByteSource,
    blobs: BlobStore,
    reads: SmallReads,
    freshness: Freshness,
    note: string | null,
    maxBytes: number,
  ) {
    this.label = source.label;
    this.key = source.key ?? source.label;
    this.origin = source.origin ?? 'disk';
    this.#source = source;
    this.#blobs = blobs;
    this.#reads = reads;
    this.freshness = freshness;
    this.note = note;
    this.#roomBytes = maxBytes;
    this.#isSaved = freshness === 'fresh' || freshness === 'offline';
  }

  async size(file: string, signal?: AbortSignal): Promise<number | null> {
    const known = this.#reads.files.get(file);
    if (known) return known.size;
    const size = await this.#source.size(file, signal);
    if (this.#isRemembering) this.#file(file, size);
    return size;
  }

  seeks(file: string): boolean {
    return this.#source.seeks?.(file) ?? true;
  }

  version(file: string): string | null {
    return this.#source.version?.(file) ?? this.#reads.files.get(file)?.version ?? null;
  }

  async *stream(file: string, begin: number, end: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    signal?.throwIfAborted();
    const known = this.#reads.files.get(file);
    const kept = known && covering(known, begin, end);
    if (kept) {
      yield kept;
      return;
    }
    const isRemembered = this.#isRemembering && end - begin <= this.#roomBytes;
    const pieces: Uint8Array[] = [];
    try {
      for await (const piece of this.#source.stream(file, begin, end, signal)) {
        if (!this.#compared.has(file)) await this.#compareFile(file, signal);
        if (isRemembered) pieces.push(piece.slice());
        yield piece;
      }
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      // A file that became shorter fails before any byte comes: say why, and do not run into it for ever.
      if (!this.#compared.has(file)) await this.#compareFile(file, signal, error);
      else if (error.details.isChanged) await this.#blobs.removeBlob(BLOB); // so that loading again starts anew
      throw error;
    }
    if (isRemembered && this.#isRemembering) await this.#remember(file, begin, end, pieces, signal);
  }

  async save(): Promise<boolean> {
    this.#isRemembering = false;
    for (const [file, known] of this.#reads.files) known.version ??= this.#source.version?.(file) ?? null;
    this.#isSaved ||= await this.#blobs.writeBlob(BLOB, encodeReads(this.#reads));
    for (const { ranges } of this.#reads.files.values()) ranges.length = 0; // tens of megabytes that nobody asks for again
    return this.#isSaved;
  }

  #file(file: string, size: number | null): Remembered {
    let known = this.#reads.files.get(file);
    if (!known) {
      known = { size, version: this.#source.version?.(file) ?? null, ranges: [] };
      this.#reads.files.set(file, known);
      this.#isSaved = false;
    }
    return known;
  }

  async #remember(
    file: string,
    begin: number,
    end: number,
    pieces: readonly Uint8Array[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const bytes = new Uint8Array(end - begin);
    let at = 0;
    for (const piece of pieces) {
      if (at + piece.length > bytes.length) return;
      bytes.set(piece, at);
      at += piece.length;
    }
    if (at !== bytes.length) return;
    const known = this.#file(file, await this.#source.size(file, signal));
    if (covering(known, begin, end)) return;
    known.ranges.push({ begin, bytes });
    this.#roomBytes -= bytes.length;
    this.#isSaved = false;
  }

  /**
   * @param failure of a read that came before: then a source that does not answer says nothing new
   * @throws SourceError when the file is no longer the one whose header is remembered
   */
  async #compareFile(file: string, signal: AbortSignal | undefined, failure?: SourceError): Promise<void> {
    const known = this.#reads.files.get(file);
    if (known) {
      const size = await (failure
        ? this.#source.size(file, AbortSignal.timeout(FAILURE_CHECK_MS)).catch(() => {
            throw failure;
          })
        : this.#source.size(file, signal));
      const version = this.#source.version?.(file) ?? null;
      if (size !== known.size || !versionsAgree(known.version, version)) {
        await this.#blobs.removeBlob(BLOB); // so that loading again starts anew
        throw new SourceError(`${this.label}: ${file} changed since the model was kept: load the model again`, {
          file,
          before: { size: known.size, version: known.version },
          after: { size, version },
        });
      }
    }
    this.#compared.add(file);
  }
}
