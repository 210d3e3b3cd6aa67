/**
 * Matrices as quantisers publish them: integers, codes and scales drawn at random, laid out by each format's own definition, and the numbers that
 * they stand for in doubles. Written without anything of src/weights.
 */
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../src/util/half.ts';
import { prng } from '../../src/util/prng.ts';
import type { Encoding, Wanted } from './synthetic.ts';
import { bytesOf, type TensorSpec } from './weights.ts';

type Spec = Record<string, TensorSpec>;

export const tensor = (dtype: string, shape: readonly number[], values: ArrayBufferView): TensorSpec => ({
  dtype,
  shape,
  bytes: bytesOf(values),
});

export interface Sizes {
  readonly base: string;
  readonly rows: number;
  readonly cols: number;
  readonly draw: (below: number) => number;
}

const sizesOf = ({ name, shape, values }: Wanted): Sizes => {
  const [rows, cols] = shape as [number, number];
  const random = prng(values.length + 7 * rows);
  return { base: name.replace(/\.weight$/, ''), rows, cols, draw: (below) => Math.floor(below * random()) };
};

/** Numbers W [N, K] from a formula. */
const numbersOf = (rows: number, cols: number, at: (n: number, k: number) => number): Float64Array =>
  Float64Array.from({ length: rows * cols }, (_, i) => at(Math.floor(i / cols), i % cols));

export type ScaleDType = 'F32' | 'F16' | 'BF16';

/** `count` scales near `size`, as stored and as numbers. */
function drawScales(type: ScaleDType, count: number, size: number, draw: Sizes['draw']): [ArrayBufferView, number[]] {
  const exact = Array.from({ length: count }, () => size * (0.5 + draw(1000) / 1000));
  if (type === 'F32') return [Float32Array.from(exact), exact.map(Math.fround)];
  const [to, from] = type === 'F16' ? [f32ToF16, f16ToF32] : [f32ToBf16, bf16ToF32];
  const bits = Uint16Array.from(exact, to);
  return [bits, [...bits].map(from)];
}

export interface ColumnOptions {
  readonly bits?: 4 | 8;
  /** null: one group. */
  readonly group: number | null;
  readonly version?: 1 | 2;
  readonly actOrder?: boolean;
  readonly sym?: boolean;
}

interface Columns extends Sizes {
  readonly q: readonly number[][]; // [K][N]
  readonly z: readonly number[][]; // [G][N]
  readonly groupOf: readonly number[];
  readonly groups: number;
  readonly scales: ArrayBufferView;
  readonly numbers: Float64Array;
}

function drawColumns(wanted: Wanted, { bits = 4, group, actOrder = false, sym = false }: ColumnOptions): Columns {
  const sizes = sizesOf(wanted);
  const { rows, cols, draw } = sizes;
  const size = group ?? cols;
  const groups = Math.ceil(cols / size);
  const table = (height: number, value: () => number): number[][] =>
    Array.from({ length: height }, () => Array.from({ length: rows }, value));
  const q = table(cols, () => draw(2 ** bits));
  const z = table(groups, () => (sym ? 2 ** (bits - 1) : draw(2 ** bits)));
  const order = Array.from({ length: cols }, (_, k) => k);
  if (actOrder) for (let i = cols - 1; i > 0; i--) order.push(...order.splice(draw(i + 1), 1));
  const groupOf = Array.from({ length: cols }, () => 0);
  order.forEach((k, place) => (groupOf[k] = Math.floor(place / size)));
  const [scales, s] = drawScales('F16', groups * rows, 0.4 / 2 ** bits, draw);
  const numbers = numbersOf(rows, cols, (n, k) => {
    const g = groupOf[k]!;
    return s[g * rows + n]! * (q[k]![n]! - z[g]![n]!);
  });
  return { ...sizes, q, z, groupOf, groups, scales, numbers };
}

/** Codes of a list in words, the first in the lowest bits. */
const pack = (codes: readonly number[], bits: number): number[] =>
  Array.from({ length: Math.ceil((codes.length * bits) / 32) }, (_, w) => {
    let word = 0n;
    for (let i = 0; i < 32 / bits; i++) word |= BigInt(codes[(w * 32) / bits + i] ?? 0) << BigInt(bits * i);
    return Number(word);
  });

