/** A fixture's files, read whole, with every published format of the fixtures decoded to doubles. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readModelConfig, type LoadedConfig } from '../../../src/config/load.ts';
import { bf16ToF32 } from '../../../src/util/half.ts';

export interface Stored {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export type Tensors = ReadonlyMap<string, Stored>;

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Folders under test/fixtures. */
export const FAMILY_FIXTURES = readdirSync(`${root}test/fixtures/families`).map((f) => `test/fixtures/families/${f}`);
/** With an encoder: test/model/encoder-decoder.long.test.ts compares the engine itself with their golden values. */
export const hasEncoder = (folder: string): boolean => loadConfig(folder).config.encoder !== undefined;
export const FORMAT_FIXTURES = ['test/fixtures/formats/qwen3-moe-ct-int4', 'test/fixtures/formats/gpt-oss-mxfp4'];
export const SHIPPED = 'models/smolmoe-135m-instruct';

export const loadConfig = (folder: string): LoadedConfig =>
  readModelConfig(readFileSync(`${root}${folder}/config.json`, 'utf8'));

export function readSafetensors(path: string): Tensors {
  const file = readFileSync(`${root}${path}`);
  const headerEnd = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, headerEnd)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, Stored>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [begin, end] = data_offsets;
    tensors.set(name, { dtype, shape, bytes: new Uint8Array(file.subarray(headerEnd + begin, headerEnd + end)) });
  }
  return tensors;
}

/** All shards of a folder's model. */
export function readModel(folder: string): Tensors {
  const shards = readdirSync(`${root}${folder}`).filter((f) => f.startsWith('model') && f.endsWith('.safetensors'));
  return new Map(shards.flatMap((f) => [...readSafetensors(`${folder}/${f}`)]));
}

export const readGolden = (folder: string): Tensors => readSafetensors(`${folder}/golden.safetensors`);

export function numbers({ dtype, bytes }: Stored): Float64Array {
  const { buffer } = bytes;
  if (dtype === 'BF16') return Float64Array.from(new Uint16Array(buffer), bf16ToF32);
  if (dtype === 'F32') return Float64Array.from(new Float32Array(buffer));
  if (dtype === 'I32') return Float64Array.from(new Int32Array(buffer));
  throw new Error(`dtype ${dtype}`);
}

/** compressed-tensors, symmetric 4-bit: eight values a word, low nibble first, stored + 8; one scale a group of 32. */
function int4(tensors: Tensors, name: string): Float64Array | undefined {
  const packed = tensors.get(`${name}_packed`);
  const scale = tensors.get(`${name}_scale`);
  if (!packed || !scale) return undefined;
  const words = new Uint32Array(packed.bytes.buffer);
  const scales = numbers(scale);
  return Float64Array.from({ length: words.length * 8 }, (_, i) => {
    const q = (words[i >>> 3]! >>> (4 * (i & 7))) & 15;
    return (q - 8) * scales[Math.floor(i / 32)]!;
  });
}

const E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];

/** MXFP4 blocks [E, out, in/32, 16] to the plain [E, in, out]. */
function mxfp4(tensors: Tensors, name: string): Float64Array | undefined {
  const blocks = tensors.get(`${name}_blocks`);
  const scales = tensors.get(`${name}_scales`);
  if (!blocks || !scales) return undefined;
  const [experts, rows, groups] = blocks.shape as [number, number, number];
  const cols = groups * 32;
  const out = new Float64Array(experts * rows * cols);
  for (let e = 0; e < experts; e++) {
    for (let row = 0; row < rows; row++) {
      for (let k = 0; k < cols; k++) {
        const at = (e * rows + row) * cols + k;
        const byte = blocks.bytes[at >>> 1]!;
        const nibble = k & 1 ? byte >>> 4 : byte & 15;
        const value = (nibble & 8 ? -1 : 1) * E2M1[nibble & 7]!;
        out[(e * cols + k) * rows + row] = value * 2 ** (scales.bytes[at >>> 5]! - 127);
      }
    }
  }
  return out;
}

/** The plain values of a tensor, whichever way it is stored. */
export function decoder(tensors: Tensors): (name: string) => Float64Array | undefined {
  const known = new Map<string, Float64Array | undefined>();
  return (name) => {
    if (!known.has(name)) {
      const plain = tensors.get(name);
      known.set(name, plain ? numbers(plain) : (int4(tensors, name) ?? mxfp4(tensors, name)));
    }
    return known.get(name);
  };
}
