/**
 * bitsandbytes' 4-bit weights: `weight` u8, all of W in one run, high nibble first; `weight.absmax`, one for a block of that run, f32 or, nested,
 * u8 codes: absmax = nested_quant_map[code] * nested_absmax[i / nested_blocksize] + nested_offset. `weight.quant_state.bitsandbytes__nf4` (or fp4) is
 * JSON: block sizes, offset, shape. w = quant_map[code] * absmax.
 */
import { parseJson } from '../../config/json.ts';
import { ConfigReader } from '../../config/read.ts';
import { InvalidCheckpoint } from '../../errors.ts';
import { ceilDiv } from '../../util/math.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import { FP4_VALUES, NF4_VALUES } from '../code-values.ts';
import { CHUNK, planes, type Layout, type MatrixShape } from '../layout.ts';
import type { PublishedMatrix } from '../matrix.ts';
import { decodeFloats } from '../safetensors/dtype.ts';
import { readBytes } from '../source.ts';
import { dequantised } from './dequantised.ts';
import { expectDType, expectShape } from './format.ts';
import { nativeNibbles } from './nibbles.ts';
import { padRows } from './plain.ts';
import { bytesIn } from './scales.ts';

const NONE = new Uint32Array(0);
type Kind = 'nf4' | 'fp4';
const VALUES = { nf4: NF4_VALUES, fp4: FP4_VALUES };

interface Tensors {
  readonly weight: TensorInfo;
  readonly absmax: TensorInfo;
  readonly map: TensorInfo;
  readonly state: TensorInfo;
  readonly nested: { readonly absmax: TensorInfo; readonly map: TensorInfo } | null;
}

function find(checkpoint: Checkpoint, name: string): { kind: Kind; tensors: Tensors } {
  const at = (suffix: string): string => `${name}.weight.${suffix}`;
  const kind: Kind = checkpoint.has(at('quant_state.bitsandbytes__fp4')) ? 'fp4' : 'nf4';
  const absmax = checkpoint.tensor(at('absmax'));
  const isNested = absmax.dtype === 'U8';
  const tensors: Tensors = {
    weight: checkpoint.tensor(`${name}.weight`),
    absmax,
    map: checkpoint.tensor(at('quant_map')),
    state: checkpoint.tensor(at(`quant_state.bitsandbytes__${kind}`)),
    nested: isNested
      ? { absmax: checkpoint.tensor(at('nested_absmax')), map: checkpoint.tensor(at('nested_quant_map')) }
      : null,
  };
  return { kind, tensors };
}

/** Weights that share an absmax: a power of two, 64 if nobody asked for another. */
function blockSize({ absmax }: Tensors, weights: number): number {
  const blocks = absmax.shape.reduce((a, b) => a * b, 1);
  for (let size = 32; size <= 4096; size *= 2) if (ceilDiv(weights, size) === blocks) return size;
  throw new InvalidCheckpoint(
    'wrong-shape',
    `${absmax.name} has ${blocks} values, which fit ${weights} weights badly`,
    {
      tensor: absmax.name,
      found: blocks,
    },
  );
}

interface State {
  readonly nestedBlock: number;
  readonly nestedOffset: number;
}

/** @throws InvalidCheckpoint when the JSON does not say what the tensors' shapes do */
function readState(info: TensorInfo, bytes: Uint8Array, kind: Kind, block: number, shape: MatrixShape): State {
  const text = new TextDecoder().decode(bytes);
  const c = new ConfigReader(parseJson(text, info.name), info.name);
  c.only('quant_type', kind);
  c.only('shape', [shape.rows, shape.cols]);
  const weights = shape.rows * shape.cols;
  if (ceilDiv(weights, c.integer('blocksize')) !== ceilDiv(weights, block)) c.fail('blocksize', String(block));
  return {
    nestedBlock: c.integer('nested_blocksize', { fallback: 256 }),
    nestedOffset: c.number('nested_offset', { fallback: 0 }),
  };
}

/** absmax of the blocks [first, last). */
async function readAbsmax(
  checkpoint: Checkpoint,
  { absmax, nested }: Tensors,
  { nestedBlock, nestedOffset }: State,
  [first, last]: readonly [number, number],
  signal?: AbortSignal,
): Promise<Float32Array> {
  const { source } = checkpoint;
  const unit = nested ? 1 : 4;
  const bytes = await readBytes(source, absmax.file, absmax.begin + first * unit, absmax.begin + last * unit, signal);
  if (!nested) return decodeFloats(absmax, bytes);
  const whole = async (info: TensorInfo): Promise<Float32Array> =>
    decodeFloats(info, await readBytes(source, info.file, info.begin, info.end, signal));
  const [scales, map] = await Promise.all([whole(nested.absmax), whole(nested.map)]);
  return Float32Array.from(
    bytes,
    (code, i) => map[code]! * scales[Math.floor((first + i) / nestedBlock)]! + nestedOffset,
  );
}

