/** LoRA adapters chosen per request: each answers as the model with it merged in, and nothing of one reaches another. */
import { expect, it } from 'vitest';
import { loadOn, plan } from '../../src/engine/load.ts';
import { InvalidCheckpoint, InvalidRequest, UnsupportedModel } from '../../src/errors.ts';
import { configOf } from '../support/configs.ts';
import { expectClose } from '../support/conformance.ts';
import { tensor } from '../support/encodings.ts';
import { openModelGpu, pretend } from '../support/gpu.ts';
import { withModel } from '../support/models.ts';
import { normals } from '../support/random.ts';
import { plain, synthetic } from '../support/synthetic.ts';
import { memorySource, safetensors, type MemorySource, type TensorSpec } from '../support/weights.ts';

const gpu = await openModelGpu();
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
    { mlp_only_layers: [1], tie_word_embeddings: false, num_experts: 4, num_experts_per_tok: 2, vocab_size: 1024 },
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

/** Of the four experts, some have all three maps, one has two, and one has none. */
const EXPERTS =
  /(experts\.0\.(gate|up|down)|experts\.3\.(gate|down)|experts\.1\.(gate|up|down)|shared_experts\.(gate|down))_proj$/;
const OTHERS = /(mlp\.gate|kv_b_proj|q_proj|v_proj|o_proj|_a_proj_with_mqa|q_[ab]_proj|mlp\.(gate|down)_proj|lm_head)$/;
const ADAPTED = new RegExp(`${EXPERTS.source}|${OTHERS.source}`);

it.each(MODELS)('%s, with the kernels for %s', async (_, kernels, config, changes) => {
  const { files } = synthetic(configOf(config, { ...changes, num_hidden_layers: 2 }), { encode: plain('F32') });
  const modules = modulesOf(files, ADAPTED);
  expect(modules.filter(([name]) => EXPERTS.test(name)).length).toBeGreaterThan(5);
  const wide = adapterOf(modules, { rank: 5, seed: 100 });
  // Only what the downs of experts add.
  const downs = modules.filter(([name]) => /experts\.\d\.down/.test(name));
  const adapters = { wide, narrow: adapterOf(downs, { rank: 2, seed: 500 }) };
  const options = { weights: 'as-is', contextLength: 64, prefillChunk: 4 } as const;
  const device = KERNELS[kernels];
  // Programs for single tokens are most of what is compiled: one of the two models is enough.
  const most = config === 'deepseek-v2' ? 0 : 3;
  const merged = await withModel(device, memorySource(files), { ...options, adapter: wide }, (m) =>
    asked(m, null, most),
  );
  await withModel(device, memorySource(files), { ...options, adapters }, async (model) => {
    expect(model.adapters).toEqual(['wide', 'narrow']);
    const planned = await plan(memorySource(files), { ...options, adapters, kernels: device.facts.kernels });
    expect(planned.bytes.adapters).toBeGreaterThan(0);
    expect(model.gpuBytes).toEqual(planned.bytes);
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

it('keeps the maps of experts that have no slot, and leaves the base alone', async () => {
  const { files } = synthetic(configOf('mixtral', { num_hidden_layers: 1, num_local_experts: 5 }), {
    encode: plain('F32'),
  });
  const mine = adapterOf(modulesOf(files, /experts\.[0-3]\.w[123]$/), { rank: 3, seed: 900 });
  const options = { weights: 'as-is', contextLength: 64, prefillChunk: 4 } as const;
  const source = (): MemorySource => memorySource(files);
  const merged = await withModel(gpu, source(), { ...options, adapter: mine }, (m) => asked(m, null, 3));
  const base = await withModel(gpu, source(), { ...options, expertsResident: 0.6 }, (m) => asked(m, null, 3));
  const few = { ...options, expertsResident: 0.6, adapters: { mine } };
  await withModel(gpu, source(), few, async (model) => {
    expect(model.plan.slots.count).toBeLessThan(5);
    const found = await asked(model, 'mine', 3);
    expectClose(found.logits, merged.logits, 1e-4, 'in few slots');
    expect(found.ids).toEqual(merged.ids);
    expect(await asked(model, null, 3)).toEqual(base);
    expect(await asked(model, 'mine', 3)).toEqual(found);
    expect(() => expectClose(base.logits, merged.logits, 1e-2, '')).toThrow();
    expect(model.gpuBytes.adapters).toBe(model.plan.bytes.adapters);
  });
});

it('shares steps among requests of the same adapter, each with the bits that it gets alone', async () => {
  const { files } = synthetic(configOf('mixtral', { num_hidden_layers: 1, num_local_experts: 4 }), {
    encode: plain('F32'),
  });
  const of = (wanted: RegExp, seed: number): MemorySource => adapterOf(modulesOf(files, wanted), { rank: 3, seed });
  const adapters = { one: of(/experts\.\d\.w[123]|lm_head$/, 70), two: of(/experts\.[01]\.w2|q_proj$/, 90) };
  const options = { weights: 'as-is', contextLength: 48, prefillChunk: 16, requests: { inFlight: 4 } } as const;
  await withModel(gpu, memorySource(files), { ...options, adapters }, async (model) => {
    const wishes = [null, 'one', 'two', 'one'].map((adapter, i) => ({ adapter, ids: [...IDS, i === 3 ? 4 : 2] }));
    const answer = async ({ adapter, ids }: (typeof wishes)[number], skipCache: boolean): Promise<unknown[]> => {
      const tokens: unknown[] = [];
      const wish = { temperature: 0, maxTokens: 4, ignoreEnd: true, skipCache, adapter };
      for await (const { id, logprob } of model.generate({ ids }, wish)) tokens.push([id, logprob]);
      return tokens;
    };
    const alone: unknown[][] = [];
    for (const wish of wishes) alone.push(await answer(wish, true));
    const submits = model.counters.submits;
    expect(await Promise.all(wishes.map((wish) => answer(wish, false)))).toEqual(alone);
    // A prompt and three tokens of each, the two under one adapter together.
    expect(model.counters.submits - submits).toBeLessThanOrEqual(3 * 4 + 1);
    expect(new Set(alone.map((tokens) => JSON.stringify(tokens))).size).toBe(wishes.length);
    expect(model.gpuBytes).toEqual(model.plan.bytes);
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
  for (const [wanted, name] of [[/embed_tokens$/, /embed_tokens/]] as const) {
    await expect(load(wanted)).rejects.toThrow(UnsupportedModel);
    await expect(load(wanted)).rejects.toThrow(name);
  }
  await expect(load(/q_proj$/, [8, 8])).rejects.toThrow(InvalidCheckpoint);
});
