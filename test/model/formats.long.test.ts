/** Published weight formats in the forms that the fixtures do not have, end to end against the forward pass in doubles on what they stand for. */
import { describe, expect, it } from 'vitest';
import { loadOn, plan } from '../../src/engine/load.ts';
import { InvalidCheckpoint, UnsupportedModel } from '../../src/errors.ts';
import { asVersion5, configOf } from '../support/configs.ts';
import { relativeError } from '../support/conformance.ts';
import { bnb4Encoding, fp8Encoding, gptqEncoding, mlxEncoding, nvfp4Encoding } from '../support/encodings.ts';
import { openModelGpu, pretend } from '../support/gpu.ts';
import { expectReference, promptOf } from '../support/reference.ts';
import {
  isPlain,
  mxfp4,
  packed,
  plain,
  synthetic,
  type Encoding,
  type Packing,
  type PlainType,
  type Wanted,
} from '../support/synthetic.ts';
import { memorySource } from '../support/weights.ts';

const gpu = await openModelGpu();
const KERNELS = { gpu, software: pretend(gpu, true) };

const weightsOf = ({ bits, group, strategy, zeros }: Packing): Record<string, unknown> => ({
  num_bits: bits,
  type: 'int',
  strategy: strategy ?? (group === null ? 'channel' : 'group'),
  group_size: group,
  symmetric: zeros === undefined,
  dynamic: false,
  actorder: null,
  block_structure: null,
  observer: 'minmax',
  observer_kwargs: {},
});

const groupOf = (targets: readonly string[], packing: Packing): Record<string, unknown> => ({
  targets,
  weights: weightsOf(packing),
  input_activations: null,
  output_activations: null,
});

const quantization = (groups: Record<string, unknown>): { quantization_config: Record<string, unknown> } => ({
  quantization_config: {
    quant_method: 'compressed-tensors',
    format: 'pack-quantized',
    quantization_status: 'compressed',
    config_groups: groups,
    ignore: ['lm_head', 're:.*mlp.gate$'],
    kv_cache_scheme: null,
    global_compression_ratio: null,
  },
});

const allPacked = (packing: Packing) => (tensor: Wanted) => (isPlain(tensor) ? plain('BF16') : packed(packing))(tensor);

describe.each([
  ['int8, a scale a row', { bits: 8, group: null }],
  ['int8, a scale a matrix', { bits: 8, group: null, strategy: 'tensor', scale: 'F32' }],
  ['int8, a scale and a zero point a row', { bits: 8, group: null, zeros: 'packed', scale: 'F16' }],
  ['int8, groups of 64 with zero points as i8', { bits: 8, group: 64, zeros: 'i8', scale: 'F32' }],
  ['int4, a scale and a zero point a row', { bits: 4, group: null, zeros: 'packed' }],
  ['int4, groups of 64', { bits: 4, group: 64, scale: 'F16' }],
  ['int4, groups of 32 with zero points', { bits: 4, group: 32, zeros: 'packed', scale: 'F16' }],
  ['int4, groups of 128 with zero points', { bits: 4, group: 128, zeros: 'packed', scale: 'F32' }],
] as const)('compressed-tensors %s', (_, packing) => {
  // Rows that no word of packed zero points divides; columns that no group divides where a row has one scale.
  const odd = packing.group === null;
  const json = configOf('qwen3-moe', {
    ...quantization({ group_0: groupOf(['Linear'], packing) }),
    hidden_size: odd ? 80 : 128,
    num_attention_heads: odd ? 6 : 8,
    num_key_value_heads: odd ? 3 : 1,
    head_dim: odd ? 24 : 16,
    intermediate_size: odd ? 36 : 128,
    moe_intermediate_size: odd ? 44 : 128,
    num_experts: 4,
    num_experts_per_tok: 2,
    mlp_only_layers: [1],
  });

  it.each(['gpu', 'software'] as const)('is what its integers stand for, with the kernels for %s', async (k) => {
    const model = synthetic(json, { encode: allPacked(packing) });
    await expectReference(KERNELS[k], model, promptOf(model));
  });
});

