/**
 * The header of one safetensors file: 8 bytes N (u64, little-endian), N bytes of JSON, then the tensors' bytes without holes.
 * Stricter than the reference reader where its text is: duplicate keys, names and sizes that only an attacker writes.
 */
import { InvalidCheckpoint, type CheckpointFault } from '../../errors.ts';
import { readBytes, type ByteSource } from '../source.ts';
import { dtypeBits, isDType, type DType } from './dtype.ts';
import { JsonScanner, type JsonFail, type JsonProblem } from './json-scanner.ts';
import {
  DEFAULT_HEADER_BYTES,
  MAX_DIMENSION,
  MAX_HEADER_BYTES,
  MAX_HEADER_DEPTH,
  MAX_METADATA_BYTES,
  MAX_METADATA_ENTRIES,
  MAX_NAME_BYTES,
  MAX_RANK,
  MAX_TENSORS,
} from './limits.ts';

export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly file: string;
  /** First byte in the file, and the one after the last. */
  readonly begin: number;
  readonly end: number;
  /** Of GGUF files: what the bytes are blocks of, and the shape in weights. `dtype` is U8 then, and `shape` counts bytes. */
  readonly block?: { readonly type: string; readonly shape: readonly number[] };
}

export interface SafetensorsHeader {
  readonly file: string;
  /** Of the whole file. */
  readonly bytes: number;
  /** By ascending begin. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: ReadonlyMap<string, string>;
  /** What other readers may stumble over; shown, never acted on. */
  readonly warnings: readonly string[];
}

export interface HeaderOptions {
  readonly signal?: AbortSignal | undefined;
  /** Largest JSON header that is read; default 32 MiB, never above 100,000,000. */
  readonly maxHeaderBytes?: number | undefined;
}

/** One request is enough for most headers. */
const PROBE_BYTES = 64 * 1024;

type Fail = (fault: CheckpointFault, message: string, details?: Record<string, unknown>) => never;

const failing =
  (file: string): Fail =>
  (fault, message, details = {}) => {
    throw new InvalidCheckpoint(fault, `${file}: ${message}`, { file, ...details });
  };

/**
 * Reads and checks the header; no tensor is touched.
 * @throws InvalidCheckpoint with the rule that the file breaks
 * @throws SourceError
 */
export async function readHeader(
  source: ByteSource,
  file: string,
  options: HeaderOptions = {},
): Promise<SafetensorsHeader> {
  const { signal } = options;
  const size = await source.size(file, signal);
  if (size === null) {
    throw new InvalidCheckpoint('missing-file', `${source.label} has no file ${file}`, { file, source: source.label });
  }
  const fail = failing(file);
  if (size < 8) fail('header-too-small', `has ${size} bytes; a safetensors file has at least 8`, { size });
  const probe = await readBytes(source, file, 0, Math.min(size, PROBE_BYTES), signal);
  const length = headerLength(probe, size, file, options.maxHeaderBytes);
  if (8 + length <= probe.length) return parseHeader(probe.subarray(8, 8 + length), size, file);
  const json = new Uint8Array(length);
  json.set(probe.subarray(8));
  json.set(await readBytes(source, file, probe.length, 8 + length, signal), probe.length - 8);
  return parseHeader(json, size, file);
}

/**
 * N of a file of `size` bytes.
 * @param start its first bytes, at least 8 of them
 */
export function headerLength(
  start: Uint8Array,
  size: number,
  file: string,
  maxHeaderBytes = DEFAULT_HEADER_BYTES,
): number {
  const fail = failing(file);
  const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    const text = new TextDecoder().decode(start.subarray(0, 256));
    if (text.startsWith('version https://git-lfs')) {
      fail(
        'not-safetensors',
        'is a Git LFS pointer, not the file itself: fetch it with "git lfs pull", or use the /resolve/ URL',
      );
    }
    if (/^\s*<(!doctype|html|\?xml)/i.test(text))
      fail('not-safetensors', 'is a web page, not a safetensors file: is the URL right?');
    fail('header-too-large', `claims a header of ${length} bytes; at most ${MAX_HEADER_BYTES} are allowed`, {
      length: String(length),
    });
  }
  const n = Number(length);
  if (8 + n > size)
    fail('header-length', `claims a header of ${n} bytes, but the file has ${size}: it is cut, or not safetensors`, {
      length: n,
      size,
    });
  if (n > maxHeaderBytes)
    fail('limit', `has a header of ${n} bytes; at most ${maxHeaderBytes} are read`, { length: n });
  return n;
}

const FAULTS: Readonly<Record<JsonProblem, CheckpointFault>> = {
  syntax: 'header-json',
  encoding: 'header-encoding',
  depth: 'header-depth',
  type: 'header-type',
  duplicate: 'duplicate-key',
  limit: 'limit',
};

/**
 * Checks the JSON of a header against its file's size.
 * @param json exactly the N bytes
 */
