/** LoRA adapters: what is merged, into what, and what is refused. */
import { describe, expect, test } from 'vitest';
import { InvalidCheckpoint, UnsupportedModel } from '../../../src/errors.ts';
import { bf16ToF32, f32ToBf16 } from '../../../src/util/half.ts';
import { openAdapter, type Adapter } from '../../../src/weights/adapters/lora.ts';
import { expertMatrices, findMatrix } from '../../../src/weights/formats/index.ts';
import { stackedRows } from '../../../src/families/family.ts';
import type { PublishedMatrix } from '../../../src/weights/matrix.ts';
import { encoded } from '../../support/encoded.ts';
import { fp8Encoding, gptqEncoding, mlxEncoding, nvfp4Encoding, tensor } from '../../support/encodings.ts';
import { normals } from '../../support/random.ts';
import { plain, type Encoding } from '../../support/synthetic.ts';
import { floatsOf, memorySource, safetensors, type TensorSpec } from '../../support/weights.ts';

const [rows, cols, rank] = [6, 64, 3];
const A = normals(3, rank * cols, 0.1);
const B = normals(4, rows * rank, 0.1);

const CONFIG = {
  peft_type: 'LORA',
  r: rank,
  lora_alpha: 6,
  target_modules: ['m'],
  bias: 'none',
  task_type: 'CAUSAL_LM',
};
const TENSORS: Record<string, TensorSpec> = {
  'base_model.model.m.lora_A.weight': tensor('F32', [rank, cols], A),
  'base_model.model.m.lora_B.weight': tensor('F32', [rows, rank], B),
};
const adapter = (config: Record<string, unknown> = {}, tensors = TENSORS): Promise<Adapter> =>
  openAdapter(
    memorySource({
      'adapter_config.json': JSON.stringify({ ...CONFIG, ...config }),
      'adapter_model.safetensors': safetensors(tensors),
    }),
  );

/** W + scale * B A */
const sum = (numbers: ArrayLike<number>, scale: number): number[] =>
  Array.from({ length: rows * cols }, (_, i) => {
    const [n, k] = [Math.floor(i / cols), i % cols];
    let added = 0;
    for (let r = 0; r < rank; r++) added += B[n * rank + r]! * A[r * cols + k]!;
    return numbers[i]! + scale * added;
  });

async function base(
  encoding: Encoding,
  quantization: Parameters<typeof findMatrix>[1] = null,
): Promise<[PublishedMatrix, Float64Array]> {
  const { checkpoint, numbers } = await encoded(encoding, rows, cols);
  return [findMatrix(checkpoint, quantization, 'm', { rows, cols })!, numbers];
}

function expectNear(found: readonly number[], wanted: readonly number[]): void {
  expect(found.length).toBe(wanted.length);
  found.forEach((x, i) => expect(Math.abs(x - wanted[i]!)).toBeLessThan(1e-6));
}

