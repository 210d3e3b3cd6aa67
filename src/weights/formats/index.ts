/**
 * From names to weights, whatever format they were published in. Reads headers only; rows are fetched by `PublishedMatrix.read`.
 * A new format is one file and one entry of FORMATS.
 */
import type { Json } from '../../config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../errors.ts';
import type { ExpertStorage, GluNames, MatrixName } from '../../families/family.ts';
import { invariant } from '../../util/assert.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import type { MatrixShape } from '../layout.ts';
import { below, rowsOf, type PublishedMatrix } from '../matrix.ts';
import { decodeFloats, dtypeBits } from '../safetensors/dtype.ts';
import { readBytes } from '../source.ts';
import { awq } from './awq.ts';
import { bitsandbytes } from './bitsandbytes.ts';
import { compressedTensors } from './compressed-tensors.ts';
import { expectShape, type ExpertSlice, type WeightFormat } from './format.ts';
import { fp8 } from './fp8.ts';
import { gguf } from './gguf.ts';
import { gptq } from './gptq.ts';
import { mlx } from './mlx.ts';
import { modelopt } from './modelopt.ts';
import { mxfp4 } from './mxfp4.ts';
import { plainExpert, plainMatrix } from './plain.ts';

const PLAIN: Omit<WeightFormat, 'method'> = {
  check: () => undefined,
  matrix: (checkpoint, _, name, expected) => plainMatrix(checkpoint, name, expected),
  expert: (checkpoint, _, name, slice) => plainExpert(checkpoint, name, slice),
};

const FORMATS: readonly WeightFormat[] = [compressedTensors, mxfp4, gguf, gptq, awq, fp8, modelopt, bitsandbytes, mlx];
/** Configurations that their format runs as they are meant; each is asked about once, before its first tensor. */
const checked = new WeakSet<object>();

function formatOf(quantization: Json | null): Omit<WeightFormat, 'method'> {
  if (quantization === null) return PLAIN;
  const isObject = typeof quantization === 'object' && !Array.isArray(quantization);
  const method = isObject ? quantization.quant_method : undefined;
  if (!isObject || typeof method !== 'string') {
    throw new InvalidCheckpoint(
      'quantization',
      'config.json: quantization_config must be an object with a quant_method',
      {},
    );
  }
  const format = FORMATS.find((f) => f.method === method);
  if (format) {
    if (!checked.has(quantization)) format.check(quantization);
    checked.add(quantization);
    return format;
  }
  const supported = FORMATS.map((f) => f.method);
  throw new UnsupportedModel(
    `config.json: weights quantised with ${JSON.stringify(method.slice(0, 40))} are not supported; supported are ${supported.join(', ')}, and plain bf16, f16, f32. Another upload of the same model may fit`,
    { method, supported },
  );
}

/**
 * Checks config.json's quantization_config without a tensor.
 * @throws UnsupportedModel naming the method or the setting that is not run
 */
export function checkQuantization(quantization: Json | null): void {
  formatOf(quantization);
}

/**
 * The matrix called `name` (without `.weight` or a format's own suffix), or null when the checkpoint has none.
 * @throws InvalidCheckpoint `wrong-shape` when it is not `expected`
 * @throws UnsupportedModel for a format that is not run
 */
export const findMatrix = (
  checkpoint: Checkpoint,
  quantization: Json | null,
  name: string,
  expected: MatrixShape,
): PublishedMatrix | null => formatOf(quantization).matrix(checkpoint, quantization, name, expected);

export interface ExpertShape {
  readonly hidden: number; // D
  readonly width: number; // F
  readonly experts: number; // E
}

/** What becomes of a whole matrix as it is stored: an adapter may be added to it. */
type Adapt = (whole: PublishedMatrix) => PublishedMatrix;

export interface ExpertMatrices {
  /** Without gates, the two are the halves of up, [F / 2, D]; with a double gate of first, gate and up, one below the other, [3F / 2, D]. */
  readonly gate: PublishedMatrix; // [F, D]
  readonly up: PublishedMatrix; // [F, D]
  readonly down: PublishedMatrix; // [D, F]
}