describe.each(['F16', 'F32', 'F64', 'F8_E4M3', 'F8_E5M2'] as const satisfies readonly PlainType[])('%s', (type) => {
  it('runs as it is, from shards with an index', async () => {
    const model = synthetic(configOf('mixtral', { num_hidden_layers: 1 }), { encode: plain(type), shards: 3 });
    await expectReference(gpu, model, promptOf(model));
  });
});

/** What each maker's config says, and how its tensors lie. */
const MAKERS: readonly (readonly [string, Record<string, unknown>, Encoding])[] = [
  [
    'GPTQ in 8 bits',
    {
      quantization_config: {
        quant_method: 'gptq',
        bits: 8,
        group_size: 64,
        desc_act: false,
        checkpoint_format: 'gptq_v2',
      },
    },
    gptqEncoding({ bits: 8, group: 64, version: 2 }),
  ],
  ['NVFP4', { quantization_config: { quant_method: 'modelopt', quant_algo: 'NVFP4' } }, nvfp4Encoding('modelopt')],
  ['NF4', { quantization_config: { quant_method: 'bitsandbytes' } }, bnb4Encoding({ kind: 'nf4', nested: true })],
  ['MLX in 4 bits', { quantization: { group_size: 32, bits: 4 } }, mlxEncoding({ bits: 4, group: 32 })],
];

it.each(MAKERS)('runs %s as what its codes stand for', async (_, settings, encoding) => {
  const heads = { num_attention_heads: 4, num_key_value_heads: 2, head_dim: 32 };
  const sizes = { hidden_size: 128, num_hidden_layers: 1, intermediate_size: 192, ...heads };
  const json = configOf('mixtral', { ...settings, ...sizes });
  const encode: Encoding = (tensor) => (isPlain(tensor) ? plain('BF16') : encoding)(tensor);
  const model = synthetic(json, { encode });
  await expectReference(KERNELS.gpu, model, promptOf(model));
});

it('makes FP8 smaller where 4 bits are asked for, and keeps it where 8 are', async () => {
  const json = configOf('mixtral', {
    quantization_config: { quant_method: 'fp8', weight_block_size: [64, 64] },
    hidden_size: 128,
    num_hidden_layers: 1,
  });
  const fp8 = fp8Encoding({ block: [64, 64], suffix: 'weight_scale_inv' });
  const { files } = synthetic(json, { encode: (t) => (isPlain(t) ? plain('BF16') : fp8)(t) });
  const layouts = async (weights: 'q8' | 'q4'): Promise<string[]> =>
    Object.keys((await plan(memorySource(files), { weights, storage: null })).conversions);
  expect(await layouts('q8')).toContain('fp8 64x64 -> fp8 g64 f32');
  expect(await layouts('q4')).toContain('fp8 64x64 -> int4 g32 f16');
  const model = await loadOn(KERNELS.gpu.share(), memorySource(files), { weights: 'q4', contextLength: 64 });
  const exact = await loadOn(KERNELS.gpu.share(), memorySource(files), { weights: 'as-is', contextLength: 64 });
  const [a, b] = [(await model.logits([1, 2, 3])).logits, (await exact.logits([1, 2, 3])).logits];
  // Rounding to 4 bits changes logits, by about as much as a step is of a weight.
  expect(relativeError(a, b)).toBeLessThan(1.5);
  expect(relativeError(a, b)).toBeGreaterThan(1e-3);
  await model.dispose();
  await exact.dispose();
});