describe('merging', () => {
  test('goes into both halves of an up that is read as two', async () => {
    const { checkpoint, numbers } = await encoded(plain('F32'), rows, cols, (tensors) => {
      tensors['down.weight'] = tensor('F32', [cols, rows], normals(5, cols * rows));
    });
    const [gate, up] = stackedRows('m', [rows / 2, rows / 2]);
    const storage = { kind: 'separate', expert: () => ({ gate, up, down: 'down' }) } as const;
    const lora = await adapter();
    const found = expertMatrices(
      checkpoint,
      null,
      storage,
      0,
      { hidden: cols, width: rows, experts: 1 },
      (whole) => lora.merge(whole) ?? whole,
    );
    expect(found).not.toBeNull();
    const halves = [...(await floatsOf(found!.gate)), ...(await floatsOf(found!.up))];
    expectNear(halves, sum(numbers, 2));
  });

  test.each<[string, Encoding, Parameters<typeof findMatrix>[1]]>([
    ['f32', plain('F32'), null],
    ['gptq', gptqEncoding({ group: 32 }), { quant_method: 'gptq', bits: 4, group_size: 32 }],
    ['mlx', mlxEncoding({ bits: 4, group: 32 }), { quant_method: 'mlx', bits: 4, group_size: 32 }],
    [
      'fp8',
      fp8Encoding({ block: [128, 128], suffix: 'weight_scale_inv' }),
      { quant_method: 'fp8', weight_block_size: [128, 128] },
    ],
  ])('%s becomes f32, of whatever rows', async (_, encoding, quantization) => {
    const [matrix, numbers] = await base(encoding, quantization);
    const merged = (await adapter()).merge(matrix);
    expect(merged.layout).toEqual({ kind: 'f32' });
    expect(merged.format).toBe(`${matrix.format} + LoRA`);
    const wanted = sum(numbers, 2);
    expectNear(await floatsOf(merged), wanted);
    expectNear(await floatsOf(merged, 2, 5), wanted.slice(2 * cols, 5 * cols));
  });

  test('bf16 stays bf16, rounded once', async () => {
    const [matrix, numbers] = await base(plain('BF16'));
    const merged = (await adapter()).merge(matrix);
    expect(merged.layout).toEqual({ kind: 'bf16' });
    const wanted = sum(numbers, 2).map((x) => bf16ToF32(f32ToBf16(x)));
    // A sum that lies between two bf16 may fall to either.
    (await floatsOf(merged)).forEach((x, i) => expect(Math.abs(x - wanted[i]!)).toBeLessThanOrEqual(Math.abs(x) / 128));
  });

  test.each<[Record<string, unknown>, number]>([
    [{ use_rslora: true }, 6 / Math.sqrt(rank)],
    [{ alpha_pattern: { m: 12 } }, 4],
    [{ alpha_pattern: { 'other.m': 12 } }, 2],
    [{ alpha_pattern: { '[mn]': 3 } }, 1],
  ])('%o: times %f', async (config, scale) => {
    const [matrix, numbers] = await base(plain('F32'));
    expectNear(await floatsOf((await adapter(config)).merge(matrix)), sum(numbers, scale));
  });

  test('other modules are left as they are; what nobody has is told', async () => {
    const [matrix] = await base(plain('F32'));
    const found = await adapter();
    const other = { ...matrix, name: 'n' };
    expect(found.merge(other)).toBe(other);
    expect(found.unmerged()).toEqual(['m']);
    found.merge(matrix);
    expect(found.unmerged()).toEqual([]);
  });

  test('adapters that differ have another id', async () => {
    const ids = [await adapter(), await adapter(), await adapter({ lora_alpha: 7 })].map((a) => a.id);
    expect(ids[0]).toBe(ids[1]);
    expect(ids[0]).not.toBe(ids[2]);
  });
});

describe('refused', () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['another kind', { peft_type: 'IA3' }, /IA3/],
    ['DoRA', { use_dora: true }, /use_dora/],
    ['biases', { bias: 'all' }, /bias/],
    ['whole modules', { modules_to_save: ['lm_head'] }, /modules_to_save/],
    ['tensors of all experts', { target_parameters: ['experts.gate_up_proj'] }, /target_parameters/],
    ['a base without its largest part', { init_lora_weights: 'pissa' }, /pissa/],
    ['an unknown key', { use_magic: true }, /use_magic/],
    ['a pattern that is none', { alpha_pattern: { '(?=m)': 3 } }, /\(\?/],
    ['no alpha', { lora_alpha: undefined }, /lora_alpha/],
  ])('%s', async (_, config, message) => {
    await expect(adapter(config)).rejects.toThrow(message);
    const error: unknown = await adapter(config).catch((e: unknown) => e);
    expect(error instanceof InvalidCheckpoint || error instanceof UnsupportedModel).toBe(true);
  });

  test('tensors that do not fit', async () => {
    const [matrix] = await base(plain('F32'));
    const at = 'base_model.model.m.lora_';
    const only = (name: string, spec: TensorSpec): Record<string, TensorSpec> => ({ [name]: spec });
    await expect(adapter({}, only(`${at}A.weight`, TENSORS[`${at}A.weight`]!))).rejects.toThrow(/only one of/);
    await expect(
      adapter({}, only('base_model.model.m.lora_embedding_A', tensor('F32', [1], A.slice(0, 1)))),
    ).rejects.toThrow(/no lora_A/);
    const wide = { ...TENSORS, [`${at}A.weight`]: tensor('F32', [rank, 32], A.slice(0, 32 * rank)) };
    const misfit = await adapter({}, wide);
    expect(() => misfit.merge(matrix)).toThrow(/lora_A.weight has the shape \[3, 32\]/);
    const tall = await adapter({}, { ...TENSORS, [`${at}B.weight`]: tensor('F32', [5, rank], B.slice(0, 15)) });
    expect(() => tall.merge(matrix)).toThrow(/lora_B.weight has the shape/);
  });

  test('4-bit floats, and a folder without an adapter', async () => {
    const [matrix] = await base(nvfp4Encoding('modelopt'), { quant_method: 'modelopt' });
    const found = await adapter();
    expect(() => found.merge(matrix)).toThrow(/nvfp4, to which no adapter/);
    await expect(openAdapter(memorySource({}))).rejects.toThrow(/adapter_config.json/);
    await expect(openAdapter(memorySource({ 'adapter_config.json': JSON.stringify(CONFIG) }))).rejects.toThrow(
      /adapter_model.safetensors/,
    );
  });
});
