/** Published formats on matrices made here, so that every variant, every odd size and every refusal is met. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../../src/config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';
import type { ExpertStorage } from '../../../src/families/family.ts';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../../src/util/half.ts';
import { openCheckpoint, type Checkpoint } from '../../../src/weights/checkpoint.ts';
import {
  checkQuantization,
  findExpertBias,
  expertMatrices,
  findMatrix,
  findVector,
} from '../../../src/weights/formats/index.ts';
import type { MatrixShape } from '../../../src/weights/layout.ts';
import type { PublishedMatrix } from '../../../src/weights/matrix.ts';
import type { ByteSource } from '../../../src/weights/source.ts';
import {
  bytesOf,
  floatsOf,
  memorySource,
  safetensors,
  type MemorySource,
  type TensorSpec,
} from '../../support/weights.ts';
import { integers, normals } from '../../support/random.ts';

type Tensors = Record<string, TensorSpec>;
interface Opened {
  readonly checkpoint: Checkpoint;
  readonly source: MemorySource;
}

async function open(tensors: Tensors): Promise<Opened> {
  const source = memorySource({ 'model.safetensors': safetensors(tensors) });
  const checkpoint = await openCheckpoint(source);
  source.reads.length = 0;
  return { checkpoint, source };
}

const without = (tensors: Tensors, name: string): Tensors =>
  Object.fromEntries(Object.entries(tensors).filter(([n]) => n !== name));
const tensor = (dtype: string, shape: readonly number[], values: ArrayBufferView): TensorSpec => ({
  dtype,
  shape,
  bytes: bytesOf(values),
});
const bf16 = (values: ArrayLike<number>): Uint16Array =>
  Uint16Array.from({ length: values.length }, (_, i) => f32ToBf16(values[i]!));
const f16 = (values: ArrayLike<number>): Uint16Array =>
  Uint16Array.from({ length: values.length }, (_, i) => f32ToF16(values[i]!));

/** Bytes of all reads so far, each noted as `file begin-end`. */
const bytesRead = ({ source }: Opened): number =>
  source.reads.reduce((total, read) => {
    const [begin, end] = read.split(' ')[1]!.split('-').map(Number) as [number, number];
    return total + end - begin;
  }, 0);
const fault = (name: string): Error => expect.objectContaining({ fault: name }) as Error;