export const gptqEncoding =
  (options: ColumnOptions): Encoding =>
  (wanted) => {
    const { bits = 4, version = 1 } = options;
    const { base, rows, cols, q, z, groupOf, groups, scales, numbers } = drawColumns(wanted, options);
    const columns = Array.from({ length: rows }, (_, n) =>
      pack(
        q.map((row) => row[n]!),
        bits,
      ),
    );
    const words = columns[0]!.flatMap((_, j) => columns.map((column) => column[j]!));
    const stored = (zero: number): number => (version === 1 ? (zero + 2 ** bits - 1) % 2 ** bits : zero);
    const zeros = z.map((row) => pack(row.map(stored), bits));
    return {
      numbers,
      stored: {
        [`${base}.qweight`]: tensor('I32', [Math.ceil((cols * bits) / 32), rows], Uint32Array.from(words)),
        [`${base}.qzeros`]: tensor('I32', [groups, zeros[0]!.length], Uint32Array.from(zeros.flat())),
        [`${base}.scales`]: tensor('F16', [groups, rows], scales),
        [`${base}.g_idx`]: tensor('I32', [cols], Int32Array.from(groupOf)),
      },
    };
  };

export const awqEncoding =
  (options: Pick<ColumnOptions, 'group'>): Encoding =>
  (wanted) => {
    const { base, rows, cols, q, z, groups, scales, numbers } = drawColumns(wanted, options);
    const interleaved = (row: readonly number[]): number[] => {
      const out: number[] = [];
      for (let n = 0; n < row.length; n += 8) for (const i of [0, 2, 4, 6, 1, 3, 5, 7]) out.push(row[n + i] ?? 0);
      return pack(out, 4);
    };
    const perRow = Math.ceil(rows / 8);
    return {
      numbers,
      stored: {
        [`${base}.qweight`]: tensor('I32', [cols, perRow], Uint32Array.from(q.flatMap(interleaved))),
        [`${base}.qzeros`]: tensor('I32', [groups, perRow], Uint32Array.from(z.flatMap(interleaved))),
        [`${base}.scales`]: tensor('F16', [groups, rows], scales),
      },
    };
  };

/** Sign, 4 bits of exponent, 3 of mantissa. */
export const e4m3 = (code: number): number => {
  const exponent = (code >> 3) & 15;
  const size = exponent === 0 ? (code & 7) / 512 : (1 + (code & 7) / 8) * 2 ** (exponent - 7);
  return code & 128 ? -size : size;
};
/** A code of moderate size, so that a matrix of them has no giants. */
const drawE4m3 = (draw: Sizes['draw']): number => draw(2) * 128 + draw(0x40);

export interface Fp8Options {
  /** null: all rows, or all columns. */
  readonly block: readonly [rows: number | null, cols: number | null];
  readonly suffix: 'weight_scale_inv' | 'weight_scale';
  readonly scale?: ScaleDType;
  /** Shape of the scales where it is not the grid's. */
  readonly shape?: readonly number[];
}

export const fp8Encoding =
  ({ block, suffix, scale = 'F32', shape }: Fp8Options): Encoding =>
  (wanted) => {
    const { base, rows, cols, draw } = sizesOf(wanted);
    const [height, width] = [block[0] ?? rows, block[1] ?? cols];
    const grid = [Math.ceil(rows / height), Math.ceil(cols / width)] as const;
    const codes = Uint8Array.from({ length: rows * cols }, () => drawE4m3(draw));
    const [stored, s] = drawScales(scale, grid[0] * grid[1], 0.2, draw);
    return {
      numbers: numbersOf(
        rows,
        cols,
        (n, k) => e4m3(codes[n * cols + k]!) * s[Math.floor(n / height) * grid[1] + Math.floor(k / width)]!,
      ),
      stored: {
        [`${base}.weight`]: tensor('F8_E4M3', [rows, cols], codes),
        [`${base}.${suffix}`]: tensor(scale, shape ?? grid, stored),
        [`${base}.input_scale`]: tensor('F32', [1], Float32Array.of(3)),
      },
    };
  };

const E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];
const lowFirst = (codes: readonly number[]): Uint8Array =>
  Uint8Array.from({ length: codes.length / 2 }, (_, i) => codes[2 * i]! | (codes[2 * i + 1]! << 4));

