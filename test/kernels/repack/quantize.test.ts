import { describe, expect, it } from 'vitest';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { quantize, quantizeParams, type QuantizeOptions } from '../../../src/kernels/repack/quantize.ts';
import { quantizeGroup } from '../../../src/reference/repack/quantize.ts';
import { decodeMatrix } from '../../../src/reference/weights.ts';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../../src/util/half.ts';
import { planes, type Layout } from '../../../src/weights/layout.ts';
import { expectMutantToFail, POISON, runKernel, type Words } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { firstOfEach } from '../../support/everyday.ts';
import { normals } from '../../support/random.ts';

const gpu = await openTestGpu({ defaultLimits: true });

type IntLayout = Extract<Layout, { kind: 'int' }>;
const int = (bits: 4 | 8, scale: 'bf16' | 'f16'): IntLayout => ({ kind: 'int', bits, group: 32, scale, zeros: false });

interface Case {
  readonly name: string;
  readonly from: QuantizeOptions['from'];
  readonly layout: IntLayout;
  /** Of the source. */
  readonly rows: number;
  readonly cols: number;
  readonly targetRows?: number;
  readonly firstRow?: number;
  readonly rowStride?: number;
  readonly maxRows?: number;
  readonly targetAt?: number;
  readonly scale?: number;
  /** Changes the weights before they are rounded to `from`. */
  readonly edit?: (w: Float32Array) => void;
}

const cases: Case[] = [
  { name: 'no_rows', from: 'bf16', layout: int(4, 'bf16'), rows: 0, cols: 32, targetRows: 3, maxRows: 3 },
  { name: 'one_weight', from: 'bf16', layout: int(4, 'bf16'), rows: 1, cols: 1 },
  { name: 'one_weight_8', from: 'f32', layout: int(8, 'f16'), rows: 1, cols: 1 },
  { name: 'int4_from_bf16', from: 'bf16', layout: int(4, 'bf16'), rows: 23, cols: 576 },
  { name: 'int4_from_f16', from: 'f16', layout: int(4, 'f16'), rows: 23, cols: 576 },
  { name: 'int4_from_f32', from: 'f32', layout: int(4, 'bf16'), rows: 23, cols: 576 },
  { name: 'int8_from_bf16', from: 'bf16', layout: int(8, 'f16'), rows: 23, cols: 576 },
  { name: 'int8_from_f16', from: 'f16', layout: int(8, 'bf16'), rows: 23, cols: 576 },
  { name: 'int8_from_f32', from: 'f32', layout: int(8, 'bf16'), rows: 23, cols: 576 },
  { name: 'odd_columns', from: 'bf16', layout: int(4, 'bf16'), rows: 5, cols: 101 },
  { name: 'odd_chunks', from: 'f16', layout: int(8, 'bf16'), rows: 5, cols: 96 },
  {
    name: 'interleaved',
    from: 'bf16',
    layout: int(4, 'f16'),
    rows: 4,
    cols: 70,
    targetRows: 11,
    firstRow: 3,
    rowStride: 2,
  },
  {
    name: 'fewer_rows_than_most',
    from: 'bf16',
    layout: int(8, 'f16'),
    rows: 2,
    cols: 70,
    targetRows: 9,
    firstRow: 4,
    maxRows: 200,
  },
  { name: 'inside_a_slot', from: 'bf16', layout: int(4, 'f16'), rows: 3, cols: 64, targetAt: 48 },
  { name: 'groups_of_zeros', from: 'bf16', layout: int(4, 'bf16'), rows: 3, cols: 96, edit: (w) => w.fill(0, 32, 130) },
  {
    name: 'one_large_weight',
    from: 'bf16',
    layout: int(4, 'bf16'),
    rows: 2,
    cols: 64,
    edit: (w) => w.fill(0).fill(-3, 40, 41),
  },
  { name: 'equal_weights', from: 'bf16', layout: int(8, 'f16'), rows: 2, cols: 64, edit: (w) => w.fill(-0.0123) },
  {
    name: 'ties',
    from: 'bf16',
    layout: int(8, 'bf16'),
    rows: 2,
    cols: 64,
    edit: (w) => w.forEach((_, i) => (w[i] = i === 9 ? 127 : (i % 32) + 0.5)),
  },
  { name: 'tiny_weights', from: 'bf16', layout: int(4, 'bf16'), rows: 3, cols: 64, scale: 1e-30 },
  { name: 'small_weights_f16', from: 'bf16', layout: int(4, 'f16'), rows: 3, cols: 64, scale: 1e-4 },
  { name: 'subnormal_f16_weights', from: 'f16', layout: int(4, 'bf16'), rows: 3, cols: 64, scale: 1e-5 },
  { name: 'huge_weights', from: 'bf16', layout: int(8, 'bf16'), rows: 3, cols: 64, scale: 1e30 },
];

/** The source as the shader reads it, and the numbers in it. */
function source({ from, rows, cols, scale = 0.02, edit }: Case): { words: Words; values: Float64Array } {
  const w = normals(cols, rows * cols, scale);
  edit?.(w);
  if (from === 'f32') return { words: w, values: Float64Array.from(w) };
  const [encode, decode] = from === 'bf16' ? [f32ToBf16, bf16ToF32] : [f32ToF16, f16ToF32];
  const halves = new Uint16Array(Math.ceil(w.length / 2) * 2);
  w.forEach((x, i) => (halves[i] = encode(x)));
  return { words: new Uint32Array(halves.buffer), values: Float64Array.from(w, (_, i) => decode(halves[i]!)) };
}

