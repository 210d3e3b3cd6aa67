import { describe, expect, it } from 'vitest';
import type { BufferView } from '../../../src/gpu/buffer.ts';
import type { Recorder } from '../../../src/gpu/recording.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import { f32ToBf16, f32ToF16 } from '../../../src/util/half.ts';
import { isK, layoutName, planes, weightFormat, type Layout, type MatrixShape } from '../../../src/weights/layout.ts';
import { asF32, expectMutantToFail, relativeError, runKernel } from '../../support/conformance.ts';
import { openOwnGpu } from '../../support/gpu.ts';
import { firstOfEach, thinned } from '../../support/everyday.ts';
import { integers, normals } from '../../support/random.ts';

/** Writes every weight, padding included: out [N, chunks * 32]; one lane a chunk. */
const READER = `
#import weight_format
override MATRIX: u32;
override READS: u32;
@group(0) @binding(0) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
fn scale_word(at: u32) -> u32 { return scales[at]; }
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(64)
fn read_weights(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= READS) { return; }
  let w = weight32(MATRIX, id.x / W_CHUNKS, id.x % W_CHUNKS);
  for (var i = 0u; i < 32u; i++) { out[id.x * 32u + i] = w[i / 4u][i % 4u]; }
}`;
const sources = { ...shaderText, 'test/read_weights': READER };
const gpu = await openOwnGpu({ defaultLimits: true });
gpu.pipelines.sources = sources;

/** Lies before the matrix, so that a forgotten base address shows. */
const BEFORE = 5; // multiples of 16 bytes

interface Case {
  readonly layout: Layout;
  readonly shape: MatrixShape;
  readonly words: Uint32Array;
}

interface Variant extends Case {
  readonly software: boolean;
}

function recordReader(
  r: Recorder,
  v: Readonly<Record<string, BufferView>>,
  { layout, shape, software }: Variant,
): void {
  const { constants, imports } = weightFormat(layout, shape, software);
  const reads = shape.rows * planes(layout, shape).chunks;
  r.dispatch({
    shader: 'test/read_weights',
    constants: { ...constants, MATRIX: BEFORE, READS: reads },
    imports,
    bindings: { values: v.bytes!, scales: v.bytes!, out: v.out! },
    grid: () => [Math.ceil(reads / 64), 1, 1],
  });
}

/** As GPUs and software adapters read it; formats without integers know no difference. */
async function check(c: Case): Promise<void> {
  const [a, b] = [true, false].map((software) => weightFormat(c.layout, c.shape, software).imports.byte_floats);
  for (const software of a === b ? [true] : [true, false]) await checkVariant({ ...c, software });
}

async function checkVariant(c: Variant): Promise<void> {
  const { layout, shape, words } = c;
  const { chunks } = planes(layout, shape);
  const bytes = new Uint32Array(BEFORE * 4 + words.length).fill(0x3f9d3f9d);
  bytes.set(words, BEFORE * 4);
  const got = await runKernel(gpu, {
    inputs: { bytes },
    outputs: { out: shape.rows * chunks * 32 },
    step: { tokens: 1, position: 0 },
    record: (r, v) => recordReader(r, v, c),
  });
  const expected = decodeMatrix(words, layout, shape);
  const actual = asF32(got.out!);
  for (let row = 0; row < shape.rows; row++) {
    for (let k = 0; k < chunks * 32; k++) {
      const wanted = k < shape.cols ? Math.fround(expected[row * shape.cols + k]!) : 0;
      const found = actual[row * chunks * 32 + k]!;
      // Every decoder is exact up to one correctly rounded product; only what f32 itself cannot hold normally may be flushed.
      const flushed = Math.abs(wanted) < 2 ** -126 && found === 0;
      if (found !== wanted && !flushed) {
        expect.fail(`${layoutName(layout)} [${row}, ${k}]: got ${found}, expected ${wanted}`);
      }
    }
  }
}

const encoded = (layout: Layout, rows: number, cols: number): Case => {
  const shape = { rows, cols };
  return { layout, shape, words: encodeMatrix(normals(cols, rows * cols, 0.1), layout, shape) };
};

const int = (
  bits: 4 | 8,
  group: number,
  scale: 'f32' | 'f16' | 'bf16',
  zeros: boolean | 'f32',
): Extract<Layout, { kind: 'int' }> => ({ kind: 'int', bits, group, scale, zeros });

