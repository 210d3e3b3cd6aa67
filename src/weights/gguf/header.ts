/**
 * The header of one GGUF file (versions 2 and 3, little-endian): "GGUF", u32 version, u64 tensors, u64 metadata entries; the entries; the table of
 * tensors; then their bytes, each on a multiple of the alignment. A string is u64 bytes of UTF-8. Dimensions are listed from the one that varies
 * fastest: here they are turned round, as in safetensors.
 */
import { InvalidCheckpoint, UnsupportedModel, type CheckpointFault } from '../../errors.ts';
import { alignUp } from '../../util/math.ts';
import { nameProblem } from '../safetensors/header.ts';
import { MAX_DIMENSION, MAX_TENSORS } from '../safetensors/limits.ts';
import { readBytes, type ByteSource } from '../source.ts';
import { BLOCK_TYPES, type BlockType } from './block-types.ts';
import { HeaderCursor, Short } from './cursor.ts';
import { MAX_ALIGNMENT, MAX_ENTRIES, MAX_HEADER_BYTES, MAX_RANK } from './limits.ts';
import { readValue, type MetadataValue } from './values.ts';

export interface GgufTensor {
  readonly name: string;
  readonly type: BlockType;
  /** In weights; the last dimension varies fastest. */
  readonly shape: readonly number[];
  /** First byte in the file, and the one after the last. */
  readonly begin: number;
  readonly end: number;
}

export interface GgufHeader {
  readonly file: string;
  /** Of the whole file. */
  readonly bytes: number;
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  /** By ascending begin. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  readonly warnings: readonly string[];
}

type Fail = (fault: CheckpointFault, message: string, details?: Record<string, unknown>) => never;

/** The first read; a vocabulary makes the header longer, and then four times as much is read. */
const PROBE_BYTES = 2 ** 20;

/**
 * Reads and checks the header; no tensor is touched.
 * @throws InvalidCheckpoint with the rule that the file breaks; UnsupportedModel for other versions of the format
 * @throws SourceError
 */
export async function readGgufHeader(source: ByteSource, file: string, signal?: AbortSignal): Promise<GgufHeader> {
  const size = await source.size(file, signal);
  if (size === null)
    throw new InvalidCheckpoint('missing-file', `${source.label} has no file ${file}`, { file, source: source.label });
  let bytes: Uint8Array<ArrayBuffer> = await readBytes(source, file, 0, Math.min(size, PROBE_BYTES), signal);
  for (;;) {
    try {
      return parseGgufHeader(bytes, size, file);
    } catch (error) {
      if (!(error instanceof Short)) throw error;
      const wanted = Math.min(size, MAX_HEADER_BYTES, Math.max(error.needed, 4 * bytes.length));
      const more = new Uint8Array(wanted);
      more.set(bytes);
      more.set(await readBytes(source, file, bytes.length, wanted, signal), bytes.length);
      bytes = more;
    }
  }
}

/**
 * @param bytes the beginning of the file
 * @param size of the whole file
 * @throws Short when the header goes on behind `bytes`
 */
export const parseGgufHeader = (bytes: Uint8Array, size: number, file: string): GgufHeader =>
  new HeaderParser(bytes, size, file).parse();

interface Entry {
  readonly name: string;
  readonly type: BlockType;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Relative to the first byte of the data. */
  readonly offset: number;
}

class HeaderParser {
  readonly #cursor: HeaderCursor;
  readonly #size: number;
  readonly #file: string;
  readonly #fail: Fail;

  constructor(bytes: Uint8Array, size: number, file: string) {
    this.#size = size;
    this.#file = file;
    this.#fail = (fault, message, details = {}) => {
      throw new InvalidCheckpoint(fault, `${file}: ${message}`, { file, ...details });
    };
    this.#cursor = new HeaderCursor(bytes, size, this.#fail);
  }

