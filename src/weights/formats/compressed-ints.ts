/**
 * Integers of compressed-tensors. `pack-quantized`: `weight_packed` i32 [N, K/8 or K/4] with q + 2^(bits-1), lowest bits first; `weight_scale` [N, G];
 * where asymmetric `weight_zero_point`, i32 packed along N [N/8 or N/4, G] or i8 [N, G]; `weight_shape` [2] = N, K.
 * `int-quantized`: `weight` i8 [N, K], the rest alike.
 */
import { UnsupportedModel } from '../../errors.ts';
import { ceilDiv } from '../../util/math.ts';
import type { Checkpoint, TensorInfo } from '../checkpoint.ts';
import { planes, type IntLayout, type MatrixShape } from '../layout.ts';
import type { NativeRows, PublishedMatrix } from '../matrix.ts';
import { dtypeBits } from '../safetensors/dtype.ts';
import type { IntScheme } from './compressed-config.ts';
import { checkDeclaredShape, checkGroupIndex, groupIndex } from './declared.ts';
import { dequantised } from './dequantised.ts';
import { expectDType, expectShape } from './format.ts';
import { intFloats, intRows } from './int-rows.ts';
import { padRows } from './plain.ts';
import { plainRows, type RowReader } from './rows.ts';
import { bytesIn, nativeGroup, scaleType } from './scales.ts';

const NONE = new Uint32Array(0);

interface Parts {
  readonly weights: TensorInfo;
  /** Published order, whole words a row. */
  readonly words: (begin: number, end: number, signal?: AbortSignal) => Promise<Uint32Array<ArrayBuffer>>;
  readonly bits: 4 | 8;
}

function packedParts(checkpoint: Checkpoint, name: string, { rows, cols }: MatrixShape, bits: 4 | 8): Parts {
  const weights = checkpoint.tensor(`${name}.weight_packed`);
  const perRow = ceilDiv(cols, 32 / bits);
  expectDType(weights, 'I32');
  expectShape(weights, [rows, perRow]);
  const stored = plainRows(checkpoint, weights, { rowBytes: perRow * 4 });
  return {
    weights,
    bits,
    words: async (begin, end, signal) => new Uint32Array((await stored(begin, end, signal)).buffer),
  };
}

/** One signed byte a weight, whatever number of bits it uses. */
function byteParts(checkpoint: Checkpoint, name: string, { rows, cols }: MatrixShape): Parts {
  const weights = checkpoint.tensor(`${name}.weight`);
  expectDType(weights, 'I8');
  expectShape(weights, [rows, cols]);
  const stored = plainRows(checkpoint, weights, { rowBytes: cols });
  return {
    weights,
    bits: 8,
    words: async (begin, end, signal) => {
      const bytes = (await stored(begin, end, signal)).map((q) => q ^ 128);
      return padRows(bytes, end - begin, ceilDiv(cols, 4) * 4);
    },
  };
}

/** @throws InvalidCheckpoint, UnsupportedModel */
export function compressedInts(
  checkpoint: Checkpoint,
  name: string,
  expected: MatrixShape,
  scheme: IntScheme,
): PublishedMatrix {
  const { rows, cols } = expected;
  const isPacked = scheme.kind === 'packed';
  const parts = isPacked ? packedParts(checkpoint, name, expected, scheme.bits) : byteParts(checkpoint, name, expected);
  const { weights, bits } = parts;
  const group = nativeGroup(scheme.group, cols, name);
  const groups = ceilDiv(cols, group);
  const scale = checkpoint.tensor(`${name}.weight_scale`);
  expectShape(scale, scheme.strategy === 'tensor' ? [1] : [rows, groups]);
  // Both are checked with the first rows that are read.
  const indexName = `${name}.weight_g_idx`;
  for (const beside of [`${name}.weight_shape`, indexName]) checkpoint.has(beside);
  const zero = findZeros(checkpoint, name, { ...scheme, bits }, { rows, groups });
  const layout: IntLayout = { kind: 'int', bits, group, scale: scaleType(scale), zeros: zero !== null };
  const scales = scaleRows(checkpoint, scale, scheme, groups);
  const size = scheme.group === null ? `per ${scheme.strategy}` : `g${scheme.group}`;
  const about = {
    name,
    rows,
    cols,
    format: `compressed-tensors int${scheme.bits} ${size}${zero ? ' with zero points' : ''}${scheme.actOrder ? ' act-order' : ''}`,
    file: weights.file,
    storedBytes: bytesIn(weights, scale, zero?.info ?? null),
  };
  let checked = false;
  const check = async (signal?: AbortSignal): Promise<void> => {
    if (checked) return;
    await Promise.all([
      checkDeclaredShape(checkpoint, name, expected, signal),
      scheme.actOrder || checkGroupIndex(checkpoint, indexName, cols, group, signal),
    ]);
    checked = true;
  };
  const load = async (begin: number, end: number, signal?: AbortSignal): Promise<NativeRows> => {
    await check(signal);
    const [v, s, z] = await Promise.all([
      parts.words(begin, end, signal),
      scales(begin, end, signal),
      zero?.rows(begin, end, signal) ?? null,
    ]);
    const count = end - begin;
    const p = planes(layout, { rows: count, cols });
    return {
      values: intRows(v, layout, { rows: count, cols }, z),
      scales: padRows(s, count, p.scaleRowWords * 4),
      zeros: z ? padRows(z, count, p.zeroRowWords * 4) : NONE,
    };
  };
  if (!scheme.actOrder) return { ...about, layout, read: load };
  const index = groupIndex(checkpoint, indexName, cols, groups);
  return dequantised(about, async (begin, end, signal) => {
    const [native, groupOf] = await Promise.all([load(begin, end, signal), index(signal)]);
    return intFloats(native, layout, { rows: end - begin, cols }, groupOf);
  });
}

/** One scale for the whole matrix is repeated for every row. */
function scaleRows(checkpoint: Checkpoint, info: TensorInfo, { strategy }: IntScheme, groups: number): RowReader {
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
  { bits, strategy, symmetric }: IntScheme,
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