const layouts: Layout[] = [
  { kind: 'f32' },
  { kind: 'f16' },
  { kind: 'bf16' },
  { kind: 'mxfp4' },
  int(4, 32, 'f16', false),
  int(4, 32, 'bf16', true),
  int(4, 64, 'f32', true),
  int(4, 128, 'bf16', false),
  int(4, 1000, 'f16', true), // one group a row
  int(8, 32, 'f16', false),
  int(8, 515, 'bf16', false), // one group a row, not of whole chunks
  int(8, 64, 'f32', false),
  int(8, 32, 'f16', true),
  int(4, 64, 'bf16', 'f32'),
  int(8, 32, 'f16', 'f32'),
  { kind: 'fp8', group: 128, scale: 'f32' },
  { kind: 'fp8', group: 515, scale: 'bf16' },
  { kind: 'nf4', group: 64 },
  { kind: 'fp4', group: 32 },
  { kind: 'nvfp4' },
  { kind: 'q4_k' },
  { kind: 'q5_k' },
  { kind: 'q6_k' },
];

/** Every 16-bit code that is a number, as a matrix of 64 rows. */
function allCodes(kind: 'f16' | 'bf16'): Case {
  const infinity = kind === 'f16' ? 0x7c00 : 0x7f80;
  const codes = new Uint16Array(65536).map((_, code) => ((code & infinity) === infinity ? 0x3c00 : code));
  return { layout: { kind }, shape: { rows: 64, cols: 1024 }, words: new Uint32Array(codes.buffer) };
}

/** All nibble values under every scale but NaN. */
function allScales(): Case {
  const shape = { rows: 1, cols: 255 * 32 };
  const words = integers(3, planes({ kind: 'mxfp4' }, shape).bytes / 4, 2 ** 32);
  const scales = new Uint8Array(words.buffer, planes({ kind: 'mxfp4' }, shape).scalesAt);
  scales.forEach((_, i) => (scales[i] = i % 255));
  return { layout: { kind: 'mxfp4' }, shape, words };
}

/** Random codes and zero points under f16 scales that include subnormals and negative ones. */
function anyCodes(bits: 4 | 8): Case {
  const layout = int(bits, 32, 'f16', true);
  const shape = { rows: 5, cols: 256 };
  const p = planes(layout, shape);
  const words = integers(4, p.bytes / 4, 2 ** 32);
  const scales = new Uint16Array(words.buffer, p.scalesAt, 2 * shape.rows * p.scaleRowWords);
  scales.forEach((_, i) => (scales[i] = f32ToF16((i % 2 ? -1 : 1) * 2 ** (-26 + i))));
  return { layout, shape, words };
}

/** All codes of fp8 that are numbers, under scales that leave none of them subnormal. */
function allFp8(): Case {
  const layout: Layout = { kind: 'fp8', group: 64, scale: 'f32' };
  const shape = { rows: 3, cols: 256 };
  const p = planes(layout, shape);
  const words = new Uint32Array(p.bytes / 4);
  new Uint8Array(words.buffer).subarray(0, 768).forEach((_, i, codes) => (codes[i] = (i & 127) === 127 ? 0 : i));
  const scales = new Float32Array(words.buffer, p.scalesAt, shape.rows * p.scaleRowWords);
  scales.forEach((_, i) => (scales[i] = (i % 2 ? -1.1 : 0.9) * 2 ** (i - 6)));
  return { layout, shape, words };
}

/** Random nibbles under random scales of either sign, which are numbers. */
function anyNvfp4(): Case {
  const layout: Layout = { kind: 'nvfp4' };
  const shape = { rows: 5, cols: 144 };
  const p = planes(layout, shape);
  const words = integers(6, p.bytes / 4, 2 ** 32);
  for (let row = 0; row < shape.rows; row++) {
    const chunk = row * p.valueRowWords + p.valueRowWords - 2;
    words.fill(0, chunk, chunk + 2); // padding
    const at = p.scalesAt / 4 + row * p.scaleRowWords;
    new Float32Array(words.buffer)[at] = 0.01 * (row + 1);
    const codes = new Uint8Array(words.buffer, 4 * at + 4, 4 * (p.scaleRowWords - 1));
    codes.forEach((code, i) => (codes[i] = (code & 127) === 127 ? 0x38 : code));
  }
  return { layout, shape, words };
}

