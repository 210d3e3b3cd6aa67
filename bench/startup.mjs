// What a first answer waits for once the weights are there, beside a later prompt of the same length.
//   node bench/startup.mjs [MODEL_DIR] [--prompt TOKENS] [--runs N] [--slow] [--zeroed] [--json]
// Each run opens a device, loads, asks for one token, and then twice more for one token after another prompt. From the weights to the first token it is
// "of it after the weights" and "first prompt"; the former are shaders that take longer than the weights. `--zeroed` has shaders zero their workgroup memory,
// as browsers do.
import { join, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fromSource } from './modules.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { values, positionals } = parseArgs({
  options: {
    prompt: { type: 'string', default: '128' },
    runs: { type: 'string', default: '5' },
    slow: { type: 'boolean', default: false },
    zeroed: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const [folder = join(root, 'models/smolmoe-135m-instruct')] = positionals;
const LENGTH = Number(values.prompt);

const { openGpu, loadOn, openDawn, openOwnDawn, pathSource, prng } = await fromSource('startup', [
  'engine/load.ts',
  'gpu/open.ts',
  'cli/dawn.ts',
  'weights/node-source.ts',
  'util/prng.ts',
]);
const gpu = await (values.zeroed ? openDawn() : openOwnDawn());

/** Times in ms: by the clock, and of the processor, in which a software adapter does its work and other programs have no part. */
function stopwatch() {
  const startedAt = performance.now();
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return { clock: performance.now() - startedAt, processor: (user + system) / 1000 };
  };
}

/** With `--slow` a link beside which shaders are fast: no weight comes while one is compiled. */
function linkTo(own) {
  const inner = pathSource(folder);
  if (!values.slow) return inner;
  return {
    label: inner.label,
    size: (file, signal) => inner.size(file, signal),
    async *stream(...range) {
      await own.pipelines.settled;
      yield* inner.stream(...range);
    },
  };
}

async function firstToken(model, seed) {
  const u = prng(seed);
  const ids = Array.from({ length: LENGTH }, () => Math.floor(u() * model.config.vocab));
  const read = stopwatch();
  for await (const token of model.generate({ ids }, { maxTokens: 1, skipCache: true })) void token;
  return read();
}

async function run(seed) {
  let fromWeights = null;
  let sinceWeights = null;
  const onProgress = ({ phase }) => {
    if (phase === 'weights') fromWeights ??= stopwatch();
    if (phase === 'compile') sinceWeights = stopwatch();
  };
  const own = await openGpu({ gpu });
  const model = await loadOn(own, linkTo(own), { onProgress });
  const [whole, afterWeights] = [fromWeights(), sinceWeights()];
  const first = await firstToken(model, seed);
  const later = [await firstToken(model, seed + 1), await firstToken(model, seed + 2)];
  await model.dispose();
  return { load: whole, afterWeights, first, later };
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
const runs = [];
for (let i = 0; i < Number(values.runs); i++) runs.push(await run(1 + 10 * i));
const report = Object.fromEntries(
  ['clock', 'processor'].map((by) => {
    const of = (key) => median(runs.map((r) => r[key][by]));
    const later = median(runs.flatMap((r) => r.later.map((t) => t[by])));
    const [load, afterWeights, first] = [of('load'), of('afterWeights'), of('first')];
    return [by, { load, afterWeights, first, later, ratio: (afterWeights + first) / later }];
  }),
);
if (values.json) console.log(JSON.stringify({ prompt: LENGTH, runs, report }, null, 2));
else {
  console.log(
    `| ms, medians of ${runs.length} | load | of it after the weights | first prompt of ${LENGTH} | a later one | from the weights to the first token / a later one |`,
  );
  console.log('|---|---|---|---|---|---|');
  for (const [by, { ratio, ...ms }] of Object.entries(report))
    console.log(
      `| ${by} | ${Object.values(ms)
        .map((x) => x.toFixed(0))
        .join(' | ')} | ${ratio.toFixed(2)} |`,
    );
}