export function parseHeader(json: Uint8Array, size: number, file: string): SafetensorsHeader {
  return new HeaderParser(json, size, file).parse();
}

interface Entry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Relative to the first byte after the header. */
  readonly begin: number;
  readonly end: number;
}

class HeaderParser {
  readonly #scanner: JsonScanner;
  readonly #fail: Fail;
  readonly #file: string;
  readonly #size: number;
  readonly #dataAt: number;
  readonly #entries: Entry[] = [];
  readonly #metadata = new Map<string, string>();
  readonly #unknown = new Set<string>();
  readonly #warnings: string[] = [];

  constructor(json: Uint8Array, size: number, file: string) {
    this.#file = file;
    this.#size = size;
    this.#dataAt = 8 + json.length;
    this.#fail = failing(file);
    const fail: JsonFail = (problem, message, at) =>
      this.#fail(FAULTS[problem], `the header ${message} (byte ${8 + at} of the file)`, { at: 8 + at });
    this.#scanner = new JsonScanner(json, { maxDepth: MAX_HEADER_DEPTH, fail });
    if (json.length > 0 && json[0] !== 0x7b) this.#warnings.push(`${file}: the header does not start with "{"`);
  }

  parse(): SafetensorsHeader {
    // A key's raw text may be six times as long as the name it means.
    this.#scanner.object('the header', 6 * MAX_NAME_BYTES + 6, MAX_TENSORS + 1, (key) => {
      if (key === '__metadata__') this.#readMetadata();
      else this.#readEntry(key);
    });
    this.#scanner.end();
    const tensors = this.#placed();
    if (this.#unknown.size > 0) {
      this.#warnings.push(
        `${this.#file}: tensors have fields that webmoe does not know: ${[...this.#unknown].join(', ')}`,
      );
    }
    return { file: this.#file, bytes: this.#size, tensors, metadata: this.#metadata, warnings: this.#warnings };
  }

  #readMetadata(): void {
    const scanner = this.#scanner;
    let bytes = 0;
    if (scanner.kind() !== 'object')
      this.#fail('metadata', `__metadata__ must be an object of strings, found ${scanner.kind()}`);
    scanner.object('__metadata__', MAX_METADATA_BYTES, MAX_METADATA_ENTRIES, (key) => {
      if (scanner.kind() !== 'string')
        this.#fail('metadata', `__metadata__ ${JSON.stringify(key)} must be a string, found ${scanner.kind()}`, {
          key,
        });
      const before = scanner.at;
      this.#metadata.set(key, scanner.string('a value of __metadata__', MAX_METADATA_BYTES));
      bytes += scanner.at - before + key.length;
      if (bytes > MAX_METADATA_BYTES) this.#fail('limit', `__metadata__ is larger than ${MAX_METADATA_BYTES} bytes`);
    });
  }

  #readEntry(name: string): void {
    this.#checkName(name);
    if (this.#entries.length >= MAX_TENSORS) this.#fail('limit', `has more than ${MAX_TENSORS} tensors`);
    const scanner = this.#scanner;
    let dtype: DType | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    scanner.object(`the entry of ${name}`, 1024, 64, (field) => {
      if (field === 'dtype') dtype = this.#readDType(name);
      else if (field === 'shape') shape = this.#readShape(name);
      else if (field === 'data_offsets') offsets = this.#readOffsets(name);
      else {
        if (this.#unknown.size < 10) this.#unknown.add(field);
        scanner.skip();
      }
    });
    const missing = [dtype === undefined && 'dtype', !shape && 'shape', !offsets && 'data_offsets'].filter(
      (f) => f !== false,
    );
    if (dtype === undefined || !shape || !offsets) {
      return this.#fail('missing-field', `${name} has no ${missing.join(' and no ')}`, { tensor: name, missing });
    }
    const [begin, end] = offsets as [number, number];
    const bytes = this.#bytesOf(name, dtype, shape);
    if (bytes !== end - begin) {
      this.#fail(
        'size',
        `${name} is ${dtype} [${shape.join(', ')}], which takes ${bytes} bytes, but has ${end - begin}`,
        {
          tensor: name,
          dtype,
          shape,
          found: end - begin,
          expected: bytes,
        },
      );
    }
    this.#entries.push({ name, dtype, shape, begin, end });
  }

  #checkName(name: string): void {
    const problem = nameProblem(name);
    if (problem)
      this.#fail('name', `has a tensor whose name ${problem}: ${JSON.stringify(name.slice(0, 80))}`, {
        tensor: name.slice(0, 80),
      });
  }

  #readDType(name: string): DType {
    const scanner = this.#scanner;
    const kind = scanner.kind();
    if (kind !== 'string')
      return this.#fail('dtype', `${name} has a dtype that is not a string but ${kind}`, { tensor: name });
    const dtype = scanner.string(`the dtype of ${name}`, 1024);
    if (!isDType(dtype))
      return this.#fail('dtype', `${name} has the unknown dtype ${JSON.stringify(dtype.slice(0, 40))}`, {
        tensor: name,
        dtype,
      });
    return dtype;
  }

  #list(name: string, field: 'shape' | 'data_offsets', most: number, add: (value: number | string) => void): void {
    const fault = field === 'shape' ? 'shape' : 'offsets';
    const scanner = this.#scanner;
    if (scanner.kind() !== 'array')
      this.#fail(fault, `${name}: ${field} must be a list of whole numbers, found ${scanner.kind()}`, { tensor: name });
    scanner.array(field, (index) => {
      if (index >= most) {
        const rank = field === 'shape';
        this.#fail(rank ? 'limit' : 'offsets', `${name}: ${field} has more than ${most} numbers`, { tensor: name });
      }
      add(scanner.unsigned());
    });
  }

  #readShape(name: string): number[] {
    const shape: number[] = [];
    this.#list(name, 'shape', MAX_RANK, (value) => {
      if (typeof value === 'string') {
        const fault = /^\d+$/.test(value) ? 'overflow' : 'shape';
        return this.#fail(fault, `${name}: shape has ${value}; it must have whole numbers up to ${MAX_DIMENSION}`, {
          tensor: name,
          found: value,
        });
      }
      if (value > MAX_DIMENSION)
        this.#fail('limit', `${name}: shape has the dimension ${value}, above ${MAX_DIMENSION}`, { tensor: name });
      shape.push(value);
    });
    return shape;
  }

  #readOffsets(name: string): number[] {
    const offsets: number[] = [];
    this.#list(name, 'data_offsets', 2, (value) => {
      if (typeof value === 'string') {
        const fault = /^\d+$/.test(value) ? 'overflow' : 'offsets';
        return this.#fail(fault, `${name}: data_offsets has ${value}; it must have two whole numbers below 2^53`, {
          tensor: name,
          found: value,
        });
      }
      offsets.push(value);
    });
    const [begin, end] = offsets;
    if (begin === undefined || end === undefined)
      return this.#fail('offsets', `${name}: data_offsets must have two numbers`, { tensor: name });
    if (end < begin)
      this.#fail('offsets', `${name} ends at ${end}, before it begins at ${begin}`, { tensor: name, begin, end });
    return offsets;
  }

  #bytesOf(name: string, dtype: DType, shape: readonly number[]): number {
    const bits = dtypeBits(dtype);
    let count = 1;
    for (const dimension of shape) {
      count *= dimension;
      if (count * bits > Number.MAX_SAFE_INTEGER)
        this.#fail('overflow', `${name} of shape [${shape.join(', ')}] is impossibly large`, { tensor: name, shape });
    }
    if ((count * bits) % 8 !== 0) {
      this.#fail('misaligned', `${name}: ${count} values of ${bits} bits do not fill whole bytes`, {
        tensor: name,
        dtype,
        shape,
      });
    }
    return (count * bits) / 8;
  }

  /** Every byte after the header belongs to exactly one tensor. */
  #placed(): ReadonlyMap<string, TensorInfo> {
    const sorted = this.#entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
    const tensors = new Map<string, TensorInfo>();
    let at = 0;
    for (const { name, dtype, shape, begin, end } of sorted) {
      if (begin < at)
        this.#fail('overlap', `${name} begins at ${begin}, inside another tensor that ends at ${at}`, {
          tensor: name,
          begin,
          at,
        });
      if (begin > at)
        this.#fail('hole', `${name} begins at ${begin}, but the tensor before it ends at ${at}`, {
          tensor: name,
          begin,
          at,
        });
      at = end;
      tensors.set(name, { name, dtype, shape, file: this.#file, begin: this.#dataAt + begin, end: this.#dataAt + end });
    }
    const expected = this.#dataAt + at;
    const found = this.#size;
    if (expected > found)
      this.#fail('truncated', `its tensors end at byte ${expected}, but the file has only ${found}: it is cut`, {
        expected,
        found,
      });
    if (expected < found)
      this.#fail('trailing-bytes', `has ${found - expected} bytes after its last tensor`, { expected, found });
    return tensors;
  }
}

/** Control and bidirectional-control characters, with which a name can pose as another. */
const DECEPTIVE = /[\p{Cc}\p{Bidi_Control}]/u;
const LONE_SURROGATE = /\p{Surrogate}/u;

export function nameProblem(name: string): string | null {
  if (name === '') return 'is empty';
  if (LONE_SURROGATE.test(name)) return 'is not well-formed Unicode';
  if (DECEPTIVE.test(name)) return 'has control characters';
  const bytes = name.length > MAX_NAME_BYTES / 3 ? new TextEncoder().encode(name).length : name.length;
  return bytes > MAX_NAME_BYTES ? `is longer than ${MAX_NAME_BYTES} bytes` : null;
}
