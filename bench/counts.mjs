// What a token costs a GPU, model by model: dispatches, submits, readbacks, bytes. Prints a Markdown table; counts do not depend on the adapter's speed.
//   node bench/counts.mjs [MODEL_DIR ...]
//   node bench/counts.mjs --routing [MODEL_DIR ...]   what each routing level adds, and interventions, with every expert on the GPU
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fromSource } from './modules.mjs';

const PROMPT = 12;
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const fixtures = readdirSync(join(root, 'test/fixtures/families')).map((f) => join(root, 'test/fixtures/families', f));
const { values, positionals } = parseArgs({
  options: { routing: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const models = positionals.length > 0 ? positionals : [join(root, 'models/smolmoe-135m-instruct'), ...fixtures];

if (values.routing) await routing();
else counts();

function counts() {
  console.log(
    '| model | layers | dispatches a layer, prefill | decode | submits a token | readbacks | bytes back | bytes up | weight bytes a token |',
  );
  console.log('|---|---|---|---|---|---|---|---|---|');
  for (const model of models) {
    const args = [
      join(root, 'bin/webmoe.mjs'),
      'bench',
      '--model',
      model,
      '--prompt-tokens',
      '12',
      '--decode-tokens',
      '4',
      '--kernels',
      'gpu',
      '--json',
    ];
    const run = spawnSync(process.execPath, args, { encoding: 'utf8' });
    if (run.status !== 0) {
      console.error(run.stderr);
      process.exit(1);
    }
    const { layers, prefill, decode } = JSON.parse(run.stdout);
    const outside = 3; // embedding, head, sampling
    const perLayer = (dispatches) => ((dispatches - outside) / layers).toFixed(2);
    console.log(
      `| ${basename(model)} | ${layers} | ${perLayer(prefill.dispatches)} | ${perLayer(decode.dispatchesPerToken)} | ${decode.submitsPerToken} | ${decode.readbacksPerToken} | ` +
        `${decode.readbackBytesPerToken} | ${decode.uploadBytesPerToken} | ${decode.weightBytesPerToken} |`,
    );
  }
}

/** Prompt of 12 tokens in chunks of 8; per token, of those after the first. */
async function routing() {
  const { load } = await fromSource('counts', ['node.ts']);
  const requests = [
    ['off', { routing: 'off' }],
    ['counts', { routing: 'counts' }],
    ['ids', { routing: 'ids' }],
    ['logits', { routing: 'logits' }],
    [
      'ids, intervened',
      { routing: 'ids', interventions: { mask: [[0, 0]], force: [[0, 1]], routerBias: [[0, 2, 0.5]] } },
    ],
  ];
  console.log(
    '| model | routing | dispatches a token | submits | readbacks | bytes back | bytes up | with the prompt: readbacks more | bytes more a prompt token | GPU bytes more |',
  );
  console.log('|---|---|---|---|---|---|---|---|---|---|');
  for (const source of models) {
    const model = await load(source, { contextLength: 64, prefillChunk: 8, kernels: 'gpu' });
    const total = () => Object.values(model.gpuBytes).reduce((a, b) => a + b, 0);
    const gpuBytes = total();
    for (const [name, options] of requests) {
      const plain = await costs(model, options);
      const asked = options.routing === 'off' ? null : await costs(model, { ...options, promptRouting: true });
      const { dispatches, submits, readbacks, readbackBytes, uploadBytes } = plain.token;
      const more = asked
        ? [
            asked.prompt.readbacks - plain.prompt.readbacks,
            (asked.prompt.readbackBytes - plain.prompt.readbackBytes) / PROMPT,
          ]
        : ['', ''];
      const row = [dispatches, submits, readbacks, readbackBytes, uploadBytes, ...more, total() - gpuBytes];
      console.log(`| ${basename(source)} | ${name} | ${row.join(' | ')} |`);
    }
    await model.dispose();
  }
}

/** What a prompt and a token of its answer cost, when the same was asked before. */
async function costs(model, options) {
  const ids = Array.from({ length: PROMPT }, (_, i) => (7 * i + 1) % model.config.vocab);
  const ask = { temperature: 0, ignoreEnd: true, maxTokens: 4, skipCache: true, ...options };
  for await (const token of model.generate({ ids }, ask)) void token;
  const counters = [model.counters];
  for await (const token of model.generate({ ids }, ask)) {
    void token;
    counters.push(model.counters);
  }
  const between = (a, b, over = 1) => Object.fromEntries(Object.keys(a).map((key) => [key, (b[key] - a[key]) / over]));
  return {
    prompt: between(counters[0], counters[1]),
    token: between(counters[1], counters.at(-1), counters.length - 2),
  };
}