async function check(c: Case): Promise<void> {
  const { layout, from, rows, cols, firstRow = 0, rowStride = 1, targetAt = 0 } = c;
  const { targetRows = firstRow + (rows - 1) * rowStride + 1, maxRows = rows } = c;
  const { words, values } = source(c);
  const shape = { rows: targetRows, cols };
  const got = await runKernel(gpu, {
    inputs: {
      source: words.length ? words : new Uint32Array(1),
      params: quantizeParams({ rows, firstRow, rowStride, targetAt }),
    },
    outputs: { target: (targetAt + planes(layout, shape).bytes) / 4 },
    step: { tokens: 1, position: 0 },
    record: (r, v) =>
      quantize(
        r,
        c.name,
        { source: v.source!, target: v.target!, params: v.params! },
        { from, layout, shape, maxRows },
      ),
  });
  const before = got.target!.subarray(0, targetAt / 4);
  expect(before.every((w) => w === POISON)).toBe(true);
  compare(c, got.target!.subarray(targetAt / 4), values, targetRows);
}

/** The words of each row against the twin's, and the decoded weights against the published ones. */
function compare(c: Case, words: Uint32Array, values: Float64Array, targetRows: number): void {
  const { layout, rows, cols, firstRow = 0, rowStride = 1 } = c;
  const shape = { rows: targetRows, cols };
  const p = planes(layout, shape);
  const row = (i: number): Uint32Array => words.subarray(i * p.valueRowWords, (i + 1) * p.valueRowWords);
  const written = Array.from({ length: rows }, (_, i) => firstRow + i * rowStride);
  for (let i = 0; i < targetRows; i++) {
    if (!written.includes(i))
      expect(
        row(i).every((w) => w === POISON),
        `row ${i} is not ours`,
      ).toBe(true);
  }
  const decoded = decodeMatrix(words, layout, shape);
  const scales = new Uint16Array(words.slice(p.scalesAt / 4, p.scalesAt / 4 + targetRows * p.scaleRowWords).buffer);
  let otherScales = 0;
  let otherWeights = 0;
  let signal = 0;
  let noise = 0;
  written.forEach((to, i) => {
    for (let g = 0; g < p.chunks; g++) {
      const w = Array.from({ length: 32 }, (_, j) => (g * 32 + j < cols ? values[i * cols + g * 32 + j]! : 0));
      const twin = quantizeGroup(w, layout.bits, layout.scale as 'bf16' | 'f16');
      if (scales[to * 2 * p.scaleRowWords + g] !== twin.scaleBits) otherScales++;
      for (let j = 0; j < 32 && g * 32 + j < cols; j++) {
        const found = decoded[to * cols + g * 32 + j]!;
        signal += w[j]! ** 2;
        noise += (w[j]! - found) ** 2;
        if (found !== twin.codes[j]! * twin.scale) otherWeights++;
      }
    }
    if (p.chunks % 2) expect(scales[to * 2 * p.scaleRowWords + p.chunks], 'unused half of a word').toBe(0);
  });
  // Only where an f32 sum falls on the other side of a 16-bit rounding than the twin's does a group differ; at 8 bits there is no sum.
  const groups = rows * p.chunks;
  expect(otherScales).toBeLessThanOrEqual(layout.bits === 8 ? 0 : Math.ceil(groups / 300));
  expect(otherWeights).toBeLessThanOrEqual(32 * otherScales);
  expect(decoded.every(Number.isFinite) || targetRows > rows).toBe(true);
  // Normal weights in steps of a 16th (256th) of about twice 2.2 times their deviation, least-squares fitted: 8.1 % (0.6 %) RMS.
  if (groups > 0) expect(Math.sqrt(noise / (signal || 1))).toBeLessThan(layout.bits === 4 ? 0.1 : 0.015);
  if (groups > 400 && layout.bits === 4) expect(Math.sqrt(noise / signal)).toBeLessThan(0.083);
}

const named = (name: string): Case => cases.find((c) => c.name === name)!;

describe('repack/quantize', () => {
  it.each(cases)('$name', check);
  it.each(
    firstOfEach<[string, string, (s: string) => string]>(
      [
        [
          'searches no better scale',
          'int4_from_bf16',
          (s) => s.replace('CANDIDATES: u32 = 7u', 'CANDIDATES: u32 = 1u'),
        ],
        [
          'forgets the sign of the scale',
          'int4_from_bf16',
          (s) => s.replace('scale * largest', 'scale * abs(largest)'),
        ],
        ['reads beyond a row', 'odd_columns', (s) => s.replace('if (k < COLS)', 'if (k <= COLS)')],
        ['orders nibbles plainly', 'int4_from_f16', (s) => s.replace('i % 4u * 8u + i / 4u % 2u * 4u', 'i % 8u * 4u')],
        ['ignores the stride', 'interleaved', (s) => s.replace('source_row * params.row_stride', 'source_row')],
        [
          'writes rows beyond its own',
          'fewer_rows_than_most',
          (s) => s.replace('source_row >= params.rows', 'source_row > params.rows'),
        ],
        ['forgets where the matrix starts', 'inside_a_slot', (s) => s.replace('params.matrix_at + (row', '(row')],
        ['mixes up the scales of a pair', 'int4_from_bf16', (s) => s.replace('<< 16u; }', '<< 0u; }')],
        ['truncates the scale', 'int8_from_bf16', (s) => s.replace('+ 0xfffu +', '+')],
      ],
      () => 'one',
    ),
  )('notices a kernel that %s', async (_what, name, mutate) => {
    await expectMutantToFail(gpu, shaderText, 'repack/quantize', mutate, () => check(named(name)));
  });
});
