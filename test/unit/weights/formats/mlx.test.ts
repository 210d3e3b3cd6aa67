/** MLX: scale and offset for a group, experts in stacks, settings of single modules. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../../../src/config/read.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../../../src/errors.ts';
import { openCheckpoint, type Checkpoint } from '../../../../src/weights/checkpoint.ts';
import { expertMatrices, findMatrix } from '../../../../src/weights/formats/index.ts';
import { drop, encoded, numbersOf, poke, readBack } from '../../../support/encoded.ts';
import { mlxEncoding, tensor, type MlxOptions } from '../../../support/encodings.ts';
import { normals } from '../../../support/random.ts';
import { bytesOf, floatsOf, memorySource, safetensors, type TensorSpec } from '../../../support/weights.ts';

type Change = Parameters<typeof readBack>[4];
const config = (group: number, bits: number, more: Record<string, Json> = {}): Json => ({
  quant_method: 'mlx',
  group_size: group,
  bits,
  ...more,
});

/** scale * (q - zero) with a zero point rounded to f32 stands for scale * q + bias: within 2^-24 of its largest term. */
function expectNear(found: readonly number[], numbers: ArrayLike<number>): void {
  expect(found.length).toBe(numbers.length);
  found.forEach((x, i) => expect(Math.abs(x - numbers[i]!)).toBeLessThan(1e-6));
}

test.each<[MlxOptions, number, number]>([
  [{ bits: 4, group: 64 }, 5, 128],
  [{ bits: 4, group: 32, scale: 'F16' }, 3, 96],
  [{ bits: 8, group: 64 }, 4, 64],
  [{ bits: 8, group: 128, scale: 'F32' }, 2, 256],
])('%o, [%i, %i]', async (o, rows, cols) => {
  const { checkpoint, numbers } = await encoded(mlxEncoding(o), rows, cols);
  const matrix = findMatrix(checkpoint, config(o.group, o.bits), 'm', { rows, cols })!;
  const scale = (o.scale ?? 'BF16').toLowerCase();
  expect(matrix.layout).toEqual({ kind: 'int', bits: o.bits, group: o.group, scale, zeros: 'f32' });
  const found = await numbersOf(matrix);
  expectNear(found.all, numbers);
  expect(found.rows).toEqual(found.all);
});

test('mode mxfp4', async () => {
  const words = Uint32Array.of(0x76543210, 0xfedcba98, 0, 0);
  const source = memorySource({
    'model.safetensors': safetensors({
      'm.weight': tensor('U32', [1, 4], words),
      'm.scales': tensor('U8', [1, 1], Uint8Array.of(128)),
    }),
  });
  const matrix = findMatrix(await openCheckpoint(source), config(32, 4, { mode: 'mxfp4' }), 'm', {
    rows: 1,
    cols: 32,
  })!;
  const values = [0, 0.5, 1, 1.5, 2, 3, 4, 6].map((x) => 2 * x);
  const all = [...values, ...values.map((x) => -x), ...Array<number>(16).fill(0)];
  (await floatsOf(matrix)).forEach((x, i) => expect(x).toBeCloseTo(all[i]!, 12));
});

describe('experts', () => {
  const [experts, width, hidden] = [3, 32, 64];
  const shape = { experts, width, hidden };
  const storage = (projections: readonly [string, string, string]) => ({
    kind: 'separate' as const,
    expert: (e: number) => ({
      gate: `b.experts.${e}.${projections[0]}`,
      up: `b.experts.${e}.${projections[1]}`,
      down: `b.experts.${e}.${projections[2]}`,
    }),
  });
  const stack = async (at: string, isPlain = false): Promise<{ checkpoint: Checkpoint; gate: Float64Array }> => {
    const tensors: Record<string, TensorSpec> = {};
    let gate: Float64Array = new Float64Array();
    for (const [p, rows, cols] of [
      ['gate_proj', width, hidden],
      ['up_proj', width, hidden],
      ['down_proj', hidden, width],
    ] as const) {
      const values = normals(rows + p.length, experts * rows * cols);
      const name = `b.${at}.${p}.weight`;
      const made = mlxEncoding({ bits: 4, group: 32 })({ name, shape: [experts, rows, cols], values });
      if (p === 'gate_proj') gate = isPlain ? Float64Array.from(values) : made.numbers;
      Object.assign(
        tensors,
        isPlain ? { [name]: { dtype: 'F32', shape: [experts, rows, cols], bytes: bytesOf(values) } } : made.stored,
      );
    }
    return { checkpoint: await openCheckpoint(memorySource({ 'model.safetensors': safetensors(tensors) })), gate };
  };

  test.each([
    ['switch_mlp', ['gate_proj', 'up_proj', 'down_proj'], false],
    ['switch_glu', ['w1', 'w3', 'w2'], false],
    ['experts', ['gate_proj', 'up_proj', 'down_proj'], false],
    ['switch_mlp', ['w1', 'w3', 'w2'], true],
  ] as const)('stacked as %s, asked for as %o, left alone: %s', async (at, projections, isPlain) => {
    const { checkpoint, gate } = await stack(at, isPlain);
    for (let e = 0; e < experts; e++) {
      const found = expertMatrices(checkpoint, config(32, 4), storage(projections), e, shape)!;
      expect([found.up.rows, found.down.rows, found.down.cols]).toEqual([width, hidden, width]);
      expectNear(await floatsOf(found.gate), gate.slice(e * width * hidden, (e + 1) * width * hidden));
      expectNear(await floatsOf(found.gate, 2, 4), gate.slice((e * width + 2) * hidden, (e * width + 4) * hidden));
    }
    expect(() => expertMatrices(checkpoint, config(32, 4), storage(projections), experts, shape)).toThrow(/shape/);
  });
});

describe('settings', () => {
  const read = (settings: Json, change?: Change): ReturnType<typeof readBack> =>
    readBack(mlxEncoding({ bits: 8, group: 64 }), settings, 4, 128, change);

  test('of single modules', async () => {
    expect((await read(config(32, 4, { 'a.b': false, m: { group_size: 64, bits: 8 } }))).format).toBe('mlx int8 g64');
    expect((await read(config(64, 8, { m: true }))).format).toBe('mlx int8 g64');
    await expect(read(config(64, 8, { m: false }))).rejects.toThrow(/says that it is not/);
  });

  test.each<[string, Json, Change, RegExp]>([
    ['3 bits', config(64, 3), undefined, /bits = 3/],
    ['groups of 16', config(16, 8), undefined, /group_size = 16/],
    ['another mode', config(16, 4, { mode: 'nvfp4' }), undefined, /nvfp4/],
    ['an unknown key', config(64, 8, { rotation: 'hadamard' }), undefined, /rotation/],
    ['an unknown key of a module', config(64, 8, { m: { rotation: 1 } }), undefined, /rotation/],
    ['other groups', config(32, 8), undefined, /scales has the shape/],
    ['other bits', config(64, 4), undefined, /weight has the shape/],
    ['no offsets', config(64, 8), drop('biases'), /biases/],
    ['a scale of 0 beside an offset', config(64, 8), poke('scales', 0, 0, 0), /the scale 0/],
    ['floats', config(64, 8), (t) => (t['m.weight'] = { ...t['m.weight']!, dtype: 'F32' }), /has type F32/],
  ])('refused: %s', async (_, settings, change, message) => {
    await expect(read(settings, change)).rejects.toThrow(message);
    const error: unknown = await read(settings, change).catch((e: unknown) => e);
    expect(error instanceof InvalidCheckpoint || error instanceof UnsupportedModel).toBe(true);
  });
});
