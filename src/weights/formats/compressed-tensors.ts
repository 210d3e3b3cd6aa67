/**
 * compressed-tensors, `pack-quantized`: `weight_packed` i32 [N, K/8 or K/4] with q + 2^(bits-1), lowest bits first; `weight_scale` [N, G];
 * where asymmetric `weight_zero_point`, i32 packed along N [N/8 or N/4, G] or i8 [N, G]; `weight_shape` [2] = N, K.
 */
import type { Json } from '../../config/read.ts';
import { UnsupportedModel } from '../../errors.ts';
import { ceilDiv } from '../../util/math.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import { CHUNK, planes, type Layout, type MatrixShape, type ScaleType } from '../layout.ts';
import type { PublishedMatrix } from '../matrix.ts';
import { dtypeBits } from '../safetensors/dtype.ts';
import { compressedConfig, type PackedScheme } from './compressed-config.ts';
import { checkDeclaredShape, checkGroupIndex } from './declared.ts';
import { expectDType, expectShape, type WeightFormat } from './format.ts';
import { nativeNibbles, nibbleBit } from './nibbles.ts';
import { padRows, plainExpert, plainMatrix } from './plain.ts';
import { plainRows, type RowReader } from './rows.ts';

type IntLayout = Extract<Layout, { kind: 'int' }>;

const NONE = new Uint32Array(0);

function scaleType(info: TensorInfo): ScaleType {
  expectDType(info, 'F32', 'F16', 'BF16');
  return info.dtype === 'F32' ? 'f32' : info.dtype === 'F16' ? 'f16' : 'bf16';
}

function groupOf({ group, strategy }: PackedScheme, cols: number, name: string): number {
  if (group === null || group >= cols) return cols;
  if (group % CHUNK === 0) return group;
  throw new UnsupportedModel(`${name} has ${strategy}s of ${group} weights; webmoe runs multiples of ${CHUNK}`, {
    tensor: name,
    group,
  });
}

function packedMatrix(
  checkpoint: Checkpoint,
  quantization: Json,
  name: string,
  expected: MatrixShape,
): PublishedMatrix | null {
  if (!checkpoint.has(`${name}.weight_packed`)) return null;
  const { rows, cols } = expected;
  const scheme = compressedConfig(quantization).schemeOf(name);
  const { bits } = scheme;
  const perWord = 32 / bits;
  const packed = checkpoint.tensor(`${name}.weight_packed`);
  expectDType(packed, 'I32');
  expectShape(packed, [rows, ceilDiv(cols, perWord)]);
  const group = groupOf(scheme, cols, name);
  const groups = ceilDiv(cols, group);
  const scale = checkpoint.tensor(`${name}.weight_scale`);
  expectShape(scale, scheme.strategy === 'tensor' ? [1] : [rows, groups]);
  // Both are checked with the first rows that are read.
  for (const beside of ['weight_shape', 'weight_g_idx']) checkpoint.has(`${name}.${beside}`);
  const zero = findZeros(checkpoint, name, scheme, { rows, groups });
  const layout: IntLayout = { kind: 'int', bits, group, scale: scaleType(scale), zeros: zero !== null };
  const values = plainRows(checkpoint, packed, { rowBytes: packed.shape[1]! * 4 });
  const scales = scaleRows(checkpoint, scale, scheme, groups);
  let checked = false;
  return {
    name,
    rows,
    cols,
    layout,
    format: `compressed-tensors int${bits} ${scheme.group === null ? `per ${scheme.strategy}` : `g${scheme.group}`}${zero ? ' with zero points' : ''}`,
    file: packed.file,
    storedBytes: [packed, scale, zero?.info].reduce((n, info) => n + (info ? info.end - info.begin : 0), 0),
    async read(begin, end, signal) {
      if (!checked) {
        await Promise.all([
          checkDeclaredShape(checkpoint, name, expected, signal),
          checkGroupIndex(checkpoint, name, cols, group, signal),
        ]);
        checked = true;
      }
      const [v, s, z] = await Promise.all([
        values(begin, end, signal),
        scales(begin, end, signal),
        zero?.rows(begin, end, signal) ?? null,
      ]);
      const count = end - begin;
      const p = planes(layout, { rows: count, cols });
      return {
        values: packedValues(v, layout, { rows: count, cols }, z),
        scales: padRows(s, count, p.scaleRowWords * 4),
        zeros: z ? padRows(z, count, p.zeroRowWords * 4) : NONE,
      };
    },
  };
}