/**
 * The matrices of expert `e`, or null when the checkpoint does not store experts in this way.
 * @param adapt default: nothing
 * @throws InvalidCheckpoint for parts that are missing or of a wrong shape
 * @throws UnsupportedModel for a format that is not run
 */
export function expertMatrices(
  checkpoint: Checkpoint,
  quantization: Json | null,
  storage: ExpertStorage,
  e: number,
  shape: ExpertShape,
  adapt: Adapt = (whole) => whole,
): ExpertMatrices | null {
  if (storage.kind === 'separate') return separateExpert(checkpoint, quantization, storage.expert(e), shape, adapt);
  const found =
    storage.kind === 'flat'
      ? flatExpert(checkpoint, quantization, storage, e, shape)
      : storage.kind === 'double'
        ? doubleExpert(checkpoint, quantization, storage, e, shape)
        : fusedExpert(checkpoint, quantization, storage, e, shape);
  return found && { gate: adapt(found.gate), up: adapt(found.up), down: adapt(found.down) };
}

/** A matrix each, or gate and up as rows of one. */
function separateExpert(
  checkpoint: Checkpoint,
  quantization: Json | null,
  names: GluNames<MatrixName>,
  { hidden, width }: ExpertShape,
  adapt: Adapt,
): ExpertMatrices | null {
  const whole = (name: string, rows: number, cols: number): PublishedMatrix | null => {
    const found = formatOf(quantization).matrix(checkpoint, quantization, name, { rows, cols });
    return found && adapt(found);
  };
  const half = (name: MatrixName): PublishedMatrix | null => {
    if (typeof name === 'string') return whole(name, width, hidden);
    const found = whole(name.of, name.total, hidden);
    return found && rowsOf(found, name.first, name.rows);
  };
  return complete(names, half(names.gate), half(names.up), whole(names.down, hidden, width));
}

/** Expert `e` of tensors of rank 3. */
function fusedExpert(
  checkpoint: Checkpoint,
  quantization: Json | null,
  storage: Extract<ExpertStorage, { kind: 'fused' }>,
  e: number,
  { hidden, width, experts }: ExpertShape,
): ExpertMatrices | null {
  const format = formatOf(quantization);
  const { gateUp, down, orientation, gateRows } = storage;
  const transposed = orientation === 'in-out';
  const half = (part: 'gate' | 'up'): PublishedMatrix | null => {
    const second = part === 'up' ? 1 : 0;
    const rows =
      gateRows === 'even' ? { first: second, stride: 2 as const } : { first: second * width, stride: 1 as const };
    const slice: ExpertSlice = {
      label: `${gateUp}[${e}] ${part}`,
      e,
      experts,
      tensorRows: 2 * width,
      rows: width,
      cols: hidden,
      transposed,
      ...rows,
    };
    return format.expert(checkpoint, quantization, gateUp, slice);
  };
  const whole: ExpertSlice = {
    label: `${down}[${e}]`,
    e,
    experts,
    tensorRows: hidden,
    rows: hidden,
    cols: width,
    first: 0,
    stride: 1,
    transposed,
  };
  return complete(
    { gate: gateUp, up: gateUp, down },
    half('gate'),
    half('up'),
    format.expert(checkpoint, quantization, down, whole),
  );
}

/** Expert `e` of matrices that hold the rows of all. */
function flatExpert(
  checkpoint: Checkpoint,
  quantization: Json | null,
  names: Extract<ExpertStorage, { kind: 'flat' }>,
  e: number,
  { hidden, width, experts }: ExpertShape,
): ExpertMatrices | null {
  const find = (name: string, stored: number, part: MatrixShape, first = 0): PublishedMatrix | null => {
    const transposed = name === names.down;
    const slice = { e, experts, tensorRows: stored, ...part, first, stride: 1, transposed, flat: true } as const;
    const label = part.rows === stored ? `${name}[${e}]` : `${name}[${e}][${first}..${first + part.rows}]`;
    return formatOf(quantization).expert(checkpoint, quantization, name, { ...slice, label });
  };
  const halves = names.gate === names.up;
  const rows = { rows: halves ? width / 2 : width, cols: hidden };
  return complete(
    names,
    find(names.gate, width, rows),
    find(names.up, width, rows, halves ? rows.rows : 0),
    find(names.down, hidden, { rows: hidden, cols: width }),
  );
}

