/** LoRA adapters chosen per request: each answers as the model with it merged in, and nothing of one reaches another. */
import { expect, it } from 'vitest';
import { loadOn } from '../../src/engine/load.ts';
import { InvalidCheckpoint, InvalidRequest, UnsupportedModel } from '../../src/errors.ts';
import { configOf } from '../support/configs.ts';
import { expectClose } from '../support/conformance.ts';
import { tensor } from '../support/encodings.ts';
import { openTestGpu, pretend } from '../support/gpu.ts';
import { withModel } from '../support/models.ts';
import { normals } from '../support/random.ts';
import { plain, synthetic } from '../support/synthetic.ts';
import { memorySource, safetensors, type MemorySource, type TensorSpec } from '../support/weights.ts';

const gpu = await openTestGpu({ defaultLimits: true });
const KERNELS = { gpu, software: pretend(gpu, true) };
/** A chunk, and a single token. */
const IDS = [5, 9, 3, 20, 17];

type Files = Readonly<Record<string, Uint8Array | string>>;

/** Rows and columns of the matrices whose module `wanted` matches. */
function modulesOf(files: Files, wanted: RegExp): [string, readonly [number, number]][] {
  const file = files['model.safetensors'] as Uint8Array<ArrayBuffer>;
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))) as Record<
    string,
    { shape: [number, number] }
  >;
  return Object.entries(header).flatMap(([name, { shape }]) => {
    const module = name.replace(/\.weight$/, '');
    return wanted.test(module) ? [[module, shape] as [string, readonly [number, number]]] : [];
  });
}

function adapterOf(
  modules: readonly (readonly [string, readonly [number, number]])[],
  { rank, seed }: { readonly rank: number; readonly seed: number },
): MemorySource {
  const tensors: Record<string, TensorSpec> = {};
  modules.forEach(([module, [rows, cols]], i) => {
    const at = `base_model.model.${module}`;
    tensors[`${at}.lora_A.weight`] = tensor('F32', [rank, cols], normals(seed + 2 * i, rank * cols, 0.2));
    tensors[`${at}.lora_B.weight`] = tensor('F32', [rows, rank], normals(seed + 2 * i + 1, rows * rank, 0.2));
  });
  const config = { peft_type: 'LORA', r: rank, lora_alpha: rank / 2, target_modules: 'all-linear' };
  return memorySource({
    'adapter_config.json': JSON.stringify(config),
    'adapter_model.safetensors': safetensors(tensors),
  });
}

const MODELS = [
  [
    'grouped attention, a dense layer and the head',
    'software',
    'qwen3-moe',
    { mlp_only_layers: [1], tie_word_embeddings: false, num_experts: 4, num_experts_per_tok: 2 },
  ],
  [
    'latent attention',
    'gpu',
    'deepseek-v2',
    { n_routed_experts: 4, num_experts_per_tok: 2, n_group: 1, topk_group: 1 },
  ],
] as const;

type Loaded = Parameters<Parameters<typeof withModel>[3]>[0];

interface Asked {
  readonly logits: Float32Array;
  readonly ids: readonly number[];
}

/** @param maxTokens of an answer; 0: none */
async function asked(model: Loaded, adapter: string | null, maxTokens: number): Promise<Asked> {
  const ids: number[] = [];
  const options = { temperature: 0, maxTokens, ignoreEnd: true, adapter };
  if (maxTokens > 0) for await (const { id } of model.generate({ ids: IDS }, options)) ids.push(id);
  return { logits: (await model.logits(IDS, { adapter })).logits, ids };
}

const EXPERT = /experts|mlp\.gate$/;
const ADAPTED = /(q_proj|v_proj|o_proj|_a_proj_with_mqa|q_[ab]_proj|mlp\.(gate|down)_proj|lm_head)$/;

it.each(MODELS)('%s, with the kernels for %s', async (_, kernels, config, changes) => {
  const { files } = synthetic(configOf(config, { ...changes, num_hidden_layers: 2 }), { encode: plain('F32') });
  const modules = modulesOf(files, ADAPTED).filter(([name]) => !EXPERT.test(name));
  expect(modules.length).toBeGreaterThan(5);
  const wide = adapterOf(modules, { rank: 5, seed: 100 });
  const adapters = { wide, narrow: adapterOf(modules.slice(1, 3), { rank: 2, seed: 500 }) };
  const options = { weights: 'as-is', contextLength: 64, prefillChunk: 4 } as const;
  const device = KERNELS[kernels];
  // Programs for single tokens are most of what is compiled: one of the two models is enough.
  const most = config === 'deepseek-v2' ? 0 : 3;
  const merged = await withModel(device, memorySource(files), { ...options, adapter: wide }, (m) =>
    asked(m, null, most),
  );
  await withModel(device, memorySource(files), { ...options, adapters }, async (model) => {
    expect(model.adapters).toEqual(['wide', 'narrow']);
    const plainly = await asked(model, null, most);
    const found = await asked(model, 'wide', most);
    expectClose(found.logits, merged.logits, 1e-4, 'wide');
    expect(found.ids).toEqual(merged.ids);
    const narrow = await asked(model, 'narrow', 0);
    for (const { logits } of [plainly, found]) expect(() => expectClose(narrow.logits, logits, 1e-2, '')).toThrow();
    // What the cache holds was computed under the adapter.
    expect(await asked(model, null, most)).toEqual(plainly);
    await expect(asked(model, 'other', 1)).rejects.toThrow(InvalidRequest);
  });
});

it('refuses what cannot be changed per request, before a weight is read', async () => {
  const { files } = synthetic(configOf('mixtral', { num_hidden_layers: 1, num_local_experts: 4 }), {
    encode: plain('F32'),
  });
  const load = (wanted: RegExp, shape?: readonly [number, number]): Promise<unknown> => {
    const modules = modulesOf(files, wanted).map(([name, own]) => [name, shape ?? own] as const);
    return loadOn(gpu.share(), memorySource(files), { adapters: { mine: adapterOf(modules, { rank: 2, seed: 1 }) } });
  };
  for (const [wanted, name] of [
    [/experts\.0\.w1$/, /mine changes .*experts\.0\.w1/],
    [/block_sparse_moe\.gate$/, /block_sparse_moe\.gate/],
    [/embed_tokens$/, /embed_tokens/],
  ] as const) {
    await expect(load(wanted)).rejects.toThrow(UnsupportedModel);
    await expect(load(wanted)).rejects.toThrow(name);
  }
  await expect(load(/q_proj$/, [8, 8])).rejects.toThrow(InvalidCheckpoint);
});