/** Whether the checkpoint's own 16 values are the ones that the kernels have. */
function checkMap(info: TensorInfo, kind: Kind, found: Float32Array): void {
  if (VALUES[kind].every((v, i) => Math.abs(v - found[i]!) < 1e-6)) return;
  throw new InvalidCheckpoint('quantization', `${info.name} does not hold the values of ${kind.toUpperCase()}`, {
    tensor: info.name,
    found: [...found],
  });
}

/** @throws InvalidCheckpoint for missing tensors, wrong shapes and types, and values that contradict each other */
export function fourBit(checkpoint: Checkpoint, name: string, shape: MatrixShape): PublishedMatrix {
  const { rows, cols } = shape;
  const { kind, tensors } = find(checkpoint, name);
  const { weight, absmax, map, state, nested } = tensors;
  expectDType(weight, 'U8');
  expectDType(absmax, ...(nested ? (['U8'] as const) : (['F32'] as const)));
  expectDType(map, 'F32');
  expectShape(map, [16]);
  expectDType(state, 'U8');
  if (weight.end - weight.begin !== ceilDiv(rows * cols, 2)) expectShape(weight, [ceilDiv(rows * cols, 2), 1]);
  const block = blockSize(tensors, rows * cols);
  if (nested) {
    expectDType(nested.absmax, 'F32');
    expectDType(nested.map, 'F32');
    expectShape(nested.map, [256]);
  }
  let known: Promise<State> | undefined;
  const read = async (info: TensorInfo, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> =>
    readBytes(checkpoint.source, info.file, info.begin, info.end, signal);
  const check = async (signal?: AbortSignal): Promise<State> => {
    const [values, json] = await Promise.all([read(map, signal), read(state, signal)]);
    checkMap(map, kind, decodeFloats(map, values));
    const found = readState(state, json, kind, block, shape);
    if (nested) expectShape(nested.absmax, [ceilDiv(ceilDiv(rows * cols, block), found.nestedBlock)]);
    known = Promise.resolve(found);
    return found;
  };
  /** Codes of rows [begin, end), and absmax of the blocks from block `first` on. */
  const load = async (begin: number, end: number, signal?: AbortSignal): Promise<Loaded> => {
    const found = await (known ?? check(signal));
    const [from, until] = [begin * cols, end * cols];
    const first = Math.floor(from / block);
    const [bytes, scales] = await Promise.all([
      readBytes(
        checkpoint.source,
        weight.file,
        weight.begin + Math.floor(from / 2),
        weight.begin + ceilDiv(until, 2),
        signal,
      ),
      readAbsmax(checkpoint, tensors, found, [first, Math.max(first, ceilDiv(until, block))], signal),
    ]);
    return { bytes, skip: from % 2, scales, first };
  };
  const about = {
    name,
    rows,
    cols,
    format: `bitsandbytes ${kind}${nested ? ' nested' : ''}`,
    file: weight.file,
    storedBytes: bytesIn(weight, absmax, nested?.absmax ?? null),
  };
  // Blocks follow each other through all of W: they lie in whole chunks of a row only where chunks divide the rows.
  const group = cols % block === 0 ? block : CHUNK;
  if (cols % CHUNK !== 0) {
    return dequantised(about, async (begin, end, signal) => {
      const loaded = await load(begin, end, signal);
      return Float32Array.from({ length: (end - begin) * cols }, (_, i) => {
        const scale = loaded.scales[Math.floor((begin * cols + i) / block) - loaded.first]!;
        return Math.fround(VALUES[kind][codeAt(loaded, i)]!) * scale;
      });
    });
  }
  const layout: Layout = { kind, group };
  return {
    ...about,
    layout,
    async read(begin, end, signal) {
      const { bytes, scales, first } = await load(begin, end, signal);
      const part = { rows: end - begin, cols };
      const { scaleRowWords, groups } = planes(layout, part);
      const factors = Float32Array.from({ length: part.rows * groups }, (_, i) => {
        const k = (begin + Math.floor(i / groups)) * cols + (i % groups) * group;
        return scales[Math.floor(k / block) - first]!;
      });
      const ordered = bytes.map((byte) => (byte >>> 4) | (byte << 4));
      return {
        values: new Uint32Array(ordered.buffer).map(nativeNibbles),
        scales: padRows(new Uint8Array(factors.buffer), part.rows, scaleRowWords * 4),
        zeros: NONE,
      };
    },
  };
}

interface Loaded {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Codes before the first row's in the first byte. */
  readonly skip: number;
  readonly scales: Float32Array;
  readonly first: number;
}

function codeAt({ bytes, skip }: Loaded, i: number): number {
  const byte = bytes[(i + skip) >>> 1]!;
  return (i + skip) % 2 === 0 ? byte >>> 4 : byte & 15;
}
