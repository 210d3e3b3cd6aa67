// webmoe against other engines: the same checkpoint, prompts and number of tokens, in one Chromium on one adapter, by turns.
//   node bench/peers/run.mjs --peers DIR --model DIR --onnx DIR [--gguf DIR] [--weights as-is|q8|q4] [--prompts 16,128] [--tokens 17]
//     [--rounds 5] [--warm-up LENGTHS] [--adapter swiftshader|default] [--engines NAMES] [--json FILE]
// DIR of --peers is where `npm install onnxruntime-web @wllama/wllama` was run, of --model a checkpoint, of --onnx and --gguf other forms of it: docs/performance-peers.md
// says how they are made. An engine whose form is not given does not run. Every round runs every prompt in every engine once, in changing order.
// Before the rounds each engine runs a prompt of every length once, to have compiled all, and two more to count calls; `--warm-up 16` runs prompts of 16 tokens for
// that, where one of a length in --prompts takes minutes.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { cpuOfChildren } from './cpu.mjs';
import { report } from './report.mjs';
import { openSite } from './site.mjs';

const { values } = parseArgs({
  options: {
    peers: { type: 'string' },
    model: { type: 'string' },
    onnx: { type: 'string' },
    gguf: { type: 'string' },
    weights: { type: 'string', default: 'as-is' },
    prompts: { type: 'string', default: '16,128' },
    tokens: { type: 'string', default: '17' },
    rounds: { type: 'string', default: '5' },
    'warm-up': { type: 'string' },
    vocab: { type: 'string', default: '8192' },
    adapter: { type: 'string', default: 'swiftshader' },
    engines: { type: 'string', default: 'webmoe,onnxruntime,wllama' },
    json: { type: 'string' },
  },
});
if (!values.model || !values.peers)
  throw new Error('--model DIR and --peers DIR are needed: see docs/performance-peers.md');

const TOKENS = Number(values.tokens);
const PROMPTS = values.prompts.split(',').map(Number);
const WARM_UP = values['warm-up']?.split(',').map(Number) ?? PROMPTS;
const CONTEXT = Math.max(...PROMPTS) + TOKENS + 1;
const FORMS = { webmoe: values.model, onnxruntime: values.onnx, wllama: values.gguf };
const FOLDERS = { webmoe: 'webmoe-model', onnxruntime: 'onnx-model', wllama: 'gguf-model' };
const ENGINES = Object.keys(FORMS).filter((name) => FORMS[name] && values.engines.split(',').includes(name));
const ARGS = ['--no-sandbox', '--no-first-run', '--disable-background-networking', '--enable-unsafe-webgpu'];
/** Pages behind others must not be slowed down. */
const AWAKE = ['--disable-renderer-backgrounding', '--disable-background-timer-throttling'];

/** Another first id each time, so that nothing of an earlier prompt can be used again. */
const prompt = (length, run) =>
  Array.from({ length }, (_, i) => 3 + ((97 * i + 31 * run) % (Number(values.vocab) - 3)));

const folders = { peers: join(values.peers, 'node_modules') };
for (const name of ENGINES) folders[FOLDERS[name]] = FORMS[name];
const site = await openSite(ENGINES, folders);
const args = [...ARGS, ...AWAKE, ...(values.adapter === 'default' ? [] : [`--use-webgpu-adapter=${values.adapter}`])];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium', args });

async function open(name) {
  const page = await (await browser.newContext()).newPage();
  await page.exposeFunction('cpuMs', cpuOfChildren);
  page.on('pageerror', (error) => console.error(`${name}: ${error.message}`));
  site.sent();
  await page.goto(`${site.address}/${name}.html`);
  await page.waitForFunction(() => 'engine' in globalThis);
  const options = { contextLength: CONTEXT, weights: values.weights };
  const load = await page.evaluate((o) => globalThis.engine.load(o), options);
  console.error(`${name}: loaded in ${load.ms.toFixed(0)} ms`);
  return { name, page, load, sent: site.sent(), cold: [], timings: [] };
}

const time = ({ page }, ids, tokens) => page.evaluate(([i, n]) => globalThis.engine.time(i, n), [ids, tokens]);

/** What `run` asked of WebGPU. */
async function counted({ page }, run) {
  const before = await page.evaluate(() => globalThis.engine.counts());
  const result = await run();
  const after = await page.evaluate(() => globalThis.engine.counts());
  const calls = Object.fromEntries(Object.entries(after).map(([key, n]) => [key, n - (before[key] ?? 0)]));
  return { result, calls, peakBytes: after.peakBytes ?? 0 };
}

/** The first prompt of a length, when an engine compiles what it had not yet; then what a token asks of WebGPU. */
async function warmUp(engine) {
  for (const length of WARM_UP) {
    const cold = await counted(engine, () => time(engine, prompt(length, run++), 1));
    engine.cold.push({ length, ...cold.result.prompt, calls: cold.calls });
    console.error(`${engine.name}: first prompt of ${length}: ${cold.result.prompt.ms.toFixed(0)} ms`);
  }
  const one = await counted(engine, () => time(engine, prompt(WARM_UP[0], run++), 1));
  const more = await counted(engine, () => time(engine, prompt(WARM_UP[0], run++), TOKENS));
  const perToken = Object.entries(more.calls).map(([key, n]) => [key, (n - one.calls[key]) / (TOKENS - 1)]);
  Object.assign(engine, { token: Object.fromEntries(perToken), peakBytes: more.peakBytes });
}

let run = 0;
try {
  const engines = [];
  for (const name of ENGINES) engines.push(await open(name));
  const adapter = await engines[0].page.evaluate(async () => {
    const { vendor, architecture, description } = (await globalThis.navigator.gpu.requestAdapter()).info;
    return [vendor, architecture, description].filter(Boolean).join(' ');
  });
  const state = { adapter, browser: browser.version(), weights: values.weights, tokens: TOKENS, prompts: PROMPTS };
  const result = () => ({ ...state, engines: engines.map((engine) => ({ ...engine, page: undefined })) });
  for (const engine of engines) await warmUp(engine);
  for (let round = 0; round < Number(values.rounds); round++) {
    const order = round % 2 ? engines.toReversed() : engines;
    for (const length of PROMPTS) {
      run++;
      for (const engine of order)
        engine.timings.push({ length, round, ...(await time(engine, prompt(length, run), TOKENS)) });
    }
    if (values.json) writeFileSync(values.json, JSON.stringify(result(), null, 2));
    console.error(`round ${round + 1} of ${values.rounds}`);
  }
  console.log(report(result()));
} finally {
  await browser.close();
  site.close();
}