  parse(): GgufHeader {
    const cursor = this.#cursor;
    this.#checkMagic();
    const tensorCount = cursor.count('tensors', MAX_TENSORS);
    const entryCount = cursor.count('metadata entries', MAX_ENTRIES);
    const metadata = this.#metadata(entryCount);
    const entries = Array.from({ length: tensorCount }, () => this.#entry());
    const alignment = this.#alignment(metadata);
    const dataAt = alignUp(cursor.at, alignment);
    const warnings: string[] = [];
    const tensors = this.#placed(entries, dataAt, alignment, warnings);
    return { file: this.#file, bytes: this.#size, metadata, tensors, warnings };
  }

  #checkMagic(): void {
    if (this.#size < 24) this.#fail('header-too-small', `has ${this.#size} bytes; a GGUF file has at least 24`);
    const magic = this.#cursor.bytes(4);
    const text = String.fromCharCode(...magic);
    if (text === 'vers')
      this.#fail('not-gguf', 'is a Git LFS pointer, not the file itself: fetch it with "git lfs pull"');
    if (text !== 'GGUF') this.#fail('not-gguf', `does not begin with "GGUF" but with ${JSON.stringify(text)}`);
    const version = this.#cursor.u32();
    if (version === 2 || version === 3) return;
    const why = version > 0xffff ? 'is big-endian' : `has version ${version} of the format`;
    throw new UnsupportedModel(`${this.#file} ${why}; webmoe reads versions 2 and 3, little-endian`, {
      file: this.#file,
      version,
    });
  }

  #metadata(count: number): Map<string, MetadataValue> {
    const found = new Map<string, MetadataValue>();
    for (let i = 0; i < count; i++) {
      const key = this.#cursor.key();
      if (found.has(key)) this.#fail('duplicate-key', `has the metadata ${key} twice`, { key });
      found.set(key, readValue(this.#cursor, key));
    }
    return found;
  }

  #alignment(metadata: ReadonlyMap<string, MetadataValue>): number {
    const value = metadata.get('general.alignment') ?? 32;
    const isPower =
      typeof value === 'number' && value >= 1 && value <= MAX_ALIGNMENT && Number.isInteger(Math.log2(value));
    if (!isPower) return this.#fail('metadata', `general.alignment must be a power of two up to ${MAX_ALIGNMENT}`);
    return value;
  }

  #entry(): Entry {
    const cursor = this.#cursor;
    const name = cursor.key();
    const problem = nameProblem(name);
    if (problem)
      this.#fail('name', `has a tensor whose name ${problem}: ${JSON.stringify(name.slice(0, 80))}`, { tensor: name });
    const rank = cursor.u32();
    if (rank > MAX_RANK) this.#fail('limit', `${name} has ${rank} dimensions; at most ${MAX_RANK} are read`);
    const shape = Array.from({ length: rank }, () => cursor.u64(`a dimension of ${name}`)).reverse();
    const id = cursor.u32();
    const type = BLOCK_TYPES.get(id);
    if (!type) return this.#fail('dtype', `${name} has the unknown type ${id}`, { tensor: name, type: id });
    return { name, type, shape, bytes: this.#bytesOf(name, type, shape), offset: cursor.u64(`the offset of ${name}`) };
  }

  #bytesOf(name: string, type: BlockType, shape: readonly number[]): number {
    const row = shape.at(-1) ?? 1;
    if (row % type.weights !== 0)
      this.#fail('misaligned', `${name}: rows of ${row} are no whole blocks of ${type.weights} (${type.name})`);
    let bytes = type.bytes / type.weights;
    for (const dimension of shape.toReversed()) {
      if (dimension > MAX_DIMENSION)
        this.#fail('limit', `${name} has the dimension ${dimension}, above ${MAX_DIMENSION}`);
      bytes *= dimension;
      if (bytes > Number.MAX_SAFE_INTEGER)
        this.#fail('overflow', `${name} of shape [${shape.join(', ')}] is impossibly large`, { tensor: name, shape });
    }
    return bytes;
  }

  /** Tensors lie one after the other; only alignment leaves bytes between them. */
  #placed(entries: Entry[], dataAt: number, alignment: number, warnings: string[]): Map<string, GgufTensor> {
    const tensors = new Map<string, GgufTensor>();
    let at = 0;
    for (const { name, type, shape, bytes, offset } of entries.sort(
      (a, b) => a.offset - b.offset || a.bytes - b.bytes,
    )) {
      if (tensors.has(name)) this.#fail('duplicate-key', `has the tensor ${name} twice`, { tensor: name });
      if (offset % alignment) this.#fail('misaligned', `${name} begins at ${offset}, no multiple of ${alignment}`);
      const free = alignUp(at, alignment);
      if (offset < free) this.#fail('overlap', `${name} begins at ${offset}, inside a tensor that ends at ${at}`);
      if (offset > free) this.#fail('hole', `${name} begins at ${offset}, but the tensor before it ends at ${at}`);
      at = offset + bytes;
      tensors.set(name, { name, type, shape, begin: dataAt + offset, end: dataAt + at });
    }
    const end = at === 0 ? 0 : dataAt + at;
    if (end > this.#size)
      this.#fail('truncated', `its tensors end at byte ${end}, but the file has only ${this.#size}: it is cut`, {
        expected: end,
        found: this.#size,
      });
    if (this.#size - end > alignment && end > 0)
      warnings.push(`${this.#file} has ${this.#size - end} bytes after its last tensor`);
    return tensors;
  }
}