describe('plain', () => {
  const rows = 5;
  test.each([32, 40, 1, 95])('bf16, f16, f32 with %i columns: the same bits', async (cols) => {
    const values = normals(1, rows * cols);
    const opened = await open({
      'b.weight': tensor('BF16', [rows, cols], bf16(values)),
      'h.weight': tensor('F16', [rows, cols], f16(values)),
      'f.weight': tensor('F32', [rows, cols], values),
      full: tensor('F32', [rows, cols], values),
    });
    const find = (name: string): PublishedMatrix => findMatrix(opened.checkpoint, null, name, { rows, cols })!;
    expect([find('b').layout, find('h').layout, find('f').layout]).toEqual([
      { kind: 'bf16' },
      { kind: 'f16' },
      { kind: 'f32' },
    ]);
    expect(await floatsOf(find('b'))).toEqual([...bf16(values)].map(bf16ToF32));
    expect(await floatsOf(find('h'))).toEqual([...f16(values)].map(f16ToF32));
    expect(await floatsOf(find('f'))).toEqual([...values]);
    expect(await floatsOf(find('full'), 2, 4)).toEqual([...values.subarray(2 * cols, 4 * cols)]);
    expect(await floatsOf(find('f'), 3, 3)).toEqual([]);
    opened.source.reads.length = 0;
    await find('b').read(1, 3);
    expect(bytesRead(opened)).toBe(2 * cols * 2);
    expect(find('b').storedBytes).toBe(rows * cols * 2);
  });

  test('other types become f32', async () => {
    const values = [1, 0, 3, 2, 1, 7];
    const { checkpoint } = await open({
      'd.weight': tensor('F64', [2, 3], Float64Array.from(values)),
      'i.weight': tensor('I8', [2, 3], Int8Array.from(values)),
      'e.weight': tensor('F8_E4M3', [2, 3], Uint8Array.of(0x38, 0x00, 0x44, 0x40, 0x38, 0x4e)),
      'c.weight': tensor('C64', [2, 1], new Float32Array(4)),
    });
    for (const name of ['d', 'i', 'e']) {
      const matrix = findMatrix(checkpoint, null, name, { rows: 2, cols: 3 })!;
      expect(matrix.layout).toEqual({ kind: 'f32' });
      expect(await floatsOf(matrix)).toEqual(values);
    }
    expect(() => findMatrix(checkpoint, null, 'c', { rows: 2, cols: 1 })).toThrow(fault('unsupported-dtype'));
  });

  test('I09: a shape that config.json does not ask for', async () => {
    const { checkpoint } = await open({
      'a.weight': tensor('F32', [4, 8], new Float32Array(32)),
      n: tensor('F32', [8], new Float32Array(8)),
    });
    const error = ((): unknown => {
      try {
        return findMatrix(checkpoint, null, 'a', { rows: 8, cols: 4 });
      } catch (e) {
        return e;
      }
    })();
    expect(error).toMatchObject({
      fault: 'wrong-shape',
      details: { tensor: 'a.weight', found: [4, 8], expected: [8, 4] },
    });
    expect((error as Error).message).toMatch(/a\.weight.*\[4, 8\].*\[8, 4\]/);
    expect(() => findVector(checkpoint, 'n', 9)).toThrow(expect.objectContaining({ fault: 'wrong-shape' }));
    expect(() => findVector(checkpoint, 'a.weight', 32)).toThrow(expect.objectContaining({ fault: 'wrong-shape' }));
    expect(() => findVector(checkpoint, 'x', 9)).toThrow(expect.objectContaining({ fault: 'missing-tensor' }));
    expect((await findVector(checkpoint, 'n', 8)()).length).toBe(8);
  });

  test('vectors: any type, dimensions of one', async () => {
    const { checkpoint } = await open({
      a: tensor('F64', [3], Float64Array.of(1, 2, 0.1)),
      b: tensor('BF16', [1, 3], bf16([1, 2, 3])),
      s: tensor('F32', [], Float32Array.of(5)),
    });
    expect([...(await findVector(checkpoint, 'a', 3)())]).toEqual([1, 2, Math.fround(0.1)]);
    expect([...(await findVector(checkpoint, 'b', 3)())]).toEqual([1, 2, 3]);
    expect([...(await findVector(checkpoint, 's', 1)())]).toEqual([5]);
  });

  test('scales beside a weight are never ignored', async () => {
    for (const suffix of ['weight_scale_inv', 'weight_scale', 'scales', 'absmax']) {
      const { checkpoint } = await open({
        'a.weight': tensor('F8_E4M3', [1, 4], new Uint8Array(4)),
        [`a.${suffix}`]: tensor('F32', [1], Float32Array.of(2)),
      });
      expect(() => findMatrix(checkpoint, null, 'a', { rows: 1, cols: 4 })).toThrow(UnsupportedModel);
    }
    const packed = await open({ 'a.qweight': tensor('I32', [1], new Int32Array(1)) });
    expect(() => findMatrix(packed.checkpoint, null, 'a', { rows: 1, cols: 4 })).toThrow(/qweight/);
  });
});

interface Packed {
  readonly bits: 4 | 8;
  readonly rows: number;
  readonly cols: number;
  readonly group: number | null;
  readonly scale: 'F32' | 'F16' | 'BF16';
  readonly zeros?: 'I32' | 'I8';
  readonly strategy?: 'tensor';
}

/** A packed matrix `m`, and what it stands for. */
function pack({ bits, rows, cols, group, scale, zeros, strategy }: Packed): { tensors: Tensors; weights: number[] } {
  const size = group ?? cols;
  const groups = strategy ? 1 : Math.ceil(cols / size);
  const perWord = 32 / bits;
  const half = 2 ** (bits - 1);
  const q = integers(3, rows * cols, 2 ** bits);
  const z = zeros ? integers(4, rows * groups, 2 ** bits) : new Uint32Array(rows * groups).fill(half);
  const scales = normals(5, strategy ? 1 : rows * groups, 0.01).map(Math.abs);
  const stored = scale === 'F32' ? scales : scale === 'F16' ? f16(scales) : bf16(scales);
  const exact = [...stored].map(scale === 'F32' ? (x) => x : scale === 'F16' ? f16ToF32 : bf16ToF32);
  const words = Math.ceil(cols / perWord);
  const packed = new Uint32Array(rows * words);
  const weights: number[] = [];
  for (let n = 0; n < rows; n++) {
    for (let k = 0; k < cols; k++) {
      packed[n * words + Math.floor(k / perWord)]! |= q[n * cols + k]! << (bits * (k % perWord));
      const g = n * groups + Math.floor(k / size);
      weights.push(exact[strategy ? 0 : g]! * (q[n * cols + k]! - z[g]!));
    }
  }
  const tensors: Tensors = {
    'm.weight_shape': tensor('I64', [2], BigInt64Array.of(BigInt(rows), BigInt(cols))),
    'm.weight_packed': tensor('I32', [rows, words], packed),
    'm.weight_scale': tensor(scale, strategy ? [1] : [rows, groups], stored),
  };
  if (zeros === 'I8')
    tensors['m.weight_zero_point'] = tensor(
      'I8',
      [rows, groups],
      Int8Array.from(z, (v) => v - half),
    );
  if (zeros === 'I32') {
    const packedZeros = new Uint32Array(Math.ceil(rows / perWord) * groups);
    z.forEach((v, i) => {
      const [n, g] = [Math.floor(i / groups), i % groups];
      packedZeros[Math.floor(n / perWord) * groups + g]! |= v << (bits * (n % perWord));
    });
    tensors['m.weight_zero_point'] = tensor('I32', [Math.ceil(rows / perWord), groups], packedZeros);
  }
  return { tensors, weights };
}