/** Random codes, scales and minimums of every size, under halves of either sign, subnormal ones among them; an odd number of blocks a row. */
function anyK(kind: 'q4_k' | 'q5_k' | 'q6_k'): Case {
  const layout: Layout = { kind };
  const shape = { rows: 5, cols: 768 };
  const p = planes(layout, shape);
  const words = integers(8, p.bytes / 4, 2 ** 32);
  const halves = new Uint16Array(words.buffer);
  const put = (at: number, i: number): void => void (halves[at] = f32ToF16((i % 2 ? -1 : 1) * 2 ** (-26 + i)));
  for (let row = 0; row < shape.rows; row++) {
    const at = p.scalesAt / 2 + 2 * row * p.scaleRowWords;
    for (let block = 0; block < 3; block++) {
      const i = 3 * row + block;
      if (kind === 'q6_k') put(at + 24 + block, i);
      else [0, 1].forEach((second) => put(at + 8 * block + second, i + 5 * second));
    }
  }
  return { layout, shape, words };
}

describe('shaders/weights against the twin', () => {
  it.each(thinned(layouts, 2))('%o', async (layout) => {
    const isWhole = layout.kind === 'int' && layout.zeros === 'f32';
    if (isK(layout)) {
      for (const [rows, cols] of [
        [3, 256],
        [1, 768],
      ] as const)
        await check(encoded(layout, rows, cols));
      return;
    }
    for (const [rows, cols] of [
      [3, isWhole ? 96 : 70],
      [2, 512],
      [5, 32],
      [1, isWhole ? 64 : 1],
    ] as const) {
      await check(encoded(layout, rows, cols));
    }
  });
  it('f16: every number', () => check(allCodes('f16')));
  it('bf16: every number', () => check(allCodes('bf16')));
  it('mxfp4: every scale', () => check(allScales()));
  it('int4: any code, zero point and scale', () => check(anyCodes(4)));
  it('int8: any code, zero point and scale', () => check(anyCodes(8)));
  it('fp8: every number', () => check(allFp8()));
  it('nvfp4: any code and scale', () => check(anyNvfp4()));
  it.each(['q4_k', 'q5_k', 'q6_k'] as const)('%s: any code and scale', (kind) => check(anyK(kind)));

  it.each(
    firstOfEach<[string, string, Case, (s: string) => string]>(
      [
        ['weights/int4', 'swaps nibbles', anyCodes(4), (s) => s.replace('low_quad(u.y', 'high_quad(u.y')],
        ['weights/int_group', 'reads one zero point a row', anyCodes(4), (s) => s.replace('(8u * (group % 4u))', '0u')],
        [
          'weights/int_group',
          'forgets its base',
          anyCodes(8),
          (s) => s.replace('matrix * 4u + W_SCALES_AT', 'W_SCALES_AT'),
        ],
        ['weights/int8', 'swaps its words', anyCodes(8), (s) => s.replace('b.z, zero', 'b.w, zero')],
        ['weights/mxfp4', 'ignores the sign', allScales(), (s) => s.replace('* 15u', '* 0u')],
        ['weights/mxfp4', 'takes 7 for 5', allScales(), (s) => s.replace('+ 2u * most', '')],
        ['weights/bytes_masked', 'takes the top nibble as it is', anyCodes(4), (s) => s.replace('zero - 8.0', 'zero')],
        ['weights/bytes_masked', 'takes the top byte as it is', anyCodes(8), (s) => s.replace('zero - 128.0', 'zero')],
        ['weights/bytes_shifted', 'leaves the high nibbles', anyCodes(4), (s) => s.replace('u & 0x0f0f0f0fu', 'u')],
        ['weights/e2m1', 'ignores the sign', anyNvfp4(), (s) => s.replace('-magnitude', 'magnitude')],
        ['weights/e4m3', 'takes subnormals for normal', allFp8(), (s) => s.replace('exponent > vec', 'b >= vec')],
        ['weights/fp8', 'repeats a word', allFp8(), (s) => s.replace('e4m3_quad(b.y)', 'e4m3_quad(b.x)')],
        ['weights/nvfp4', 'has one scale a chunk', anyNvfp4(), (s) => s.replaceAll('halves.y', 'halves.x')],
        ['weights/nvfp4', 'takes the chunk before', anyNvfp4(), (s) => s.replace('== 1u)', '== 2u)')],
        [
          'weights/code4',
          'has another value',
          encoded({ kind: 'nf4', group: 64 }, 3, 70),
          (s) => s.replace('-0.6961928009986877', '-0.66666667'),
        ],
        [
          'weights/int_group',
          'reads one offset a row',
          encoded(int(4, 32, 'bf16', 'f32'), 3, 96),
          (s) => s.replace('row_at + group)', 'row_at)'),
        ],
        [
          'weights/q4_k',
          'takes the scale for the minimum',
          anyK('q4_k'),
          (s) => s.replace('least = scale.y', 'least = scale.x'),
        ],
        ['weights/q6_k', 'has one scale a chunk', anyK('q6_k'), (s) => s.replaceAll('s.y)', 's.x)')],
        ['weights/mxfp4', 'ignores subnormal scales', allScales(), (s) => s.replace('0.25', '0.5')],
        ['shared/f16', 'flushes subnormals', allCodes('f16'), (s) => s.replace('0x1p-24f', '0.0')],
        [
          'weights/scale_bf16',
          'takes the low half',
          encoded(int(4, 32, 'bf16', true), 3, 70),
          (s) => s.replace('== 1u', '== 2u'),
        ],
        ['weights/f32', 'repeats a quad', encoded({ kind: 'f32' }, 3, 70), (s) => s.replace('at + 7u', 'at + 6u')],
      ],
      ([path]) => path,
    ),
  )('notices that %s %s', async (path, _what, c, mutate) => {
    await expectMutantToFail(gpu, sources, path, mutate, () => check(c));
  });
});

