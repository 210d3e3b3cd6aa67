/** `webmoe bench`: latency, throughput and what a GPU pays for, of one model or of a sweep; or, without a GPU, what known ones could do. */
import { writeFile } from 'node:fs/promises';
import { TYPICAL_HARDWARE } from '../engine/predict.ts';
import { InvalidRequest } from '../errors.ts';
import type { OptionSpec, Options } from './args.ts';
import { html } from './bench/html.ts';
import { predictionsOf, predictionsText } from './bench/predictions.ts';
import { loadSettings, runSettings } from './bench/settings.ts';
import { runSweep, type BenchRow } from './bench/sweep.ts';
import { csv, reportText, tableText } from './bench/table.ts';
import { MODEL_OPTIONS, type Output } from './common.ts';

export type { BenchReport } from './bench/measure.ts';
export type { BenchRow } from './bench/sweep.ts';

const { model, weights, ...rest } = MODEL_OPTIONS;

export const BENCH_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  model: { ...model!, required: false },
  synthetic: { type: 'flag', help: 'make a model up in memory instead: random weights, the shape below' },
  experts: { type: 'wholes', value: 'E,...', help: 'of the synthetic model (default 8)', min: 1 },
  'top-k': { type: 'wholes', value: 'K,...', help: 'experts a token (default 2)', min: 1 },
  width: { type: 'wholes', value: 'F,...', help: 'of each expert (default 64)', min: 1 },
  layers: { type: 'whole', value: 'N', help: 'default 2', min: 1 },
  hidden: { type: 'whole', value: 'D', help: 'default 128', min: 1 },
  vocab: { type: 'whole', value: 'V', help: 'default 512', min: 2 },
  seed: { type: 'whole', value: 'N', help: 'of its weights (default 1)', min: 0 },
  weights: weights!,
  bits: { type: 'wholes', value: 'N,...', help: '4, 8 or 16 (as published): --weights, for several' },
  ...rest,
  'experts-resident': { ...rest['experts-resident']!, type: 'numbers', value: 'FRACTION,...' },
  batch: { type: 'wholes', value: 'N,...', help: 'requests that run together (default 1)' },
  'prompt-tokens': { type: 'wholes', value: 'N,...', help: 'default 64', min: 1 },
  'decode-tokens': { type: 'wholes', value: 'N,...', help: 'default 16', min: 2 },
  kernels: {
    type: 'choice',
    value: 'K',
    help: 'gpu or software: which kernels run, whatever the adapter is',
    choices: ['gpu', 'software'],
  },
  arithmetic: {
    type: 'choice',
    value: 'A',
    help: 'f32 (default), f16 or int8: in what decode multiplies 4-bit and 8-bit weights',
    choices: ['f32', 'f16', 'int8'],
  },
  timestamps: { type: 'flag', help: 'also time each kernel by the clock of the GPU' },
  bandwidth: { type: 'bytes', value: 'BYTES', help: 'a second, for the floor (default 200GB)' },
  'launch-us': { type: 'number', value: 'X', help: 'microseconds a dispatch, for the floor (default 10)', min: 0 },
  predict: { type: 'flag', help: 'run nothing: the floors of known GPUs, from configs and headers alone' },
  format: {
    type: 'choice',
    value: 'F',
    help: 'text (default), csv, json (an array of rows) or html (a page with plots)',
    choices: ['text', 'csv', 'json', 'html'],
  },
  out: { type: 'text', value: 'FILE', help: 'write there instead of printing' },
  json: { type: 'flag', help: 'print the report of a single run as JSON' },
};

function format(rows: readonly BenchRow[], as: string): string {
  if (as === 'csv') return csv(rows);
  if (as === 'json') return `${JSON.stringify(rows, null, 2)}\n`;
  if (as === 'html') return html(rows);
  return rows.length === 1 ? reportText(rows[0]!.report) : tableText(rows);
}

async function write(options: Options, out: Output, text: string): Promise<void> {
  const file = options.text('out');
  if (file === undefined) return out.write(text);
  await writeFile(file, text).catch((cause: unknown) => {
    throw new InvalidRequest(`cannot write ${file}`, { file }, { cause });
  });
}

export async function benchCommand(options: Options, out: Output): Promise<void> {
  const as = options.text('format') ?? 'text';
  if (options.flag('predict')) {
    const found = await predictionsOf(options);
    const isJson = as === 'json' || options.flag('json');
    return write(options, out, isJson ? `${JSON.stringify(found, null, 2)}\n` : predictionsText(found));
  }
  const [loads, runs] = [loadSettings(options), runSettings(options)];
  const isOne = loads.length * runs.length === 1;
  if (options.flag('json') && !isOne)
    throw new InvalidRequest('--json is for a single run: --format json gives an array of rows', {});
  const device = {
    bytesPerSecond: options.number('bandwidth') ?? TYPICAL_HARDWARE.memoryBytesPerSecond,
    launchSeconds:
      options.number('launch-us') === undefined ? TYPICAL_HARDWARE.dispatchSeconds : options.number('launch-us')! / 1e6,
  };
  const rows: BenchRow[] = [];
  await runSweep({ loads, runs, options, device }, out, (row) => rows.push(row));
  const text = options.flag('json') ? `${JSON.stringify(rows[0]!.report, null, 2)}\n` : format(rows, as);
  await write(options, out, text);
}