const config = (
  weights: Record<string, Json>,
  more: Record<string, Json> = {},
  group: Record<string, Json> = {},
): Json => ({
  quant_method: 'compressed-tensors',
  format: 'pack-quantized',
  config_groups: {
    group_0: {
      targets: ['Linear'],
      weights: { num_bits: 4, type: 'int', symmetric: true, strategy: 'group', group_size: 32, ...weights },
      ...group,
    },
  },
  ignore: ['lm_head'],
  ...more,
});
const configOf = ({ bits, group, zeros, strategy }: Packed): Json =>
  config({ num_bits: bits, symmetric: !zeros, strategy: strategy ?? (group ? 'group' : 'channel'), group_size: group });

describe('compressed-tensors', () => {
  const variants: Packed[] = [
    { bits: 4, rows: 5, cols: 64, group: 32, scale: 'BF16' },
    { bits: 4, rows: 5, cols: 96, group: 32, scale: 'F16', zeros: 'I32' },
    { bits: 4, rows: 17, cols: 128, group: 64, scale: 'F32', zeros: 'I32' },
    { bits: 4, rows: 9, cols: 160, group: 32, scale: 'BF16', zeros: 'I8' },
    { bits: 4, rows: 3, cols: 256, group: 128, scale: 'F16' },
    { bits: 4, rows: 3, cols: 64, group: 128, scale: 'F16' },
    { bits: 4, rows: 3, cols: 45, group: null, scale: 'BF16', zeros: 'I32' },
    { bits: 4, rows: 3, cols: 45, group: 32, scale: 'BF16' },
    { bits: 4, rows: 3, cols: 45, group: 32, scale: 'BF16', zeros: 'I32' },
    { bits: 8, rows: 3, cols: 70, group: 32, scale: 'F16', zeros: 'I8' },
    { bits: 4, rows: 3, cols: 64, group: null, scale: 'F32' },
    { bits: 4, rows: 3, cols: 64, group: null, scale: 'BF16', strategy: 'tensor' },
    { bits: 8, rows: 6, cols: 64, group: 32, scale: 'BF16' },
    { bits: 8, rows: 6, cols: 64, group: null, scale: 'F16', zeros: 'I32' },
    { bits: 8, rows: 6, cols: 37, group: null, scale: 'F32', zeros: 'I8' },
    { bits: 8, rows: 2, cols: 50, group: 32, scale: 'F16' },
  ];
  test.each(variants)('%o', async (v) => {
    const { tensors, weights } = pack(v);
    const { rows, cols } = v;
    const { checkpoint } = await open(tensors);
    const matrix = findMatrix(checkpoint, configOf(v), 'm', { rows, cols })!;
    const expected = {
      kind: 'int',
      bits: v.bits,
      group: Math.min(v.group ?? cols, cols),
      scale: v.scale.toLowerCase(),
      zeros: v.zeros !== undefined,
    };
    expect(matrix.layout).toEqual(expected);
    expect(await floatsOf(matrix)).toEqual(weights);
    for (let row = 0; row < rows; row++)
      expect(await floatsOf(matrix, row, row + 1)).toEqual(weights.slice(row * cols, (row + 1) * cols));
    // Padding columns stand for 0, so that they add nothing.
    const { values } = await matrix.read(0, rows);
    const padded = Math.ceil(cols / 32) * 32;
    const layout = { ...matrix.layout, group: v.group ?? padded } as PublishedMatrix['layout'];
    const all = await floatsOf({ ...matrix, layout, cols: padded, read: (b, e) => matrix.read(b, e) });
    expect(all.filter((w, i) => i % padded >= cols && w !== 0)).toEqual([]);
    expect(values.length % rows).toBe(0);
  });

  test('reads the rows asked for, and all shapes of the file once', async () => {
    const v: Packed = { bits: 4, rows: 64, cols: 64, group: 32, scale: 'BF16', zeros: 'I32' };
    const { tensors } = pack(v);
    const both = {
      ...tensors,
      ...Object.fromEntries(Object.entries(tensors).map(([n, t]) => [n.replace('m.', 'n.'), t])),
    };
    const sorted = Object.fromEntries(
      Object.entries(both).sort(([a], [b]) => Number(b.endsWith('shape')) - Number(a.endsWith('shape'))),
    );
    const opened = await open(sorted);
    const m = findMatrix(opened.checkpoint, configOf(v), 'm', { rows: 64, cols: 64 })!;
    const n = findMatrix(opened.checkpoint, configOf(v), 'n', { rows: 64, cols: 64 })!;
    expect(opened.source.reads).toEqual([]);
    await m.read(8, 16);
    expect(bytesRead(opened)).toBe(2 * 16 + 8 * 32 + 8 * 4 + 2 * 4);
    opened.source.reads.length = 0;
    await n.read(8, 16);
    expect(bytesRead(opened)).toBe(8 * 32 + 8 * 4 + 2 * 4);
  });

  const base: Packed = { bits: 4, rows: 4, cols: 64, group: 32, scale: 'BF16' };
  const at: MatrixShape = { rows: 4, cols: 64 };
  const find = async (
    quantization: Json,
    change: (tensors: Tensors) => void = () => undefined,
    shape = at,
  ): Promise<PublishedMatrix | null> => {
    const { tensors } = pack(base);
    change(tensors);
    const { checkpoint } = await open(tensors);
    const matrix = findMatrix(checkpoint, quantization, 'm', shape);
    await matrix?.read(0, 1);
    return matrix;
  };

  test('the control of the refusals below', async () => {
    expect(await find(config({}))).not.toBeNull();
  });

  test.each([
    ['16 in a group', config({ group_size: 16 }), /groups of 16/],
    ['3 bits', config({ num_bits: 3 }), /num_bits = 3/],
    ['floats', config({ type: 'float' }), /type/],
    ['an act-order that nobody knows', config({ actorder: 'dynamic' }), /actorder/],
    ['dynamic', config({ dynamic: true }), /dynamic/],
    ['blocks', config({ strategy: 'block', block_structure: [128, 128] }), /block/],
    ['an unknown setting', config({ lut: 3 }), /lut/],
    ['rounded outputs', config({}, {}, { output_activations: { num_bits: 8 } }), /output_activations/],
    ['sparse weights', config({}, { sparsity_config: { format: 'sparse-24-bitmask' } }), /sparse-24/],
    ['rotations', config({}, { transform_config: { config_groups: {} } }), /transform_config/],
    ['another format', config({}, { format: 'marlin-24' }), /marlin-24/],
    ['another format of one group', config({}, {}, { format: 'marlin-24' }), /marlin-24/],
    ['integers in a format of floats', config({}, { format: 'float-quantized' }), /type = "int"/],
    ['... of 4-bit floats', config({}, {}, { format: 'nvfp4-pack-quantized' }), /type = "int"/],
    ['an unknown key', config({}, { magic: 1 }), /magic/],
    ['C03: lookahead', config({}, {}, { targets: ['re:(?!x).*'] }), /\(\?/],
  ])('refused: %s', async (_, quantization, message) => {
    await expect(find(quantization)).rejects.toThrow(UnsupportedModel);
    await expect(find(quantization)).rejects.toThrow(message);
  });

  test.each([
    [
      'defaults of new versions',
      config(
        {
          actorder: null,
          observer: 'minmax',
          observer_kwargs: {},
          block_structure: null,
          dynamic: false,
          scale_dtype: null,
          zp_dtype: 'torch.int8',
        },
        {
          kv_cache_scheme: null,
          sparsity_config: {},
          transform_config: {},
          version: '0.12',
          quantization_status: 'compressed',
          global_compression_ratio: 1.5,
        },
        { input_activations: null, output_activations: null, format: 'pack-quantized' },
      ),
    ],
    ['static act-order', config({ actorder: 'static' })],
    ['activations that others round', config({}, {}, { input_activations: { num_bits: 8, dynamic: true } })],
    ['a KV cache that others round', config({}, { kv_cache_scheme: { num_bits: 8 } })],
    ['by name', config({}, {}, { targets: ['m'] })],
    ['by pattern', config({}, {}, { targets: ['re:^m$'] })],
    ['ignored by class, packed by name', config({}, { ignore: ['re:x.*', 'n'] })],
    ['C03: a pattern that would hang others', config({}, { ignore: ['re:(m+)+x$'] })],
  ])('accepted: %s', async (_, quantization) => {
    expect(await find(quantization)).not.toBeNull();
  });

  test('the most specific of several groups', async () => {
    const scheme = (bits: number): Json => ({
      num_bits: bits,
      type: 'int',
      symmetric: true,
      strategy: 'group',
      group_size: 32,
    });
    const groups = (config_groups: Json): Json => ({
      quant_method: 'compressed-tensors',
      format: 'pack-quantized',
      config_groups,
    });
    expect(
      await find(
        groups({ a: { targets: ['Linear'], weights: scheme(8) }, b: { targets: ['re:m'], weights: scheme(4) } }),
      ),
    ).not.toBeNull();
    expect(
      await find(groups({ a: { targets: ['m'], weights: scheme(4) }, b: { targets: ['re:m'], weights: scheme(8) } })),
    ).not.toBeNull();
    await expect(
      find(groups({ a: { targets: ['re:m'], weights: scheme(4) }, b: { targets: ['re:.'], weights: scheme(8) } })),
    ).rejects.toThrow(/several groups/);
    await expect(find(groups({ a: { targets: ['n'], weights: scheme(4) } }))).rejects.toThrow(fault('quantization'));
    await expect(find(config({}, { ignore: ['m'] }))).rejects.toThrow(fault('quantization'));
  });

  test('tensors that contradict the config', async () => {
    const set = (name: string, t: TensorSpec) => (tensors: Tensors) => void (tensors[name] = t);
    const zeros = (n: number): Uint8Array => new Uint8Array(n);
    await expect(find(config({ num_bits: 8 }))).rejects.toThrow(fault('wrong-shape'));
    await expect(find(config({ group_size: 64 }))).rejects.toThrow(fault('wrong-shape'));
    await expect(find(config({ symmetric: false }))).rejects.toThrow(fault('missing-tensor'));
    await expect(find(config({}), undefined, { rows: 4, cols: 128 })).rejects.toThrow(fault('wrong-shape'));
    await expect(
      find(config({}), set('m.weight_shape', tensor('I64', [2], BigInt64Array.of(4n, 63n)))),
    ).rejects.toThrow(fault('wrong-shape'));
    await expect(find(config({}), set('m.weight_scale', tensor('I8', [4, 2], zeros(8))))).rejects.toThrow(
      fault('unsupported-dtype'),
    );
    await expect(find(config({}), set('m.weight_packed', tensor('U8', [4, 8], zeros(32))))).rejects.toThrow(
      fault('unsupported-dtype'),
    );
    await expect(find(config({}), (t) => delete t['m.weight_scale'])).rejects.toThrow(fault('missing-tensor'));
    const index = (f: (k: number) => number): ((t: Tensors) => void) =>
      set(
        'm.weight_g_idx',
        tensor(
          'I32',
          [64],
          Int32Array.from({ length: 64 }, (_, k) => f(k)),
        ),
      );
    await expect(
      find(
        config({}),
        index((k) => k % 2),
      ),
    ).rejects.toThrow(UnsupportedModel);
    expect(
      await find(
        config({}),
        index((k) => Math.floor(k / 32)),
      ),
    ).not.toBeNull();
    expect(
      await find(
        config({}),
        index(() => -1),
      ),
    ).not.toBeNull();
    expect(await find(config({}), (t) => delete t['m.weight_shape'])).not.toBeNull();
  });

  test('an abort of one reader leaves the other alone', async () => {
    const { source } = await open(pack(base).tensors);
    const slow: ByteSource = {
      ...source,
      async *stream(file, begin, end, signal) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        signal?.throwIfAborted();
        yield* source.stream(file, begin, end, signal);
      },
    };
    const matrix = findMatrix(await openCheckpoint(slow), config({}), 'm', at)!;
    const controller = new AbortController();
    const [a, b] = [matrix.read(0, 4, controller.signal), matrix.read(0, 4)];
    controller.abort(new Error('enough'));
    await expect(a).rejects.toThrow('enough');
    expect((await b).values.length).toBe(4 * 8);
    expect((await matrix.read(0, 4)).values.length).toBe(4 * 8);
  });
});