export const nvfp4Encoding =
  (maker: 'modelopt' | 'compressed-tensors'): Encoding =>
  (wanted) => {
    const { base, rows, cols, draw } = sizesOf(wanted);
    const codes = Array.from({ length: rows * cols }, () => draw(16));
    const fine = Uint8Array.from({ length: (rows * cols) / 16 }, () => 0x60 + draw(0x1e));
    const isModelopt = maker === 'modelopt';
    const factor = Math.fround(0.0003 * (1 + draw(100) / 100));
    const divisor = Math.fround(1 / factor);
    const global = isModelopt ? factor : Math.fround(1 / divisor);
    const stored: Spec = {
      [`${base}.${isModelopt ? 'weight' : 'weight_packed'}`]: tensor('U8', [rows, cols / 2], lowFirst(codes)),
      [`${base}.weight_scale`]: tensor('F8_E4M3', [rows, cols / 16], fine),
      [`${base}.${isModelopt ? 'weight_scale_2' : 'weight_global_scale'}`]: tensor(
        'F32',
        isModelopt ? [] : [1],
        Float32Array.of(isModelopt ? factor : divisor),
      ),
      [`${base}.input_scale`]: tensor('F32', [], Float32Array.of(3)),
    };
    return {
      numbers: numbersOf(rows, cols, (n, k) => {
        const i = n * cols + k;
        return E2M1[codes[i]!]! * e4m3(fine[Math.floor(i / 16)]!) * global;
      }),
      stored,
    };
  };

export const mxfp4RowsEncoding: Encoding = (wanted) => {
  const { base, rows, cols, draw } = sizesOf(wanted);
  const codes = Array.from({ length: rows * cols }, () => draw(16));
  const exponents = Uint8Array.from({ length: (rows * cols) / 32 }, () => 122 + draw(3));
  return {
    numbers: numbersOf(rows, cols, (n, k) => {
      const i = n * cols + k;
      return E2M1[codes[i]!]! * 2 ** (exponents[Math.floor(i / 32)]! - 127);
    }),
    stored: {
      [`${base}.weight_packed`]: tensor('U8', [rows, cols / 2], lowFirst(codes)),
      [`${base}.weight_scale`]: tensor('U8', [rows, cols / 32], exponents),
    },
  };
};

/** Quantiles of the normal distribution as the paper prints them, and sign, exponent, mantissa over 12. */
const NF4 = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];
const FP4 = [0, 0.0625, 8, 12, 4, 6, 2, 3].map((x) => x / 12);
const CODES = { nf4: NF4, fp4: [...FP4, ...FP4.map((x) => -x)] };

export interface BnbOptions {
  readonly kind: 'nf4' | 'fp4';
  readonly block?: number;
  readonly nested?: boolean;
}

export const bnb4Encoding =
  ({ kind, block = 64, nested = false }: BnbOptions): Encoding =>
  (wanted) => {
    const { base, rows, cols, draw } = sizesOf(wanted);
    const at = (suffix: string): string => `${base}.weight.${suffix}`;
    const count = rows * cols;
    const values = CODES[kind].map(Math.fround);
    const codes = Array.from({ length: count + (count % 2) }, () => draw(16));
    const blocks = Math.ceil(count / block);
    const nestedBlock = 256;
    const map = Float32Array.from({ length: 256 }, (_, i) => (i - 128) / 128);
    const coarse = Float32Array.from({ length: Math.ceil(blocks / nestedBlock) }, () => 0.1 + draw(100) / 1000);
    const offset = 0.4;
    const absmaxCodes = Uint8Array.from({ length: blocks }, () => draw(256));
    const absmax = Float32Array.from({ length: blocks }, (_, i) =>
      nested ? map[absmaxCodes[i]!]! * coarse[Math.floor(i / nestedBlock)]! + offset : 0.2 + draw(100) / 200,
    );
    const state = {
      quant_type: kind,
      blocksize: block,
      dtype: 'bfloat16',
      shape: [rows, cols],
      ...(nested ? { nested_blocksize: nestedBlock, nested_dtype: 'float32', nested_offset: offset } : {}),
    };
    const json = new TextEncoder().encode(JSON.stringify(state));
    return {
      numbers: numbersOf(rows, cols, (n, k) => {
        const i = n * cols + k;
        return values[codes[i]!]! * absmax[Math.floor(i / block)]!;
      }),
      stored: {
        [`${base}.weight`]: tensor(
          'U8',
          [Math.ceil(count / 2), 1],
          Uint8Array.from({ length: codes.length / 2 }, (_, i) => (codes[2 * i]! << 4) | codes[2 * i + 1]!),
        ),
        [at('absmax')]: nested ? tensor('U8', [blocks], absmaxCodes) : tensor('F32', [blocks], absmax),
        [at('quant_map')]: tensor('F32', [16], Float32Array.from(values)),
        [at(`quant_state.bitsandbytes__${kind}`)]: tensor('U8', [json.length], json),
        ...(nested
          ? {
              [at('nested_absmax')]: tensor('F32', [coarse.length], coarse),
              [at('nested_quant_map')]: tensor('F32', [256], map),
            }
          : {}),
      },
    };
  };

