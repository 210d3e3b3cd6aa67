/** All tensors of a model by name, over one file or many. Opening reads headers only. */
import { InvalidCheckpoint } from '../errors.ts';
import { readHeader, type HeaderOptions, type SafetensorsHeader, type TensorInfo } from './safetensors/header.ts';
import { parseIndex, type ShardIndex } from './safetensors/index-file.ts';
import { MAX_INDEX_BYTES } from './safetensors/limits.ts';
import { readBytes, type ByteSource } from './source.ts';

export type { TensorInfo } from './safetensors/header.ts';

export interface CheckpointFile {
  readonly name: string;
  readonly bytes: number;
  readonly tensors: number;
}

export interface Checkpoint {
  readonly source: ByteSource;
  readonly files: readonly CheckpointFile[];
  /** Harmless oddities, for people. */
  readonly warnings: readonly string[];
  has(name: string): boolean;
  /** @throws InvalidCheckpoint `missing-tensor` */
  tensor(name: string): TensorInfo;
  names(): IterableIterator<string>;
  /** Tensors that nobody found by `has` or `tensor` so far, in the order of the files. */
  unasked(): string[];
  /** A tensor that nobody found so far, without finding it; null when it was asked for, or is not there. */
  leftOver(name: string): TensorInfo | null;
}

export const SINGLE_FILE = 'model.safetensors';
export const INDEX_FILE = 'model.safetensors.index.json';

/** Requests in flight while headers are read. */
const PARALLEL_HEADERS = 6;

/**
 * Finds `model.safetensors`, or the shards of `model.safetensors.index.json`, and checks all headers against each other.
 * @throws InvalidCheckpoint with the rule that a file breaks
 * @throws SourceError
 */
export async function openCheckpoint(source: ByteSource, options: HeaderOptions = {}): Promise<Checkpoint> {
  const { signal } = options;
  const [single, index] = await Promise.all([source.size(SINGLE_FILE, signal), source.size(INDEX_FILE, signal)]);
  if (single !== null) {
    const header = await readHeader(source, SINGLE_FILE, options);
    const ignored = index === null ? [] : [`${INDEX_FILE} is ignored because ${SINGLE_FILE} exists`];
    return new TensorIndex(source, [header], header.tensors, ignored);
  }
  if (index === null) {
    throw new InvalidCheckpoint(
      'missing-file',
      `${source.label} has neither ${SINGLE_FILE} nor ${INDEX_FILE}: a model needs one of them`,
      {
        source: source.label,
      },
    );
  }
  if (index > MAX_INDEX_BYTES) {
    throw new InvalidCheckpoint('limit', `${INDEX_FILE} has ${index} bytes; at most ${MAX_INDEX_BYTES} are read`, {
      file: INDEX_FILE,
      size: index,
    });
  }
  const parsed = parseIndex(await readBytes(source, INDEX_FILE, 0, index, signal), INDEX_FILE);
  const headers = await readHeaders(source, parsed.shards, options);
  return new TensorIndex(source, headers, ...crossCheck(parsed, headers));
}

async function readHeaders(
  source: ByteSource,
  shards: readonly string[],
  options: HeaderOptions,
): Promise<SafetensorsHeader[]> {
  const headers = new Array<SafetensorsHeader>(shards.length);
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < shards.length && !failed) {
      const i = next++;
      try {
        headers[i] = await readHeader(source, shards[i]!, options);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_HEADERS }, worker));
  return headers;
}

/** The tensors to load, and warnings about the others. */
function crossCheck(
  { shardOf }: ShardIndex,
  headers: readonly SafetensorsHeader[],
): [Map<string, TensorInfo>, string[]] {
  const all = new Map<string, TensorInfo>();
  const tensors = new Map<string, TensorInfo>();
  const warnings: string[] = [];
  for (const header of headers) {
    const unlisted: string[] = [];
    for (const info of header.tensors.values()) {
      const other = all.get(info.name);
      if (other) {
        throw new InvalidCheckpoint(
          'ambiguous-tensor',
          `${info.name} is in two files: ${other.file} and ${info.file}`,
          {
            tensor: info.name,
            files: [other.file, info.file],
          },
        );
      }
      all.set(info.name, info);
      if (shardOf.has(info.name)) tensors.set(info.name, info);
      else unlisted.push(info.name);
    }
    if (unlisted.length > 0) {
      const some = unlisted.slice(0, 3).join(', ');
      warnings.push(
        `${header.file} has ${unlisted.length} tensors that ${INDEX_FILE} does not list (${some}): they are not loaded`,
      );
    }
  }
  for (const [name, file] of shardOf) {
    const info = all.get(name);
    if (info?.file === file) continue;
    const where = info ? `${info.file} has it` : 'no file has it';
    throw new InvalidCheckpoint('missing-tensor', `${INDEX_FILE} puts ${name} in ${file}, but ${where}`, {
      tensor: name,
      file,
    });
  }
  return [tensors, warnings];
}

class TensorIndex implements Checkpoint {
  readonly source: ByteSource;
  readonly files: readonly CheckpointFile[];
  readonly warnings: readonly string[];
  readonly #tensors: ReadonlyMap<string, TensorInfo>;
  readonly #asked = new Set<string>();

  constructor(
    source: ByteSource,
    headers: readonly SafetensorsHeader[],
    tensors: ReadonlyMap<string, TensorInfo>,
    warnings: readonly string[],
  ) {
    this.source = source;
    this.files = headers.map(({ file, bytes, tensors: own }) => ({ name: file, bytes, tensors: own.size }));
    this.warnings = [...headers.flatMap((h) => h.warnings), ...warnings];
    this.#tensors = tensors;
  }

  has(name: string): boolean {
    if (!this.#tensors.has(name)) return false;
    this.#asked.add(name);
    return true;
  }

  tensor(name: string): TensorInfo {
    const info = this.#tensors.get(name);
    if (!info) throw new InvalidCheckpoint('missing-tensor', `The checkpoint has no tensor ${name}`, { tensor: name });
    this.#asked.add(name);
    return info;
  }

  unasked(): string[] {
    return [...this.#tensors.keys()].filter((name) => !this.#asked.has(name));
  }

  leftOver(name: string): TensorInfo | null {
    return this.#asked.has(name) ? null : (this.#tensors.get(name) ?? null);
  }

  names(): IterableIterator<string> {
    return this.#tensors.keys();
  }
}