describe('other methods', () => {
  test.each(['quark', 'hqq', 'aqlm', 'auto-round'])('%s is refused by name', async (method) => {
    const { checkpoint } = await open({ 'a.weight': tensor('F32', [1, 1], new Float32Array(1)) });
    for (const run of [
      () => checkQuantization({ quant_method: method }),
      () => findMatrix(checkpoint, { quant_method: method }, 'a', { rows: 1, cols: 1 }),
    ]) {
      expect(run).toThrow(UnsupportedModel);
      expect(run).toThrow(new RegExp(`"${method}".*compressed-tensors, mxfp4`));
    }
  });

  test('a quantization_config that is none', () => {
    for (const bad of ['x', 5, [], {}, { quant_method: 4 }] as Json[])
      expect(() => checkQuantization(bad)).toThrow(InvalidCheckpoint);
    checkQuantization(null);
    checkQuantization(config({}));
    checkQuantization({ quant_method: 'mxfp4', modules_to_not_convert: ['x'] });
    expect(() => checkQuantization({ quant_method: 'mxfp4', swizzle: 1 })).toThrow(/swizzle/);
  });
});

describe('experts', () => {
  const shape = { experts: 3, width: 5, hidden: 40 };
  const { experts, width, hidden } = shape;
  const gateUp = normals(8, experts * 2 * width * hidden);
  const down = normals(9, experts * hidden * width);
  const fused = (orientation: 'out-in' | 'in-out', gateRows: 'first-half' | 'even', bias = true): ExpertStorage => ({
    kind: 'fused',
    gateUp: 'gu',
    down: 'd',
    gateUpBias: bias ? 'gu_bias' : null,
    downBias: bias ? 'd_bias' : null,
    orientation,
    gateRows,
  });
  const stored = (orientation: 'out-in' | 'in-out'): Tensors => {
    const turned = orientation === 'in-out';
    return {
      gu: tensor('BF16', turned ? [experts, hidden, 2 * width] : [experts, 2 * width, hidden], bf16(gateUp)),
      'd.weight': tensor('F32', turned ? [experts, width, hidden] : [experts, hidden, width], down),
      gu_bias: tensor(
        'F32',
        [experts, 2 * width],
        Float32Array.from({ length: experts * 2 * width }, (_, i) => i),
      ),
      d_bias: tensor('BF16', [experts, hidden], bf16(new Float32Array(experts * hidden).fill(2))),
    };
  };

  for (const orientation of ['out-in', 'in-out'] as const) {
    for (const gateRows of ['first-half', 'even'] as const) {
      test(`fused, ${orientation}, gate in ${gateRows} rows`, async () => {
        const opened = await open(stored(orientation));
        const { gate, up, down: d } = expertMatrices(opened.checkpoint, null, fused(orientation, gateRows), 1, shape)!;
        const row = (part: 0 | 1, i: number): number => (gateRows === 'even' ? 2 * i + part : part * width + i);
        const value = (n: number, k: number): number => {
          const within = orientation === 'out-in' ? n * hidden + k : k * 2 * width + n;
          return bf16ToF32(f32ToBf16(gateUp[1 * 2 * width * hidden + within]!));
        };
        const expected = (part: 0 | 1): number[] =>
          Array.from({ length: width * hidden }, (_, i) => value(row(part, Math.floor(i / hidden)), i % hidden));
        expect(await floatsOf(gate)).toEqual(expected(0));
        expect(await floatsOf(up)).toEqual(expected(1));
        expect(await floatsOf(up, 2, 4)).toEqual(expected(1).slice(2 * hidden, 4 * hidden));
        const downValue = (n: number, k: number): number =>
          down[hidden * width + (orientation === 'out-in' ? n * width + k : k * hidden + n)]!;
        expect(await floatsOf(d)).toEqual(
          Array.from({ length: hidden * width }, (_, i) => downValue(Math.floor(i / width), i % width)),
        );
        expect(gate.storedBytes + up.storedBytes + d.storedBytes).toBe(width * hidden * (2 + 2 + 4));

        // Gate and up, one after the other, cost one read of their bytes.
        const fresh = await open(stored(orientation));
        const again = expertMatrices(fresh.checkpoint, null, fused(orientation, gateRows), 1, shape)!;
        await again.gate.read(0, width);
        await again.up.read(0, width);
        expect(bytesRead(fresh)).toBe(2 * width * hidden * 2);
      });
    }
  }

  test('transposed in pieces: one read of the block', async () => {
    const opened = await open(stored('in-out'));
    const { gate, up } = expertMatrices(opened.checkpoint, null, fused('in-out', 'even'), 0, shape)!;
    for (const [b, e] of [
      [0, 2],
      [2, 4],
      [4, 5],
    ] as const) {
      await gate.read(b, e);
      await up.read(b, e);
    }
    expect(bytesRead(opened)).toBe(2 * width * hidden * 2);
  });

  test('biases', async () => {
    const { checkpoint } = await open(stored('out-in'));
    const even = await findExpertBias(checkpoint, fused('out-in', 'even'), 1, shape)();
    expect([...even.gateUp]).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    const halves = await findExpertBias(checkpoint, fused('out-in', 'first-half'), 1, shape)();
    expect([...halves.gateUp]).toEqual([10, 15, 11, 16, 12, 17, 13, 18, 14, 19]);
    expect([...halves.down]).toEqual(Array(hidden).fill(2));
    expect(() => findExpertBias(checkpoint, fused('out-in', 'even', false), 1, shape)).toThrow(fault('missing-tensor'));
    expect(() => findExpertBias(checkpoint, fused('out-in', 'even'), 1, { ...shape, width: 6 })).toThrow(
      fault('wrong-shape'),
    );
  });

  test('separate, with biases', async () => {
    const names = { gate: 'e.1.g', up: 'e.1.u', down: 'e.1.d' };
    const storage: ExpertStorage = { kind: 'separate', expert: () => names };
    const tensors = {
      'e.1.g.weight': tensor('F32', [width, hidden], gateUp.slice(0, width * hidden)),
      'e.1.u.weight': tensor('F32', [width, hidden], gateUp.slice(width * hidden, 2 * width * hidden)),
      'e.1.d.weight': tensor('F32', [hidden, width], down.slice(0, hidden * width)),
      'e.1.g.bias': tensor('F32', [width], Float32Array.of(0, 2, 4, 6, 8)),
      'e.1.u.bias': tensor('F32', [width], Float32Array.of(1, 3, 5, 7, 9)),
      'e.1.d.bias': tensor('F32', [hidden], new Float32Array(hidden)),
    };
    const { checkpoint } = await open(tensors);
    const found = expertMatrices(checkpoint, null, storage, 1, shape)!;
    expect(await floatsOf(found.up)).toEqual([...gateUp.slice(width * hidden, 2 * width * hidden)]);
    expect([...(await findExpertBias(checkpoint, storage, 1, shape)()).gateUp]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const lacking = without(tensors, 'e.1.u.weight');
    const incomplete = await open(lacking);
    expect(() => expertMatrices(incomplete.checkpoint, null, storage, 1, shape)).toThrow(/e\.1\.u/);
  });

  describe('of a double gate', () => {
    const even = { ...shape, width: 4 };
    const storage: ExpertStorage = { kind: 'double', gate: 'wi_gate', up: 'wi_up', down: 'wo' };
    const counted = (count: number): Float32Array => Float32Array.from({ length: count }, (_, i) => i);
    const gates = counted(experts * hidden * 8);
    const ups = counted(experts * hidden * 4).map((i) => -i);
    const tensors: Tensors = {
      wi_gate: tensor('F32', [experts, hidden, 8], gates),
      wi_up: tensor('F32', [experts, hidden, 4], ups),
      wo: tensor('F32', [experts, 4, hidden], down.slice(0, experts * 4 * hidden)),
    };

    test('first, gate and up one below the other, in two halves; each tensor is read once', async () => {
      const opened = await open(tensors);
      const { gate, up, down: d } = expertMatrices(opened.checkpoint, null, storage, 1, even)!;
      const row = (n: number): number[] =>
        Array.from({ length: hidden }, (_, k) =>
          n < 8 ? gates[(hidden + k) * 8 + n]! : ups[(hidden + k) * 4 + n - 8]!,
        );
      const rows = (first: number, end: number): number[] =>
        Array.from({ length: end - first }, (_, i) => row(first + i)).flat();
      for (const [begin, end] of [
        [0, 3],
        [3, 6],
      ] as const) {
        expect(await floatsOf(gate, begin, end)).toEqual(rows(begin, end));
        expect(await floatsOf(up, begin, end)).toEqual(rows(6 + begin, 6 + end));
      }
      expect(bytesRead(opened)).toBe(12 * hidden * 4);
      expect((await floatsOf(d)).slice(0, 4)).toEqual([0, 1, 2, 3].map((k) => down[(4 + k) * hidden]!));
      expect(gate.storedBytes + up.storedBytes + d.storedBytes).toBe(16 * hidden * 4);
    });

    test('of two types, incomplete and absent', async () => {
      const mixed = { ...tensors, wi_up: tensor('BF16', [experts, hidden, 4], bf16(ups)) };
      const find = async (of: Tensors): Promise<unknown> =>
        expertMatrices((await open(of)).checkpoint, null, storage, 0, even);
      await expect(find(mixed)).rejects.toThrow(UnsupportedModel);
      await expect(find(without(tensors, 'wi_up'))).rejects.toThrow(/wi_up/);
      expect(await find({ x: tensors.wo! })).toBeNull();
    });
  });

  test('absent, and of another shape', async () => {
    const { checkpoint } = await open(stored('out-in'));
    expect(
      expertMatrices(
        checkpoint,
        null,
        { ...fused('out-in', 'even'), gateUp: 'x', down: 'y' } as ExpertStorage,
        0,
        shape,
      ),
    ).toBeNull();
    expect(() => expertMatrices(checkpoint, null, fused('in-out', 'even'), 0, shape)).toThrow(fault('wrong-shape'));
    expect(() => expertMatrices(checkpoint, null, fused('out-in', 'even'), 0, { ...shape, experts: 4 })).toThrow(
      fault('wrong-shape'),
    );
  });

  describe('mxfp4', () => {
    const blocks = (E: number, N: number, K: number): Tensors => ({
      gu_blocks: tensor('U8', [E, 2 * N, K / 32, 16], Uint8Array.from(integers(11, E * N * K, 256))),
      gu_scales: tensor(
        'U8',
        [E, 2 * N, K / 32],
        Uint8Array.from(integers(12, (E * 2 * N * K) / 32, 10), (v) => v + 120),
      ),
      d_blocks: tensor('U8', [E, K, 1, 16], Uint8Array.from(integers(13, E * K * 16, 256))),
      d_scales: tensor(
        'U8',
        [E, K, 1],
        Uint8Array.from(integers(14, E * K, 10), (v) => v + 120),
      ),
    });
    const mx = { experts: 2, width: 32, hidden: 96 };
    const quantization = { quant_method: 'mxfp4' };

    test('three chunks a row: scales padded to words; gate and up share a read', async () => {
      const opened = await open(blocks(2, 32, 96));
      const { gate, up, down: d } = expertMatrices(opened.checkpoint, quantization, fused('in-out', 'even'), 1, mx)!;
      const { scales } = await gate.read(0, 32);
      expect(scales.length).toBe(32);
      await up.read(0, 32);
      expect(bytesRead(opened)).toBe(64 * 3 * 17);
      expect((await floatsOf(d)).length).toBe(96 * 32);
      opened.source.reads.length = 0;
      await d.read(3, 5);
      expect(bytesRead(opened)).toBe(2 * 17);
    });

    test('first-half gate rows', async () => {
      const { checkpoint } = await open(blocks(2, 32, 96));
      const halves = expertMatrices(checkpoint, quantization, fused('out-in', 'first-half'), 0, mx)!;
      const even = expertMatrices(checkpoint, quantization, fused('out-in', 'even'), 0, mx)!;
      expect(await floatsOf(halves.gate, 2, 3)).toEqual(await floatsOf(even.gate, 1, 2));
      expect(await floatsOf(halves.up, 0, 1)).toEqual(await floatsOf(even.gate, 16, 17));
    });

    test('refusals', async () => {
      const { checkpoint } = await open(blocks(2, 32, 96));
      const storage = fused('in-out', 'even');
      expect(() => expertMatrices(checkpoint, null, storage, 0, mx)).toThrow(/gu_blocks/);
      expect(() => expertMatrices(checkpoint, quantization, storage, 0, { ...mx, hidden: 64 })).toThrow(
        fault('wrong-shape'),
      );
      expect(() => expertMatrices(checkpoint, quantization, storage, 0, { ...mx, hidden: 90 })).toThrow(
        fault('wrong-shape'),
      );
      const lacking = without(blocks(2, 32, 96), 'gu_scales');
      const incomplete = await open(lacking);
      expect(() => expertMatrices(incomplete.checkpoint, quantization, storage, 0, mx)).toThrow(/gu_scales/);
    });
  });
});
