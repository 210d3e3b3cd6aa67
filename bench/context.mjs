// How a token's time grows with its context, and a prompt token's with the prompt, on this adapter, beside what the cost model says.
//   node bench/context.mjs [--kv f32|f16|int8] [--latent] [--kernels gpu|software] [--repeats 5]
// A made-up model of two layers, every expert on the GPU; a token at a position costs the same whatever the cache holds, so nothing is read before it.
import { parseArgs } from 'node:util';
import { fromSource } from './modules.mjs';

const CONTEXTS = [64, 512, 2048, 8191];
const PROMPTS = [128, 256, 512, 1024, 2048];
const { values } = parseArgs({
  options: {
    kv: { type: 'string', default: 'f32' },
    latent: { type: 'boolean', default: false },
    kernels: { type: 'string', default: 'gpu' },
    repeats: { type: 'string', default: '5' },
  },
});

const COMMON = {
  vocab_size: 256,
  hidden_size: 256,
  num_hidden_layers: 2,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-6,
  hidden_act: 'silu',
  tie_word_embeddings: false,
};
const GROUPED = {
  ...COMMON,
  model_type: 'mixtral',
  architectures: ['MixtralForCausalLM'],
  num_attention_heads: 8,
  num_key_value_heads: 2,
  intermediate_size: 128,
  num_local_experts: 8,
  num_experts_per_tok: 2,
};
const LATENT = {
  ...COMMON,
  model_type: 'deepseek_v2',
  architectures: ['DeepseekV2ForCausalLM'],
  num_attention_heads: 8,
  num_key_value_heads: 8,
  q_lora_rank: null,
  kv_lora_rank: 96,
  qk_nope_head_dim: 32,
  qk_rope_head_dim: 16,
  v_head_dim: 32,
  first_k_dense_replace: 0,
  intermediate_size: 128,
  moe_intermediate_size: 128,
  n_routed_experts: 8,
  n_shared_experts: 1,
  num_experts_per_tok: 2,
  norm_topk_prob: false,
  routed_scaling_factor: 1,
  scoring_func: 'softmax',
  topk_method: 'greedy',
  n_group: 1,
  topk_group: 1,
};

const {
  load,
  madeSource,
  openDawn,
  openGpu,
  openModel,
  planOpened,
  allocateHomes,
  Uploader,
  Forward,
  costSheet,
  totalCost,
} = await fromSource('context', [
  'engine/load.ts',
  'cli/bench/made-source.ts',
  'cli/dawn.ts',
  'gpu/open.ts',
  'engine/open.ts',
  'engine/open-store.ts',
  'engine/upload.ts',
  'engine/forward.ts',
  'engine/cost/cost-sheet.ts',
  'engine/cost/program-cost.ts',
]);

const source = madeSource('made up', JSON.stringify(values.latent ? LATENT : GROUPED), 1);
const wishes = { contextLength: 8192, prefillChunk: 256, gpuBytes: 2 ** 32, kv: values.kv };
const dawn = await openDawn();
const gpu = await openGpu({ gpu: dawn, kernels: values.kernels });
const opened = await openModel(source);
const planned = planOpened(opened, gpu.facts.limits, 'as-is', wishes);
const sheet = await costSheet(opened, planned, values.kernels);
console.log(
  `${gpu.facts.adapter.description}, kernels for ${values.kernels}, kv ${values.kv}, ${values.latent ? 'latent' : 'grouped'} attention\n`,
);

const middle = (times) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
const line = (cells) => console.log(`| ${cells.join(' | ')} |`);
const kib = (bytes) => (bytes / 1024).toFixed(0);

await contexts();
gpu.dispose();
await prompts();

/** The layers of one token, by themselves. */
async function contexts() {
  const { homes, plan } = await allocateHomes(gpu, opened.config, planned);
  const uploader = new Uploader(gpu, () => undefined);
  const weights = await uploader.model(planned.spec, plan, homes, () => Promise.resolve());
  const forward = await Forward.create(gpu, opened.config, plan, weights, homes);
  const { program } = await forward.body('one');
  const run = async (position) => {
    forward.setStep(1, position);
    const encoder = gpu.device.createCommandEncoder();
    program.encode(encoder, { tokens: 1, position });
    const begin = performance.now();
    gpu.submit(encoder.finish());
    await gpu.device.queue.onSubmittedWorkDone();
    return performance.now() - begin;
  };
  line(['context', 'decode ms', 'dispatches', 'workgroups', 'KiB of keys and values', 'KiB in all', 'kflop']);
  line(Array(7).fill('---'));
  for (const position of CONTEXTS) {
    await run(position);
    const times = [];
    for (let i = 0; i < Number(values.repeats); i++) times.push(await run(position));
    const { dispatches, workgroups, ...cost } = totalCost(sheet.token(position));
    const all = cost.kvBytes + cost.weightBytes + cost.activationBytes;
    line([
      position + 1,
      middle(times).toFixed(2),
      dispatches,
      workgroups,
      kib(cost.kvBytes),
      kib(all),
      (cost.issuedFlops / 1000).toFixed(0),
    ]);
  }
  console.log();
}

/** A prompt in chunks of 256. */
async function prompts() {
  const model = await load(source, { ...wishes, gpu: dawn, kernels: values.kernels, storage: null });
  line(['prompt', 'ms a token', 'kflop a token', 'of them attention', 'KiB of keys and values a token']);
  line(Array(5).fill('---'));
  for (const length of PROMPTS) {
    const ids = Array.from({ length }, (_, i) => (7 * i + 1) % 256);
    const times = [];
    for (let i = 0; i < Number(values.repeats); i++) {
      const begin = performance.now();
      for await (const token of model.generate({ ids }, { maxTokens: 1, skipCache: true, ignoreEnd: true })) void token;
      if (i > 0 || values.repeats === '1') times.push(performance.now() - begin);
    }
    const costs = sheet.prompt(length);
    const [all, attention] = [costs, costs.filter(({ label }) => label.endsWith(' attend'))].map(totalCost);
    const share = (value) => (value / length / 1000).toFixed(0);
    line([
      length,
      (middle(times) / length).toFixed(3),
      share(all.issuedFlops),
      share(attention.issuedFlops),
      (all.kvBytes / length / 1024).toFixed(1),
    ]);
  }
  await model.dispose();
}