/** Expert `e` of tensors of a double gate. Halves of F rows go into the halves of the three, which are as many rows each. */
function doubleExpert(
  checkpoint: Checkpoint,
  quantization: Json | null,
  names: Extract<ExpertStorage, { kind: 'double' }>,
  e: number,
  { hidden, width, experts }: ExpertShape,
): ExpertMatrices | null {
  const rows = width / 2;
  const find = (name: string, tensorRows: number, part: MatrixShape, first = 0): PublishedMatrix | null => {
    const slice = { e, experts, tensorRows, ...part, first, stride: 1, transposed: true } as const;
    const label = `${name}[${e}][${first}..${first + part.rows}]`;
    return formatOf(quantization).expert(checkpoint, quantization, name, { ...slice, label });
  };
  const halves = (name: string, tensorRows: number): (PublishedMatrix | null)[] =>
    Array.from({ length: tensorRows / rows }, (_, i) => find(name, tensorRows, { rows, cols: hidden }, i * rows));
  const [gates, ups] = [halves(names.gate, 2 * width), halves(names.up, width)];
  const found = complete(names, gates[0]!, ups[0]!, find(names.down, hidden, { rows: hidden, cols: width }));
  if (!found) return null;
  const all = [...gates, ...ups] as PublishedMatrix[];
  return {
    gate: below(`${names.gate}[${e}]`, all.slice(0, 3)),
    up: below(`${names.up}[${e}]`, all.slice(3)),
    down: found.down,
  };
}

/**
 * The matrix of expert `e` in a tensor of rank 3 that holds one for each, or null when the checkpoint has no such tensor.
 * @throws InvalidCheckpoint `wrong-shape`
 */
export function findExpertMatrix(
  checkpoint: Checkpoint,
  quantization: Json | null,
  name: string,
  e: number,
  { rows, cols, experts }: MatrixShape & { readonly experts: number },
): PublishedMatrix | null {
  const slice = { e, experts, tensorRows: rows, rows, cols, first: 0, stride: 1, transposed: false } as const;
  return formatOf(quantization).expert(checkpoint, quantization, name, { ...slice, label: `${name}[${e}]` });
}

function complete(
  names: GluNames<MatrixName>,
  gate: PublishedMatrix | null,
  up: PublishedMatrix | null,
  down: PublishedMatrix | null,
): ExpertMatrices | null {
  if (gate && up && down) return { gate, up, down };
  if (!gate && !up && !down) return null;
  const lacking = !gate ? names.gate : !up ? names.up : names.down;
  const missing = typeof lacking === 'string' ? lacking : lacking.of;
  throw new InvalidCheckpoint(
    'missing-tensor',
    `The checkpoint has no weights for ${missing}, although it has its neighbours`,
    { tensor: missing },
  );
}

/**
 * A norm, a bias or another tensor of `length` values in any number type; dimensions of 1 do not count. Reads headers only.
 * @returns what fetches the values
 * @throws InvalidCheckpoint `missing-tensor`, `wrong-shape`
 */
export function findVector(
  checkpoint: Checkpoint,
  name: string,
  length: number,
): (signal?: AbortSignal) => Promise<Float32Array> {
  const info = checkpoint.tensor(name);
  const dimensions = info.shape.filter((d) => d !== 1);
  if (dimensions.length > 1 || (dimensions[0] ?? 1) !== length) expectShape(info, [length]);
  return (signal) => readFloats(checkpoint, info, 0, length, signal);
}

