// What the approximate options cost and gain: the next token's distribution against the exact one, and the experts that had to be fetched.
//   node bench/approximate.mjs [--model DIR] [--resident 0.5,0.25] [--tokens N] [--options NAMES] [--json]
// N tokens of each of two passages (default 16), one step a token. Every setting starts with empty slots, and after the first with the popularity that the
// one before left. Guesses are off, and a layer's experts are fetched before it runs (mode lockstep), so that no clock decides what is fetched.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { fromSource, idsOf, root } from './modules.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: join(root, 'models/smolmoe-135m-instruct') },
    resident: { type: 'string', default: '0.5,0.25' },
    tokens: { type: 'string', default: '16' },
    options: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const SETTINGS = [
  ['exact', {}],
  ['keep-experts 6', { keepExperts: 6 }],
  ['keep-experts 4', { keepExperts: 4 }],
  ['drop-below 0.5', { dropBelow: 0.5 }],
  ['drop-below 1', { dropBelow: 1 }],
  ['cache-prior 0.05', { cachePrior: 0.05, priorKeep: 2 }],
  ['cache-prior 0.1', { cachePrior: 0.1, priorKeep: 2 }],
  ['cache-prior 0.2', { cachePrior: 0.2, priorKeep: 2 }],
].filter(([name]) => name === 'exact' || !values.options || values.options.split(',').includes(name));
/** Where the passages begin in the golden text. */
const STARTS = [0, 190];

const { openGpu, loadOn, openNodeSource, openDawn, diskStorage, PrefetchGovernor } = await fromSource('approximate', [
  'gpu/open.ts',
  'engine/load.ts',
  'node.ts',
  'cli/common.ts',
  'policy/index.ts',
]);
Object.defineProperty(PrefetchGovernor.prototype, 'width', { get: () => 0 });

const text = idsOf(readFileSync(join(root, 'test/golden/smolmoe-135m-instruct/golden.safetensors')), 'text_ids');
const passages = STARTS.map((at) => text.slice(at, at + Number(values.tokens)));
const gpu = await openGpu({ gpu: await openDawn() });
const folder = mkdtempSync(join(tmpdir(), 'webmoe-approximate-'));

async function run(expertsResident, approximate) {
  const startedAt = performance.now();
  const options = { expertsResident, approximate, mode: 'lockstep', prefillChunk: 1, contextLength: 512 };
  const model = await loadOn(gpu.share(), await openNodeSource(values.model), {
    ...options,
    storage: diskStorage(folder),
    collect: false,
  });
  const sum = { misses: 0, bytes: 0, tokens: 0 };
  model.onStep(({ layers, bytes }) => {
    sum.tokens++;
    for (const { needed, hits } of layers) sum.misses += needed - hits;
    sum.bytes += bytes.memory + bytes.disk + bytes.network;
  });
  console.error(`loaded after ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  const logits = [];
  for (const ids of passages) logits.push((await model.logits(ids)).logits);
  const { vocab } = model.config;
  await model.dispose();
  return { logits, vocab, misses: sum.misses / sum.tokens, bytes: sum.bytes / sum.tokens };
}

/** Natural logarithms of the softmax. */
function logProbabilities(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  let total = 0;
  for (const x of logits) total += Math.exp(x - most);
  const shift = most + Math.log(total);
  return Float64Array.from(logits, (x) => x - shift);
}

const best = (logits) => logits.reduce((at, x, i) => (x > logits[at] ? i : at), 0);

function compare(exact, other) {
  const { vocab } = exact;
  let [divergence, equal, tokens] = [0, 0, 0];
  exact.logits.forEach((logits, passage) => {
    for (let at = 0; at < logits.length; at += vocab) {
      const a = logits.subarray(at, at + vocab);
      const b = other.logits[passage].subarray(at, at + vocab);
      const [p, q] = [logProbabilities(a), logProbabilities(b)];
      p.forEach((log, i) => (divergence += Math.exp(log) * (log - q[i])));
      equal += best(a) === best(b) ? 1 : 0;
      tokens++;
    }
  });
  return { divergence: divergence / tokens, equal: equal / tokens, tokens };
}

const rows = [];
if (!values.json) {
  console.log(
    '| experts resident | option | KL(exact, approximate), nats | equal best token | misses a token | bytes a token |',
  );
  console.log('|---|---|---|---|---|---|');
}
try {
  let first;
  for (const resident of values.resident.split(',').map(Number)) {
    let exact;
    for (const [name, approximate] of SETTINGS) {
      const result = await run(resident, approximate);
      first ??= result;
      exact ??= result;
      const row = { resident, option: name, ...compare(first, result), misses: result.misses, bytes: result.bytes };
      rows.push(row);
      if (values.json) continue;
      const change = (key) => `${Math.round((100 * row[key]) / exact[key] - 100)} %`;
      const against = (key) => (row.option === 'exact' ? '' : ` (${change(key)})`);
      console.log(
        `| ${resident} | ${name} | ${row.divergence.toFixed(4)} | ${(100 * row.equal).toFixed(1)} % | ` +
          `${row.misses.toFixed(1)}${against('misses')} | ${(row.bytes / 1e6).toFixed(2)} MB${against('bytes')} |`,
      );
    }
  }
  if (values.json) console.log(JSON.stringify(rows, null, 2));
  else console.log(`\n${rows[0].tokens} tokens a row`);
} finally {
  gpu.dispose();
  rmSync(folder, { recursive: true });
}
