// What several requests at once bring: tokens a second of 1, 2, 4, 8 requests that run together, and of one in the queue as without `requests`.
//   node bench/serving.mjs [--model DIR] [--requests 1,2,4,8] [--tokens N] [--prompt N] [--rounds N] [--json]
// Prompts differ, so that nothing is shared; the clock runs from the moment when all have their first token to that when all have their last. The
// median of the rounds counts, each size once a round, so that what else the machine does falls on all alike. On a software adapter the processor
// computes everything: tokens a second of its time do not depend on who else uses it.
import { parseArgs } from 'node:util';
import { fromSource, root } from './modules.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: `${root}/models/smolmoe-135m-instruct` },
    requests: { type: 'string', default: '1,2,4,8' },
    tokens: { type: 'string', default: '16' },
    prompt: { type: 'string', default: '12' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});
const [TOKENS, PROMPT, ROUNDS] = [values.tokens, values.prompt, values.rounds].map(Number);
const SIZES = values.requests.split(',').map(Number);
const { load, pathSource } = await fromSource('serving', ['cli/load-engine.ts', 'weights/node-source.ts']);

const model = await load(pathSource(values.model), {
  contextLength: 256,
  prefillChunk: 64,
  requests: { inFlight: Math.max(...SIZES) },
});

/** @param onToken called with the number of its tokens so far */
async function ask(seed, options, onToken) {
  const ids = Array.from({ length: PROMPT }, (_, i) => 1 + ((101 * i + 977 * seed) % 40000));
  const running = model.generate(
    { ids },
    { maxTokens: TOKENS + 1, temperature: 0, ignoreEnd: true, skipCache: true, ...options },
  );
  for (let n = 1; ; n++) {
    const { done } = await running.next();
    if (done) return;
    onToken(n);
  }
}

let seed = 0;
/** @returns tokens of all together a second, by the clock and of the processor's time */
async function measure(count, options = {}) {
  let left = count;
  let startedAt = 0;
  let usedBefore;
  let tokens = 0;
  const onToken = (n) => {
    if (left === 0) tokens++;
    if (n > 1 || --left > 0) return;
    startedAt = performance.now();
    usedBefore = process.cpuUsage();
  };
  await Promise.all(Array.from({ length: count }, () => ask(seed++, options, onToken)));
  const { user, system } = process.cpuUsage(usedBefore);
  return { byClock: tokens / ((performance.now() - startedAt) / 1e3), byProcessor: tokens / ((user + system) / 1e6) };
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
const rows = [
  // Router logits are what requests cannot share a step with: they run by the kernels for single tokens.
  { name: 'one in the queue', count: 1, options: { routing: 'logits' }, rates: [] },
  ...SIZES.map((count) => ({ name: `${count} at once`, count, options: {}, rates: [] })),
];
await measure(1); // compiles
for (let round = 0; round < ROUNDS; round++)
  for (const row of rows) row.rates.push(await measure(row.count, row.options));
const { vendor, architecture, description } = model.device.adapter;
const name = [vendor, architecture, description].filter(Boolean).join(' ');
await model.dispose();

const figures = rows.map(({ name: what, rates }) => ({
  what,
  tokensPerSecond: median(rates.map((r) => r.byClock)),
  tokensPerProcessorSecond: median(rates.map((r) => r.byProcessor)),
}));
if (values.json) console.log(JSON.stringify({ device: name, figures }));
else {
  console.log(`${name}, ${TOKENS} tokens after prompts of ${PROMPT}\n`);
  console.log('| requests | tokens a second, all together | tokens a second of the processor |\n|---|---|---|');
  for (const f of figures)
    console.log(`| ${f.what} | ${f.tokensPerSecond.toFixed(1)} | ${f.tokensPerProcessorSecond.toFixed(2)} |`);
}
