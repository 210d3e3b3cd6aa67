/**
 * MLX: `weight` u32 [N, K/8 or K/4], the first weight in the lowest bits, `scales` and `biases` [N, G]: w = scale * q + bias. Mode mxfp4: `scales` u8
 * [N, K/32], e8m0. Experts are stacked, one tensor [E, ...] a projection.
 */
import { InvalidCheckpoint } from '../../errors.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import { CHUNK, planes, type IntLayout, type Layout, type MatrixShape } from '../layout.ts';
import type { PublishedMatrix } from '../matrix.ts';
import { decodeFloats, dtypeBits } from '../safetensors/dtype.ts';
import { expectDType, expectShape, type WeightFormat } from './format.ts';
import { mlxConfig, type MlxScheme } from './mlx-config.ts';
import { nativeNibbles } from './nibbles.ts';
import { padRows, plainExpert, plainMatrix } from './plain.ts';
import { plainRows, type RowReader } from './rows.ts';
import { scaleType } from './scales.ts';

const NONE = new Uint32Array(0);

/** Where a matrix is: a module of its own, or a place in a stack. */
interface Place {
  readonly module: string;
  readonly e: number | null;
}

/** What other makers call the projections of an expert. */
const PROJECTIONS: Readonly<Record<string, string>> = { w1: 'gate_proj', w3: 'up_proj', w2: 'down_proj' };
const STACKS = ['switch_mlp', 'switch_glu', 'experts'];

function placeOf(checkpoint: Checkpoint, name: string): Place {
  const expert = /^(.+)\.experts\.(\d+)\.(\w+)$/.exec(name);
  if (!expert) return { module: name, e: null };
  const [, block, e, projection] = expert as unknown as [string, string, string, string];
  const stacked = STACKS.map((stack) => `${block}.${stack}.${PROJECTIONS[projection] ?? projection}`);
  const module = stacked.find((m) => checkpoint.has(`${m}.weight`));
  return module === undefined ? { module: name, e: null } : { module, e: Number(e) };
}

/** Rows of a tensor [N, row] or of one place of [E, N, row]. */
function rowsOf(
  checkpoint: Checkpoint,
  info: TensorInfo,
  e: number | null,
  shape: readonly [number, number],
): RowReader {
  const [rows, columns] = shape;
  expectShape(info, e === null ? shape : [Math.max(info.shape[0] ?? 0, e + 1), ...shape]);
  const rowBytes = (columns * dtypeBits(info.dtype)) / 8;
  return plainRows(checkpoint, info, { rowBytes, at: (e ?? 0) * rows * rowBytes });
}

function quantised(
  checkpoint: Checkpoint,
  name: string,
  { module, e }: Place,
  { rows, cols }: MatrixShape,
  scheme: MlxScheme,
): PublishedMatrix {
  const bits = scheme.mode === 'affine' ? scheme.bits : 4;
  const group = scheme.mode === 'affine' ? scheme.group : CHUNK;
  const weight = checkpoint.tensor(`${module}.weight`);
  const scales = checkpoint.tensor(`${module}.scales`);
  if (cols % group !== 0) {
    throw new InvalidCheckpoint(
      'wrong-shape',
      `${weight.name} holds groups of ${group}, but config.json asks for ${cols} columns`,
      { tensor: weight.name, expected: cols },
    );
  }
  const groups = cols / group;
  expectDType(weight, 'U32');
  const codes = rowsOf(checkpoint, weight, e, [rows, (cols * bits) / 32]);
  const first = rowsOf(checkpoint, scales, e, [rows, groups]);
  const values = async (begin: number, end: number, signal?: AbortSignal): Promise<Uint32Array> => {
    const words = new Uint32Array((await codes(begin, end, signal)).buffer);
    return bits === 4 ? words.map(nativeNibbles) : words;
  };
  const valueBytes = (rows * cols * bits) / 8;
  const scaleBytes = (rows * groups * dtypeBits(scales.dtype)) / 8;
  const about = { name, rows, cols, file: weight.file };
  if (scheme.mode === 'mxfp4') {
    expectDType(scales, 'U8');
    const layout: Layout = { kind: 'mxfp4' };
    return {
      ...about,
      layout,
      format: 'mlx mxfp4',
      storedBytes: valueBytes + scaleBytes,
      async read(begin, end, signal) {
        const [v, s] = await Promise.all([values(begin, end, signal), first(begin, end, signal)]);
        const { scaleRowWords } = planes(layout, { rows: end - begin, cols });
        return { values: v, scales: padRows(s, end - begin, scaleRowWords * 4), zeros: NONE };
      },
    };
  }
  const biases = checkpoint.tensor(`${module}.biases`);
  expectDType(biases, scales.dtype);
  const second = rowsOf(checkpoint, biases, e, [rows, groups]);
  const layout: IntLayout = { kind: 'int', bits: scheme.bits, group, scale: scaleType(scales), zeros: 'f32' };
  return {
    ...about,
    layout,
    format: `mlx int${bits} g${group}`,
    storedBytes: valueBytes + 2 * scaleBytes,
    async read(begin, end, signal) {
      const [v, s, b] = await Promise.all([
        values(begin, end, signal),
        first(begin, end, signal),
        second(begin, end, signal),
      ]);
      const zeros = zeroPoints(decodeFloats(scales, s), decodeFloats(biases, b), name);
      const p = planes(layout, { rows: end - begin, cols });
      return {
        values: v,
        scales: padRows(s, end - begin, p.scaleRowWords * 4),
        zeros: padRows(new Uint8Array(zeros.buffer), end - begin, p.zeroRowWords * 4),
      };
    },
  };
}

/** scale * q + bias = scale * (q - zero) */
function zeroPoints(scales: Float32Array, biases: Float32Array, name: string): Float32Array<ArrayBuffer> {
  return Float32Array.from(scales, (scale, i) => {
    const bias = biases[i]!;
    if (bias === 0) return 0;
    const zero = -bias / scale;
    if (Number.isFinite(zero)) return zero;
    throw new InvalidCheckpoint('quantization', `${name} has the scale ${scale} beside the bias ${bias}`, {
      tensor: name,
    });
  });
}

/** A matrix that was left alone: its own tensor, or a place in a stack. */
function plain(checkpoint: Checkpoint, name: string, { module, e }: Place, shape: MatrixShape): PublishedMatrix | null {
  if (e === null) return plainMatrix(checkpoint, name, shape);
  const experts = Math.max(checkpoint.tensor(`${module}.weight`).shape[0] ?? 0, e + 1);
  return plainExpert(checkpoint, module, {
    ...shape,
    label: name,
    e,
    experts,
    tensorRows: shape.rows,
    first: 0,
    stride: 1,
    transposed: false,
  });
}

export const mlx: WeightFormat = {
  method: 'mlx',
  check: (quantization) => void mlxConfig(quantization),
  matrix(checkpoint, quantization, name, shape) {
    const place = placeOf(checkpoint, name);
    if (!checkpoint.has(`${place.module}.scales`)) return plain(checkpoint, name, place, shape);
    const scheme = mlxConfig(quantization).schemeOf(place.module);
    if (scheme) return quantised(checkpoint, name, place, shape, scheme);
    throw new InvalidCheckpoint(
      'quantization',
      `${place.module} is quantised, but config.json: quantization says that it is not`,
      { tensor: place.module },
    );
  },
  expert: (checkpoint, _, name, slice) => plainExpert(checkpoint, name, slice),
};
