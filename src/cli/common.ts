/** What the commands share: loading with a progress bar, sizes in words. */
import { InvalidRequest } from '../errors.ts';
import type { LoadOptions } from '../engine/load.ts';
import type { Model } from '../engine/model.ts';
import type { LoadProgress } from '../engine/progress.ts';
import type { WeightsOption } from '../engine/precision.ts';
import type { KernelChoice } from '../gpu/device.ts';
import { KV_FORMATS, type KvFormat } from '../config/kv-format.ts';
import type { ModeOption } from '../engine/mode.ts';
import { diskStorage } from '../node.ts';
import { load } from './load-engine.ts';
import { DEFAULT_POLICY, POLICY_NAMES } from '../policy/index.ts';
import type { OptionSpec, Options } from './args.ts';
import { pathSource } from '../weights/node-source.ts';
import { modelSource, SOURCE_OPTIONS } from './model-source.ts';

export interface Output {
  /** Answers, tables, JSON. */
  write(text: string): void;
  /** Progress, hints, errors. */
  note(text: string): void;
  readonly isTerminal: boolean;
}

export const MODEL_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  model: {
    type: 'text',
    value: 'DIR|URL|ID',
    help: 'folder or URL with config.json and safetensors, a .gguf file, or a Hub id such as org/name',
    required: true,
  },
  ...SOURCE_OPTIONS,
  weights: {
    type: 'choice',
    value: 'W',
    help: 'auto (default), as-is, q8 or q4',
    choices: ['auto', 'as-is', 'q8', 'q4'],
  },
  'context-length': { type: 'whole', value: 'N', help: 'longest conversation in tokens', min: 1 },
  'prefill-chunk': { type: 'whole', value: 'N', help: 'prompt tokens that go through the model at once', min: 1 },
  kv: {
    type: 'choice',
    value: 'F',
    help: 'how keys and values are kept: f32 (default), f16 or int8',
    choices: KV_FORMATS,
  },
  'gpu-budget': { type: 'bytes', value: 'BYTES', help: 'GPU memory to use at most (default 6GiB)' },
  'experts-resident': {
    type: 'number',
    value: 'FRACTION',
    help: 'of the experts, 0 to 1, that stay on the GPU; default: as many as fit',
    min: 0,
    max: 1,
  },
  mode: {
    type: 'choice',
    value: 'M',
    help: 'how tokens run while experts are missing: auto (default), resident, optimistic or lockstep',
    choices: ['auto', 'resident', 'optimistic', 'lockstep'],
  },
  policy: {
    type: 'choice',
    value: 'NAME',
    help: `which expert leaves the GPU first: ${POLICY_NAMES.join(', ')} (default ${DEFAULT_POLICY})`,
    choices: POLICY_NAMES,
  },
  'keep-experts': { type: 'whole', value: 'N', help: 'approximate: use at most N experts a token and layer', min: 1 },
  'drop-below': {
    type: 'number',
    value: 'X',
    help: "approximate: drop missing experts below X of a token's mean weight",
    min: 0,
  },
  'cache-prior': {
    type: 'number',
    value: 'X',
    help: "approximate: prefer experts on the GPU, by X of the span of the router's keys",
    min: 0,
  },
  adapter: { type: 'text', value: 'DIR', help: 'merge a LoRA adapter (PEFT) into the weights' },
  cache: { type: 'text', value: 'DIR', help: 'keep weights here between starts, as webmoe pack makes them' },
  'disk-budget': { type: 'bytes', value: 'BYTES', help: 'disk that they may take (default: all they need)' },
};

export function formatBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

export function formatCount(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toPrecision(3)} B`;
  return count >= 1e6 ? `${(count / 1e6).toPrecision(3)} M` : String(count);
}

export function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** One line of a terminal, without its end. */
export function progressLine(p: LoadProgress): string {
  if (p.phase !== 'weights')
    return {
      open: 'reading configs',
      elsewhere: 'waiting for another process',
      compile: 'compiling shaders',
      ready: '',
    }[p.phase];
  const share = p.totalBytes ? p.loadedBytes / p.totalBytes : 1;
  const bar = '#'.repeat(Math.round(share * 24)).padEnd(24, '.');
  const speed = p.bytesPerSecond ? `  ${formatBytes(p.bytesPerSecond)}/s` : '';
  const rest = p.remainingSeconds ? `  ${formatSeconds(p.remainingSeconds)} left` : '';
  return `[${bar}] ${formatBytes(p.loadedBytes)} of ${formatBytes(p.totalBytes)}${speed}${rest}`;
}

/** What MODEL_OPTIONS ask of a load. */
export function loadOptions(options: Options): LoadOptions {
  const cache = options.text('cache');
  const adapter = options.text('adapter');
  return {
    weights: options.text('weights') as WeightsOption | undefined,
    contextLength: options.number('context-length'),
    prefillChunk: options.number('prefill-chunk'),
    kv: options.text('kv') as KvFormat | undefined,
    gpuBytes: options.number('gpu-budget'),
    expertsResident: options.number('experts-resident'),
    mode: options.text('mode') as ModeOption | undefined,
    policy: options.text('policy'),
    adapter: adapter === undefined ? null : pathSource(adapter),
    approximate: {
      keepExperts: options.number('keep-experts') ?? 0,
      dropBelow: options.number('drop-below') ?? 0,
      cachePrior: options.number('cache-prior') ?? 0,
    },
    storage: cache === undefined ? undefined : diskStorage(cache),
    diskBytes: options.number('disk-budget'),
    kernels: options.text('kernels') as KernelChoice | undefined,
  };
}

/** Loads as the options say; a progress bar on a terminal, silence elsewhere. */
export async function loadModel(
  options: Options,
  out: Output,
  signal?: AbortSignal,
  more?: Pick<LoadOptions, 'requests' | 'adapters'>,
): Promise<Model> {
  const cache = options.text('cache');
  const show = (p: LoadProgress): void => {
    if (out.isTerminal) out.note(`\r\x1b[K${progressLine(p)}`);
  };
  const model = await load(modelSource(options.text('model')!, options), {
    ...loadOptions(options),
    onProgress: show,
    signal,
    ...more,
  });
  if (out.isTerminal) out.note('\r\x1b[K');
  const storage = model.expertStats()?.storage;
  if (cache !== undefined && storage?.note) out.note(`${storage.note}\n`);
  return model;
}

/** A JSON file with an array of token ids. */
export function parseIds(text: string, file: string): number[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new InvalidRequest(`${file} is not JSON`, { file }, { cause });
  }
  if (!Array.isArray(json) || !json.every((id) => Number.isInteger(id) && (id as number) >= 0)) {
    throw new InvalidRequest(`${file} must hold a JSON array of token ids, as in [1, 2, 3]`, { file });
  }
  if (json.length === 0) throw new InvalidRequest(`${file} is empty: there is nothing to score`, { file });
  return json as number[];
}