export const bnb8Encoding: Encoding = (wanted) => {
  const { base, rows, cols, draw } = sizesOf(wanted);
  const q = Int8Array.from({ length: rows * cols }, () => draw(255) - 127);
  const scb = Float32Array.from({ length: rows }, () => 0.2 + draw(100) / 500);
  return {
    numbers: numbersOf(rows, cols, (n, k) => q[n * cols + k]! * Math.fround(scb[n]! / 127)),
    stored: {
      [`${base}.weight`]: tensor('I8', [rows, cols], q),
      [`${base}.SCB`]: tensor('F32', [rows], scb),
      [`${base}.weight_format`]: tensor('U8', [], Uint8Array.of(0)),
    },
  };
};

export interface MlxOptions {
  readonly bits: 4 | 8;
  readonly group: number;
  readonly scale?: ScaleDType;
}

/** One matrix, or [E, N, K] stacked. */
export const mlxEncoding =
  ({ bits, group, scale = 'BF16' }: MlxOptions): Encoding =>
  ({ name, shape, values }) => {
    const cols = shape.at(-1)!;
    const rows = values.length / cols; // of all experts
    const { base, draw } = sizesOf({ name, shape: [rows, cols], values });
    const groups = cols / group;
    const codes = Array.from({ length: rows * cols }, () => draw(2 ** bits));
    const words = Array.from({ length: rows }, (_, n) => pack(codes.slice(n * cols, (n + 1) * cols), bits));
    const [scales, s] = drawScales(scale, rows * groups, 0.4 / 2 ** bits, draw);
    const [biases, b] = drawScales(scale, rows * groups, -0.2, draw);
    const as = (last: number): number[] => [...shape.slice(0, -1), last];
    return {
      numbers: numbersOf(rows, cols, (n, k) => {
        const g = n * groups + Math.floor(k / group);
        return s[g]! * codes[n * cols + k]! + b[g]!;
      }),
      stored: {
        [`${base}.weight`]: tensor('U32', as((cols * bits) / 32), Uint32Array.from(words.flat())),
        [`${base}.scales`]: tensor(scale, as(groups), scales),
        [`${base}.biases`]: tensor(scale, as(groups), biases),
      },
    };
  };

export interface BytesOptions {
  readonly group: number | null;
  readonly zeros?: boolean;
  readonly bits?: 4 | 8;
}

/** compressed-tensors int-quantized: an i8 a weight. */
export const intBytesEncoding =
  ({ group, zeros = false, bits = 8 }: BytesOptions): Encoding =>
  (wanted) => {
    const { base, rows, cols, draw } = sizesOf(wanted);
    const groups = Math.ceil(cols / (group ?? cols));
    const half = 2 ** (bits - 1);
    const q = Int8Array.from({ length: rows * cols }, () => draw(2 * half) - half);
    const z = Int8Array.from({ length: rows * groups }, () => (zeros ? draw(half) - half / 2 : 0));
    const [scales, s] = drawScales('BF16', rows * groups, 0.4 / 2 ** bits, draw);
    return {
      numbers: numbersOf(rows, cols, (n, k) => {
        const g = n * groups + Math.floor(k / (group ?? cols));
        return s[g]! * (q[n * cols + k]! - z[g]!);
      }),
      stored: {
        [`${base}.weight`]: tensor('I8', [rows, cols], q),
        [`${base}.weight_scale`]: tensor('BF16', [rows, groups], scales),
        ...(zeros ? { [`${base}.weight_zero_point`]: tensor('I8', [rows, groups], z) } : {}),
      },
    };
  };