describe('encodeMatrix', () => {
  // Half a step of the format, relative to the RMS of normal values, whose largest of a group is about 2 to 4 times as large.
  it.each<[Layout, number]>([
    [{ kind: 'f32' }, 0],
    [{ kind: 'f16' }, 2e-3],
    [{ kind: 'bf16' }, 2e-2],
    [{ kind: 'mxfp4' }, 1],
    [int(4, 32, 'f16', false), 0.35],
    [int(4, 32, 'f16', true), 0.3],
    [int(8, 32, 'bf16', false), 0.04],
    [int(8, 200, 'f32', true), 0.02],
    [int(4, 32, 'bf16', 'f32'), 0.3],
    [{ kind: 'fp8', group: 64, scale: 'f32' }, 0.3],
    [{ kind: 'nf4', group: 64 }, 0.6],
    [{ kind: 'fp4', group: 64 }, 1],
    [{ kind: 'nvfp4' }, 1],
    [{ kind: 'q4_k' }, 0.35],
    [{ kind: 'q5_k' }, 0.2],
    [{ kind: 'q6_k' }, 0.12],
  ])('%o', (layout, bound) => {
    const shape = { rows: 7, cols: 200 };
    const w = normals(9, shape.rows * shape.cols, 0.05);
    const back = decodeMatrix(encodeMatrix(w, layout, shape), layout, shape);
    expect(relativeError(back, w)).toBeLessThanOrEqual(bound);
  });

  it('keeps zeros and single values', () => {
    for (const layout of layouts) {
      const shape = { rows: 2, cols: 40 };
      const w = new Float32Array(80);
      expect([...decodeMatrix(encodeMatrix(w, layout, shape), layout, shape)].every((x) => x === 0)).toBe(true);
      w[43] = -0.5;
      expect(decodeMatrix(encodeMatrix(w, layout, shape), layout, shape)[43]).toBeCloseTo(-0.5, 2);
    }
  });

  it('reads the scale 255 of mxfp4 as NaN', () => {
    const shape = { rows: 1, cols: 32 };
    const words = encodeMatrix(new Float32Array(32).fill(1), { kind: 'mxfp4' }, shape);
    words[4] = 255;
    expect(decodeMatrix(words, { kind: 'mxfp4' }, shape).every(Number.isNaN)).toBe(true);
  });

  it('rounds 16-bit floats to the nearest', () => {
    const shape = { rows: 1, cols: 1 };
    expect(encodeMatrix([0.1], { kind: 'bf16' }, shape)[0]).toBe(f32ToBf16(0.1));
    expect(encodeMatrix([0.1], { kind: 'f16' }, shape)[0]).toBe(f32ToF16(0.1));
  });
});