/** One scale for the whole matrix is repeated for every row. */
function scaleRows(checkpoint: Checkpoint, info: TensorInfo, { strategy }: PackedScheme, groups: number): RowReader {
  const unit = dtypeBits(info.dtype) / 8;
  const stored = plainRows(checkpoint, info, { rowBytes: groups * unit });
  if (strategy !== 'tensor') return stored;
  return async (begin, end, signal) => {
    const one = await stored(0, 1, signal);
    const out = new Uint8Array((end - begin) * unit);
    for (let at = 0; at < out.length; at += unit) out.set(one, at);
    return out;
  };
}

interface Zeros {
  readonly info: TensorInfo;
  /** One byte a group, unsigned. */
  readonly rows: RowReader;
}

function findZeros(
  checkpoint: Checkpoint,
  name: string,
  { bits, strategy, symmetric }: PackedScheme,
  shape: { rows: number; groups: number },
): Zeros | null {
  const full = `${name}.weight_zero_point`;
  if (symmetric && !checkpoint.has(full)) return null;
  const info = checkpoint.tensor(full);
  expectDType(info, 'I32', 'I8');
  if (strategy === 'tensor') {
    throw new UnsupportedModel(
      `${full}: zero points are supported for groups and channels, not with one scale for the whole matrix`,
      { tensor: full },
    );
  }
  const { rows, groups } = shape;
  if (info.dtype === 'I8') {
    expectShape(info, [rows, groups]);
    const stored = plainRows(checkpoint, info, { rowBytes: groups });
    return {
      info,
      rows: async (begin, end, signal) => (await stored(begin, end, signal)).map((z) => z + 2 ** (bits - 1)),
    };
  }
  const perWord = 32 / bits;
  expectShape(info, [ceilDiv(rows, perWord), groups]);
  const stored = plainRows(checkpoint, info, { rowBytes: groups * 4 });
  return {
    info,
    rows: async (begin, end, signal) => {
      const first = Math.floor(begin / perWord);
      const words = new Uint32Array((await stored(first, ceilDiv(end, perWord), signal)).buffer);
      const out = new Uint8Array((end - begin) * groups);
      for (let row = begin; row < end; row++) {
        const word = (Math.floor(row / perWord) - first) * groups;
        const shift = (row % perWord) * bits;
        for (let g = 0; g < groups; g++)
          out[(row - begin) * groups + g] = (words[word + g]! >>> shift) & (2 ** bits - 1);
      }
      return out;
    },
  };
}

/** Native words; columns from K on become the zero point, which stands for 0. */
function packedValues(
  bytes: Uint8Array<ArrayBuffer>,
  layout: IntLayout,
  { rows, cols }: MatrixShape,
  zeros: Uint8Array | null,
): Uint32Array {
  const { bits } = layout;
  const stored = new Uint32Array(bytes.buffer);
  const native = bits === 4 ? stored.map(nativeNibbles) : stored;
  if (cols % CHUNK === 0) return native;
  const p = planes(layout, { rows, cols });
  const out = padRows(new Uint8Array(native.buffer), rows, p.valueRowWords * 4);
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  for (let row = 0; row < rows; row++) {
    const zero = zeros ? zeros[(row + 1) * p.groups - 1]! : 2 ** (bits - 1);
    for (let k = cols; k < p.chunks * CHUNK; k++) {
      const word = row * p.valueRowWords + Math.floor(k / perWord);
      const shift = bits === 4 ? nibbleBit(k % 8) : 8 * (k % 4);
      out[word] = (out[word]! & ~(mask << shift)) | ((zero & mask) << shift);
    }
  }
  return out;
}

export const compressedTensors: WeightFormat = {
  method: 'compressed-tensors',
  check: (quantization) => void compressedConfig(quantization),
  matrix: (checkpoint, quantization, name, expected) =>
    packedMatrix(checkpoint, quantization, name, expected) ?? plainMatrix(checkpoint, name, expected),
  expert: (checkpoint, _, name, slice) => plainExpert(checkpoint, name, slice),
};
