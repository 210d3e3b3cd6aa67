/** What known GPUs could do at best with a model: floors of the cost model, from a config or from headers. Nothing is run, no weight is read. */
import { readFile, stat } from 'node:fs/promises';
import { costSheet } from '../../engine/cost/cost-sheet.ts';
import { floorTime, paddingFactor, totalCost, type TotalCost } from '../../engine/cost/program-cost.ts';
import type { KvFormat } from '../../config/kv-format.ts';
import { openModel, planOpened } from '../../engine/open.ts';
import type { WeightsOption } from '../../engine/precision.ts';
import { InvalidRequest } from '../../errors.ts';
import type { KernelChoice } from '../../gpu/device.ts';
import type { ByteSource } from '../../weights/source.ts';
import type { Options } from '../args.ts';
import { formatBytes } from '../common.ts';
import { formatFlops } from './table.ts';
import { modelSource } from '../model-source.ts';
import { openNodeSource } from '../node-source.ts';
import { KNOWN_GPUS } from './devices.ts';
import { madeSource } from './made-source.ts';

export interface GpuPrediction {
  readonly gpu: string;
  /** Milliseconds of a token: its bytes, and its launches at the least and the most that was reported. */
  readonly memoryMs: number;
  readonly launchMs: { readonly least: number; readonly most: number };
  /** Tokens a second that cannot be exceeded, with launches at the least and at the most. */
  readonly tokensPerSecond: { readonly leastLaunch: number; readonly mostLaunch: number };
  /** Of the prompt, with launches at the least and arithmetic at the GPU's full f32 rate. */
  readonly promptMs: number;
}

export interface Prediction {
  readonly model: string;
  readonly weights: string;
  /** Of the prompt; the token is the one behind it. */
  readonly promptTokens: number;
  readonly gpuBytes: number;
  readonly token: TotalCost;
  readonly prompt: TotalCost & { readonly paddingFactor: number };
  readonly gpus: readonly GpuPrediction[];
}

/** A folder, URL or Hub id is asked for its headers; a single config.json implies them. */
async function sourceOf(options: Options): Promise<ByteSource> {
  const named = options.text('model');
  if (named === undefined)
    throw new InvalidRequest('--predict needs a --model: a folder, a URL, a Hub id, or a config.json', {});
  const isFile = named.endsWith('.json') && (await stat(named).catch(() => null))?.isFile();
  if (isFile) return madeSource(named, await readFile(named, 'utf8'), null);
  return openNodeSource(modelSource(named, options));
}

/** @throws InvalidRequest without a model; as `openModel` */
export async function predictionsOf(options: Options): Promise<Prediction> {
  const source = await sourceOf(options);
  const opened = await openModel(source);
  const [promptTokens = 512, ...more] = options.numbers('prompt-tokens') ?? [];
  if (more.length) throw new InvalidRequest('--predict takes one number of --prompt-tokens', {});
  const weights = (options.text('weights') as WeightsOption | undefined) ?? 'q4';
  const planned = planOpened(
    opened,
    { maxBufferSize: Number.MAX_SAFE_INTEGER, maxStorageBufferBindingSize: Number.MAX_SAFE_INTEGER },
    weights,
    {
      gpuBytes: Number.MAX_SAFE_INTEGER,
      contextLength: options.number('context-length') ?? promptTokens + 1,
      prefillChunk: options.number('prefill-chunk') ?? promptTokens,
      kv: options.text('kv') as KvFormat | undefined,
    },
  );
  const sheet = await costSheet(opened, planned, (options.text('kernels') as KernelChoice | undefined) ?? 'gpu');
  const [token, prompt] = [sheet.token(promptTokens), sheet.prompt(promptTokens)];
  const gpus = KNOWN_GPUS.map((gpu): GpuPrediction => {
    const [least, most] = [gpu.launchSeconds, gpu.slowLaunchSeconds].map((launchSeconds) =>
      floorTime(token, { ...gpu, launchSeconds }),
    ) as [ReturnType<typeof floorTime>, ReturnType<typeof floorTime>];
    return {
      gpu: gpu.name,
      memoryMs: 1000 * least.memorySeconds,
      launchMs: { least: 1000 * least.launchSeconds, most: 1000 * most.launchSeconds },
      tokensPerSecond: { leastLaunch: 1 / least.seconds, mostLaunch: 1 / most.seconds },
      promptMs: 1000 * floorTime(prompt, gpu).seconds,
    };
  });
  const total = totalCost(prompt);
  return {
    model: source.label,
    weights: planned.plan.precision,
    promptTokens,
    gpuBytes: planned.plan.totalBytes,
    token: totalCost(token),
    prompt: { ...total, paddingFactor: paddingFactor(total) },
    gpus,
  };
}

const two = (value: number): string => String(Number(value.toPrecision(2)));

/** A line that says what is predicted, and a Markdown table. */
export function predictionsText(p: Prediction): string {
  const { token: t, prompt } = p;
  const head = [
    `${p.model}, ${p.weights}: predicted, not measured.`,
    `The token after ${p.promptTokens} others: ${t.dispatches} dispatches, ${formatBytes(t.weightBytes)} of weights, ${formatBytes(t.kvBytes)} of keys and values, ${formatBytes(t.activationBytes)} of activations.`,
    `A prompt of ${p.promptTokens}: ${prompt.dispatches} dispatches, ${formatFlops(prompt.usefulFlops)}, ${prompt.paddingFactor.toFixed(2)} times that with padding.`,
    `GPU memory: ${formatBytes(p.gpuBytes)}.`,
  ].join(' ');
  const columns = ['GPU', 'bytes of a token', 'its launches', 'tokens/s at most', 'prompt at least'];
  const lines = p.gpus.map((g) => [
    g.gpu,
    `${two(g.memoryMs)} ms`,
    `${two(g.launchMs.least)} to ${two(g.launchMs.most)} ms`,
    `${two(g.tokensPerSecond.mostLaunch)} to ${two(g.tokensPerSecond.leastLaunch)}`,
    `${two(g.promptMs)} ms`,
  ]);
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return `${head}\n\n${row(columns)}${row(columns.map(() => '---'))}${lines.map(row).join('')}`;
}