/** As `findVector`, for a tensor of exactly this shape: its values in the order of the file. @throws InvalidCheckpoint `wrong-shape` */
export function findTensor(
  checkpoint: Checkpoint,
  name: string,
  shape: readonly number[],
): (signal?: AbortSignal) => Promise<Float32Array> {
  const info = checkpoint.tensor(name);
  expectShape(info, shape);
  const length = shape.reduce((a, b) => a * b, 1);
  return (signal) => readFloats(checkpoint, info, 0, length, signal);
}

export interface ExpertBias {
  /** [2F]: gate_0, up_0, gate_1, up_1, ...; without gates [F], of the halves of up. */
  readonly gateUp: Float32Array;
  readonly down: Float32Array; // [D]
}

/**
 * The biases of expert `e`, stored beside its matrices: fused [E, 2F] and [E, D], or one tensor each called `${matrix}.bias`, of which gate and up may be
 * rows. Reads headers only.
 * @returns what fetches the values
 * @throws InvalidCheckpoint `missing-tensor`, `wrong-shape`
 */
export function findExpertBias(
  checkpoint: Checkpoint,
  storage: ExpertStorage,
  e: number,
  { hidden, width, experts }: ExpertShape,
): (signal?: AbortSignal) => Promise<ExpertBias> {
  if (storage.kind === 'separate') {
    const { gate, up, down } = storage.expert(e);
    const ofRows = (name: MatrixName): ((signal?: AbortSignal) => Promise<Float32Array>) => {
      if (typeof name === 'string') return findVector(checkpoint, `${name}.bias`, width);
      const whole = findVector(checkpoint, `${name.of}.bias`, name.total);
      return async (signal) => (await whole(signal)).subarray(name.first, name.first + name.rows);
    };
    const [g, u] = [ofRows(gate), ofRows(up)];
    const d = findVector(checkpoint, `${down}.bias`, hidden);
    return async (signal) => {
      const [gates, ups, downs] = await Promise.all([g(signal), u(signal), d(signal)]);
      return { gateUp: interleave(gates, ups), down: downs };
    };
  }
  invariant(storage.kind === 'fused', 'no family has such experts with biases');
  if (storage.sumBias !== undefined) {
    const sum = findVector(checkpoint, storage.sumBias, hidden);
    return async (signal) => ({ gateUp: new Float32Array(2 * width), down: await sum(signal) });
  }
  const row = (
    name: string | null,
    beside: string,
    length: number,
  ): ((signal?: AbortSignal) => Promise<Float32Array>) => {
    if (name === null)
      throw new InvalidCheckpoint(
        'missing-tensor',
        `config.json announces expert biases, but none are known beside ${beside}`,
        { tensor: beside },
      );
    const info = checkpoint.tensor(name);
    expectShape(info, [experts, length]);
    return (signal) => readFloats(checkpoint, info, e * length, length, signal);
  };
  const gateUp = row(storage.gateUpBias, storage.gateUp, 2 * width);
  const down = row(storage.downBias, storage.down, hidden);
  return async (signal) => {
    const [both, d] = await Promise.all([gateUp(signal), down(signal)]);
    const isPaired = storage.gateRows === 'even';
    return { gateUp: isPaired ? both : interleave(both.subarray(0, width), both.subarray(width)), down: d };
  };
}

function interleave(a: Float32Array, b: Float32Array): Float32Array {
  const out = new Float32Array(a.length + b.length);
  a.forEach((value, i) => (out[2 * i] = value));
  b.forEach((value, i) => (out[2 * i + 1] = value));
  return out;
}

/** `count` values of a tensor from value `first` on. */
async function readFloats(
  { source }: Checkpoint,
  info: TensorInfo,
  first: number,
  count: number,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const unit = dtypeBits(info.dtype) / 8;
  const begin = info.begin + first * unit;
  return decodeFloats(info, await readBytes(source, info.file, begin, begin + count * unit, signal));
}
