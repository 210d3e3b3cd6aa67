/** A LoRA adapter on attention, router, experts and head, end to end against the forward pass in doubles over merged weights. */
import { expect, it } from 'vitest';
import { loadOn, plan } from '../../src/engine/load.ts';
import { UnsupportedModel } from '../../src/errors.ts';
import { memoryFolder } from '../../src/weights/records/memory-folder.ts';
import { configOf } from '../support/configs.ts';
import { tensor } from '../support/encodings.ts';
import { openModelGpu } from '../support/gpu.ts';
import { normals } from '../support/random.ts';
import { expectReference, promptOf } from '../support/reference.ts';
import { plain, synthetic } from '../support/synthetic.ts';
import { memorySource, safetensors, type TensorSpec } from '../support/weights.ts';

const gpu = await openModelGpu();
const RANK = 2;

const base = synthetic(configOf('mixtral', { num_hidden_layers: 1, num_local_experts: 4 }), { encode: plain('F32') });
const PARTS = /(q_proj|o_proj|block_sparse_moe\.gate|experts\.[02]\.w[123]|lm_head)$/;

function adapterOf(modules: Readonly<Record<string, readonly [rows: number, cols: number]>>) {
  const tensors: Record<string, TensorSpec> = {};
  const added = new Map<string, Float64Array>();
  Object.entries(modules).forEach(([module, [rows, cols]], i) => {
    const [a, b] = [normals(2 * i + 50, RANK * cols, 0.3), normals(2 * i + 51, rows * RANK, 0.3)];
    tensors[`base_model.model.${module}.lora_A.weight`] = tensor('F32', [RANK, cols], a);
    tensors[`base_model.model.${module}.lora_B.weight`] = tensor('F32', [rows, RANK], b);
    const sum = new Float64Array(rows * cols);
    for (let n = 0; n < rows; n++)
      for (let k = 0; k < cols; k++)
        for (let r = 0; r < RANK; r++) sum[n * cols + k]! += 0.5 * b[n * RANK + r]! * a[r * cols + k]!;
    added.set(`${module}.weight`, sum);
  });
  const config = { peft_type: 'LORA', r: RANK, lora_alpha: 1, target_modules: 'all-linear' };
  const source = memorySource({
    'adapter_config.json': JSON.stringify(config),
    'adapter_model.safetensors': safetensors(tensors),
  });
  return { source, added };
}

const modules = (): Record<string, readonly [number, number]> => {
  const header = base.files['model.safetensors'] as Uint8Array<ArrayBuffer>;
  const length = Number(new DataView(header.buffer).getBigUint64(0, true));
  const json = JSON.parse(new TextDecoder().decode(header.subarray(8, 8 + length))) as Record<
    string,
    { shape: number[] }
  >;
  return Object.fromEntries(
    Object.entries(json)
      .filter(([name]) => PARTS.test(name.replace(/\.weight$/, '')))
      .map(([name, { shape }]) => [name.replace(/\.weight$/, ''), shape as [number, number]] as const),
  );
};

it('is the base with B A added', async () => {
  const { source, added } = adapterOf(modules());
  expect(added.size).toBe(10);
  const weights = (name: string): Float64Array | undefined => {
    const sum = added.get(name);
    return sum ? base.weights(name)?.map((w, i) => w + sum[i]!) : base.weights(name);
  };
  // What the base left on disk is not taken for the adapted experts.
  const storage = { root: memoryFolder(2 ** 26) };
  await expectReference(gpu, base, promptOf(base), { storage });
  await expectReference(gpu, { ...base, weights }, promptOf(base), { storage, adapter: source });
  const { conversions } = await plan(memorySource(base.files), { weights: 'q8', adapter: source });
  expect(Object.keys(conversions)).toContain('f32 + LoRA -> int8 g32 f16');
});

it('is refused where the model has no such module', async () => {
  const { source } = adapterOf({ 'model.layers.7.self_attn.q_proj': [8, 8] });
  const load = loadOn(gpu.share(), memorySource(base.files), { adapter: source });
  await expect(load).rejects.toThrow(UnsupportedModel);
  await expect(load).rejects.toThrow(/model\.layers\.7\.self_attn\.q_proj/);
});
