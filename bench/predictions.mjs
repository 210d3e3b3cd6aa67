// What known GPUs could do at best, for four published models, from their configs alone: the tables of docs/performance.md.
//   node bench/predictions.mjs
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './modules.mjs';

const MODELS = [
  ['OLMoE-1B-7B', 'olmoe-1b-7b-0924-instruct'],
  ['Qwen3-30B-A3B', 'qwen3-30b-a3b'],
  ['gpt-oss-20b', 'gpt-oss-20b'],
  ['Mixtral-8x7B', 'mixtral-8x7b-instruct-v0.1'],
];

const predicted = MODELS.map(([name, file]) => {
  const config = join(root, 'test/unit/config/published', `${file}.json`);
  const args = [join(root, 'bin/webmoe.mjs'), 'bench', '--predict', '--json', '--model', config];
  const run = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (run.status !== 0) {
    console.error(run.stderr);
    process.exit(1);
  }
  return { name, ...JSON.parse(run.stdout) };
});

const print = (rows) => {
  const line = (cells) => console.log(`| ${cells.join(' | ')} |`);
  line(rows[0]);
  line(rows[0].map(() => '---'));
  rows.slice(1).forEach(line);
  console.log();
};
const two = (value) => String(Number(value.toPrecision(2)));
const three = (value) => String(Number(value.toPrecision(3)));

print([
  [
    'model, 4 bits',
    'dispatches a token',
    'weights',
    'keys and values',
    'activations',
    'prompt: dispatches',
    'Tflop',
    'with padding',
    'GPU memory',
  ],
  ...predicted.map(({ name, token, prompt, gpuBytes }) => [
    name,
    token.dispatches,
    `${three(token.weightBytes / 1e9)} GB`,
    `${three(token.kvBytes / 1e6)} MB`,
    `${three(token.activationBytes / 1e6)} MB`,
    prompt.dispatches,
    three(prompt.usefulFlops / 1e12),
    `x ${prompt.paddingFactor.toFixed(2)}`,
    `${three(gpuBytes / 1e9)} GB`,
  ]),
]);
print([
  ['tokens/s at most', ...predicted.map((p) => p.name)],
  ...predicted[0].gpus.map(({ gpu }, i) => [
    gpu,
    ...predicted.map((p) => {
      const { mostLaunch, leastLaunch } = p.gpus[i].tokensPerSecond;
      return `${two(mostLaunch)} to ${two(leastLaunch)}`;
    }),
  ]),
]);
print([
  ['a token: bytes, launches (ms)', ...predicted.map((p) => p.name)],
  ...predicted[0].gpus.map(({ gpu }, i) => [
    gpu,
    ...predicted.map((p) => {
      const { memoryMs, launchMs } = p.gpus[i];
      return `${two(memoryMs)}, ${two(launchMs.least)} to ${two(launchMs.most)}`;
    }),
  ]),
]);
print([
  ['a prompt of 512 at least (ms)', ...predicted.map((p) => p.name)],
  ...predicted[0].gpus.map(({ gpu }, i) => [gpu, ...predicted.map((p) => two(p.gpus[i].promptMs))]),
]);
