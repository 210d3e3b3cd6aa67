import { describe, expect, it } from 'vitest';
import type { BufferView } from '../../../src/gpu/buffer.ts';
import type { Recorder } from '../../../src/gpu/recording.ts';
import { shaderText } from '../../../src/gpu/shaders.gen.ts';
import { decodeMatrix, encodeMatrix } from '../../../src/reference/weights.ts';
import { f32ToBf16, f32ToF16 } from '../../../src/util/half.ts';
import { layoutName, planes, weightFormat, type Layout, type MatrixShape } from '../../../src/weights/layout.ts';
import { asF32, expectMutantToFail, relativeError, runKernel } from '../../support/conformance.ts';
import { openTestGpu } from '../../support/gpu.ts';
import { firstOfEach } from '../../support/everyday.ts';
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
const gpu = await openTestGpu({ defaultLimits: true });
gpu.pipelines.sources = sources;

/** Lies before the matrix, so that a forgotten base address shows. */
const BEFORE = 5; // multiples of 16 bytes

interface Case {
  readonly layout: Layout;
  readonly shape: MatrixShape;
  readonly words: Uint32Array;
}

function recordReader(r: Recorder, v: Readonly<Record<string, BufferView>>, { layout, shape }: Case): void {
  const { constants, imports } = weightFormat(layout, shape);
  const reads = shape.rows * planes(layout, shape).chunks;
  r.dispatch({
    shader: 'test/read_weights',
    constants: { ...constants, MATRIX: BEFORE, READS: reads },
    imports,
    bindings: { values: v.bytes!, scales: v.bytes!, out: v.out! },
    grid: () => [Math.ceil(reads / 64), 1, 1],
  });
}

async function check(c: Case): Promise<void> {
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
  zeros: boolean,
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

describe('shaders/weights against the twin', () => {
  it.each(layouts)('%o', async (layout) => {
    for (const [rows, cols] of [
      [3, 70],
      [2, 512],
      [5, 32],
      [1, 1],
    ] as const) {
      await check(encoded(layout, rows, cols));
    }
  });
  it('f16: every number', () => check(allCodes('f16')));
  it('bf16: every number', () => check(allCodes('bf16')));
  it('mxfp4: every scale', () => check(allScales()));
  it('int4: any code, zero point and scale', () => check(anyCodes(4)));
  it('int8: any code, zero point and scale', () => check(anyCodes(8)));

  it.each(
    firstOfEach<[string, string, Case, (s: string) => string]>(
      [
        ['weights/int4', 'swaps nibbles', anyCodes(4), (s) => s.replace('int4_low(u.y', 'int4_high(u.y')],
        ['weights/int_group', 'reads one zero point a row', anyCodes(4), (s) => s.replace('(8u * (group % 4u))', '0u')],
        [
          'weights/int_group',
          'forgets its base',
          anyCodes(8),
          (s) => s.replace('matrix * 4u + W_SCALES_AT', 'W_SCALES_AT'),
        ],
        ['weights/int8', 'swaps its words', anyCodes(8), (s) => s.replace('b.z, zero', 'b.w, zero')],
        ['weights/mxfp4', 'ignores the sign', allScales(), (s) => s.replace('-magnitude', 'magnitude')],
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