it('runs rows of one model in several formats', async () => {
  // int8 q, bf16 k (ignored by name), int4 v with zero points; packed embedding and head.
  const q: Packing = { bits: 8, group: null };
  const v: Packing = { bits: 4, group: 32, zeros: 'packed' };
  const other: Packing = { bits: 4, group: 32 };
  const json = configOf('mixtral', {
    hidden_size: 96,
    num_hidden_layers: 1,
    vocab_size: 250,
    quantization_config: {
      quant_method: 'compressed-tensors',
      format: 'mixed-precision',
      ignore: ['re:.*k_proj$', 're:.*gate$'],
      config_groups: {
        group_0: { ...groupOf(['re:.*q_proj$', 'lm_head', 're:.*embed_tokens$'], q), format: 'pack-quantized' },
        group_1: { ...groupOf(['re:.*v_proj$'], v), format: 'pack-quantized' },
        group_2: { ...groupOf(['Linear'], other), format: 'pack-quantized' },
      },
    },
  });
  const model = synthetic(json, {
    encode: (tensor) => {
      if (tensor.shape.length === 1 || /(k_proj|gate)\.weight$/.test(tensor.name)) return plain('BF16')(tensor);
      if (/(q_proj|lm_head|embed_tokens)\.weight$/.test(tensor.name)) return packed(q)(tensor);
      return packed(tensor.name.includes('v_proj') ? v : other)(tensor);
    },
  });
  for (const kernels of Object.values(KERNELS)) await expectReference(kernels, model, promptOf(model));
});

it.each(['gpu', 'software'] as const)('runs MXFP4 with many experts, with the kernels for %s', async (k) => {
  const json = asVersion5(
    configOf('gpt-oss', {
      hidden_size: 96,
      intermediate_size: 160,
      num_local_experts: 33,
      quantization_config: { quant_method: 'mxfp4', modules_to_not_convert: ['model.layers.*.self_attn', 'lm_head'] },
    }),
  );
  const model = synthetic(json, {
    encode: (tensor) => (tensor.shape.length === 3 ? mxfp4 : plain('BF16'))(tensor),
  });
  await expectReference(KERNELS[k], model, promptOf(model));
});

it('runs experts that were taken out of their common tensor to be packed', async () => {
  const packing: Packing = { bits: 4, group: 32, zeros: 'packed' };
  const json = configOf('gpt-oss', { ...quantization({ group_0: groupOf(['Linear'], packing) }), hidden_size: 96 });
  const model = synthetic(json, { encode: allPacked(packing), experts: 'separate' });
  await expectReference(KERNELS.software, model, promptOf(model));
});

describe('refuses by name', () => {
  const json = (changes: Record<string, unknown>): Record<string, unknown> => {
    const group = groupOf(['Linear'], { bits: 4, group: 32 });
    const { quantization_config: q } = quantization({
      group_0: { ...group, weights: { ...(group.weights as object), ...changes } },
    });
    return configOf('mixtral', { hidden_size: 96, num_hidden_layers: 1, quantization_config: q });
  };

  it.each([
    ['num_bits', { num_bits: 3 }],
    ['type', { type: 'float' }],
    ['actorder', { actorder: 'dynamic' }],
    ['strategy', { strategy: 'block' }],
    ['multiples of 32', { group_size: 16 }],
  ])('%s', async (what, changes) => {
    const { files } = synthetic(json(changes), { encode: allPacked({ bits: 4, group: 32 }) });
    await expect(loadOn(gpu.share(), memorySource(files))).rejects.toThrowError(UnsupportedModel);
    await expect(loadOn(gpu.share(), memorySource(files))).rejects.toThrowError(what);
  });

  it('a format that is not packed', async () => {
    const q = { ...quantization({}).quantization_config, format: 'marlin-24' };
    const { files } = synthetic(configOf('mixtral', { quantization_config: q }));
    await expect(loadOn(gpu.share(), memorySource(files))).rejects.toThrowError(/marlin-24/);
  });

  it('a missing zero point and a scale of another shape', async () => {
    const { files } = synthetic(json({ symmetric: false }), { encode: allPacked({ bits: 4, group: 32 }) });
    await expect(loadOn(gpu.share(), memorySource(files))).rejects.toThrowError(/weight_zero_point/);
    const other = synthetic(json({}), { encode: allPacked({ bits: 4, group: 64 }) });
    await expect(loadOn(gpu.share(), memorySource(other.files))).rejects.toThrowError(InvalidCheckpoint);
  });
});
