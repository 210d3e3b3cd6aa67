/** One measurement: latency and throughput in the field's terms, what the GPU was asked for, and what the cost model says of it. */
import { moeLayers } from '../../engine/activations.ts';
import type { CostSheet } from '../../engine/cost/cost-sheet.ts';
import {
  floorTime,
  paddingFactor,
  totalCost,
  type DeviceRates,
  type DispatchCost,
  type TotalCost,
} from '../../engine/cost/program-cost.ts';
import type { StepEvent } from '../../engine/expert-stats.ts';
import type { GenerateOptions, GenerateSummary } from '../../engine/generation.ts';
import type { Model } from '../../engine/model.ts';
import type { Counters, Gpu } from '../../gpu/gpu.ts';
import { KernelTimer, type KernelTime } from '../../gpu/timer.ts';
import { sum } from '../../util/math.ts';
import { prng } from '../../util/prng.ts';
import { balanceOf, promptTraffic, type ExpertBalance } from './balance.ts';

/** What a step costs by the model of costs, and the least time for it on `floorFor`. */
export interface CostReport extends TotalCost {
  /** Flops issued for each that is useful. */
  readonly paddingFactor: number;
  readonly floorMs: number;
}

/** What a first answer waits for once the weights are there. */
export interface Startup {
  /** Of loading, after the last weight: shaders that took longer. */
  readonly loadMs: number;
  /** Of the first prompt. */
  readonly ttftMs: number;
  /** Both, over `BenchReport.ttftMs`. */
  readonly ratio: number;
}

export interface BenchReport {
  readonly layers: number;
  readonly moeLayers: number;
  /** Requests that ran together, with prompts of their own. Times to a token are medians over them, gaps those of all; from `prefill` on counts are per token of any. */
  readonly batch: number;
  readonly ttftMs: number;
  /** Of the model's first request, a prompt of the same length; null where it answered others before. */
  readonly startup: Startup | null;
  /** From the request to its last token; of several to the last of all. */
  readonly endToEndMs: number;
  readonly throughput: {
    /** Tokens generated, over the whole time. */
    readonly tokensPerSecond: number;
    /** Requests answered. */
    readonly samplesPerSecond: number;
  };
  readonly prefill: { tokens: number; tokensPerSecond: number; dispatches: number; submits: number; readbacks: number };
  readonly decode: {
    tokens: number;
    tokensPerSecond: number;
    dispatchesPerToken: number;
    submitsPerToken: number;
    readbacksPerToken: number;
    readbackBytesPerToken: number;
    uploadBytesPerToken: number;
    /** Weight bytes that one token's kernels read; an expert that it does not take counts for nothing. */
    weightBytesPerToken: number;
    /** Objects made per token after the first: all zero in a warmed-up engine. */
    createdPerToken: { buffers: number; bindGroups: number; pipelines: number };
    itlMs: { median: number; p95: number };
  };
  /** Of the prompt's tokens; null for a model without experts. */
  readonly balance: ExpertBalance | null;
  /** Of the kernels that ran: the token in the middle of the answer, and the prompt with the routing that it had. Of a batch, what a request alone costs. */
  readonly cost: { readonly token: CostReport; readonly prompt: CostReport; readonly floorFor: DeviceRates };
  /** null when every expert is on the GPU. */
  readonly streaming: Streaming | null;
  /** Of decoded tokens after those of the other figures, by the GPU's clock; null when nobody asked. */
  readonly kernels: readonly KernelTime[] | null;
  readonly gpuBytes: { weights: number; experts: number; kv: number; activations: number };
  readonly precision: string;
  readonly adapter: { vendor: string; architecture: string; description: string; isFallback: boolean };
  readonly tuning: Model['tuning'];
}

/** Of the decoded tokens. */
interface Streaming {
  readonly mode: string;
  readonly slots: number;
  readonly experts: number;
  readonly hitRate: number;
  readonly bytesPerToken: number;
  readonly stallMsPerToken: number;
  readonly replaysPerToken: number;
}

function streamingOf(model: Model, events: readonly StepEvent[]): Streaming | null {
  const stats = model.expertStats();
  const last = events.at(-1);
  if (!stats || !last || stats.mode === 'resident') return null;
  const per = (of: (event: StepEvent) => number): number => sum(events.map(of)) / events.length;
  const layers = events.flatMap((e) => e.layers);
  return {
    mode: last.mode,
    slots: stats.slots,
    experts: stats.experts,
    hitRate: sum(layers.map((l) => l.hits)) / sum(layers.map((l) => l.needed)),
    bytesPerToken: per((e) => e.bytes.memory + e.bytes.disk + e.bytes.network),
    stallMsPerToken: per((e) => e.stallMs),
    replaysPerToken: per((e) => e.replays),
  };
}

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;

function costReport(costs: readonly DispatchCost[], device: DeviceRates): CostReport {
  const total = totalCost(costs);
  return { ...total, paddingFactor: paddingFactor(total), floorMs: 1000 * floorTime(costs, device).seconds };
}

export interface BenchRun {
  /** Requests together. */
  readonly batch: number;
  readonly promptTokens: number;
  /** At least 2: the first token has no gap before it. */
  readonly decodeTokens: number;
  readonly sheet: CostSheet;
  /** Whose floor is worked out. */
  readonly device: DeviceRates;
  /** What loading took after the last weight, where the model has answered nothing yet. */
  readonly loadTailMs?: number | undefined;
  /** Of the device that the model runs on: its kernels are timed too. */
  readonly timed?: Gpu | undefined;
}

interface Warm {
  readonly ttftMs: number;
  readonly summary: GenerateSummary;
}

/** Runs a request to its end. */
async function warmUp(model: Model, ids: readonly number[], options: GenerateOptions): Promise<Warm> {
  const startedAt = performance.now();
  const running = model.generate({ ids: [...ids] }, options);
  let ttftMs = 0;
  for (;;) {
    const next = await running.next();
    ttftMs ||= performance.now() - startedAt;
    if (next.done) return { ttftMs, summary: next.value };
  }
}

interface Timed {
  readonly ttftMs: number;
  readonly endToEndMs: number;
  readonly gaps: readonly number[];
  /** While every request writes: from the moment when the last one has its first token. */
  readonly decode: { readonly tokens: number; readonly ms: number };
  /** Before, when every request has its first token, at the end. */
  readonly counters: readonly [Counters, Counters, Counters];
  readonly events: readonly StepEvent[];
}

async function timed(model: Model, prompts: readonly (readonly number[])[], options: GenerateOptions): Promise<Timed> {
  const events: StepEvent[] = [];
  const stop = model.onStep((event) => void (event.phase === 'decode' && events.push(event)));
  const before = model.counters;
  const startedAt = performance.now();
  const times = prompts.map((): number[] => []);
  let middle = before;
  let waiting = prompts.length;
  await Promise.all(
    prompts.map(async (ids, i) => {
      for await (const token of model.generate({ ids: [...ids] }, options)) {
        void token;
        times[i]!.push(performance.now() - startedAt);
        if (times[i]!.length === 1 && --waiting === 0) middle = model.counters;
      }
    }),
  );
  stop();
  const begin = Math.max(...times.map((t) => t[0]!));
  const end = Math.max(...times.map((t) => t.at(-1)!));
  return {
    ttftMs: quantile(
      times.map((t) => t[0]!).sort((a, b) => a - b),
      0.5,
    ),
    endToEndMs: end,
    gaps: times.flatMap((t) => t.slice(1).map((at, i) => at - t[i]!)),
    decode: { tokens: times.flat().filter((at) => at > begin).length, ms: end - begin },
    counters: [before, middle, model.counters],
    events,
  };
}

/** A prompt of random tokens from a fixed seed, after another of the same length, which warms up and tells its routing. */
export async function benchmark(model: Model, run: BenchRun): Promise<BenchReport> {
  const { batch, promptTokens, decodeTokens } = run;
  const { vocab } = model.config;
  const u = prng(1);
  const randomPrompt = (): number[] => Array.from({ length: promptTokens }, () => Math.floor(u() * vocab));
  const prompts = Array.from({ length: batch }, randomPrompt);
  const prompt = prompts[0]!;
  /** Begins with another token than `prompt`, so that nothing of it is in the cache. */
  const other = [(prompt[0]! + 1) % vocab, ...prompt.slice(1)];
  // What a random prompt makes a model say repeats itself: guesses would hold as in no text.
  const options = { temperature: 0, ignoreEnd: true, maxTokens: decodeTokens, speculate: false };
  const warm = await warmUp(model, other, { ...options, maxTokens: 2, promptRouting: true, skipCache: true });
  const t = await timed(model, prompts, options);
  return { ...reportOf(model, run, warm, t), kernels: run.timed ? await kernelTimes(model, prompt, run.timed) : null };
}

const TIMED_TOKENS = 4;

/** Of `TIMED_TOKENS` decoded tokens after the prompt, or as many as the timer has room for. */
async function kernelTimes(model: Model, prompt: readonly number[], gpu: Gpu): Promise<KernelTime[]> {
  const timer = new KernelTimer(gpu);
  try {
    const options = { temperature: 0, ignoreEnd: true, maxTokens: 1 + TIMED_TOKENS };
    // The first token comes with the prompt.
    for await (const token of model.generate({ ids: [...prompt] }, options)) {
      void token;
      gpu.timer = timer;
    }
    return await timer.read();
  } finally {
    gpu.timer = null;
    timer.dispose();
  }
}

function startupOf({ loadTailMs }: BenchRun, warm: Warm, later: Timed): Startup | null {
  if (loadTailMs === undefined) return null;
  const { ttftMs } = warm;
  return { loadMs: loadTailMs, ttftMs, ratio: (loadTailMs + ttftMs) / later.ttftMs };
}

function reportOf(model: Model, run: BenchRun, warm: Warm, t: Timed): Omit<BenchReport, 'kernels'> {
  const { config, plan, gpuBytes: bytes } = model;
  const { batch, promptTokens, decodeTokens, sheet, device } = run;
  const [before, middle, after] = t.counters;
  const steps = t.decode.tokens;
  const per = (key: keyof Counters): number => (after[key] - middle[key]) / steps;
  const sorted = [...t.gaps].sort((a, b) => a - b);
  const routed = warm.summary.routing?.prompt;
  const token = costReport(sheet.token(promptTokens + Math.floor((decodeTokens - 1) / 2)), device);
  return {
    layers: config.layers.length,
    moeLayers: moeLayers(config).length,
    batch,
    ttftMs: t.ttftMs,
    startup: startupOf(run, warm, t),
    endToEndMs: t.endToEndMs,
    throughput: {
      tokensPerSecond: ((t.gaps.length + batch) / t.endToEndMs) * 1000,
      samplesPerSecond: (1000 * batch) / t.endToEndMs,
    },
    prefill: {
      tokens: promptTokens,
      tokensPerSecond: (promptTokens / t.ttftMs) * 1000,
      dispatches: middle.dispatches - before.dispatches,
      submits: middle.submits - before.submits,
      readbacks: middle.readbacks - before.readbacks,
    },
    decode: {
      tokens: steps,
      tokensPerSecond: (steps / t.decode.ms) * 1000,
      dispatchesPerToken: per('dispatches'),
      submitsPerToken: per('submits'),
      readbacksPerToken: per('readbacks'),
      readbackBytesPerToken: per('readbackBytes'),
      uploadBytesPerToken: per('uploadBytes'),
      weightBytesPerToken: token.weightBytes,
      createdPerToken: {
        buffers: per('buffersCreated'),
        bindGroups: per('bindGroupsCreated'),
        pipelines: per('pipelinesCreated'),
      },
      itlMs: { median: quantile(sorted, 0.5), p95: quantile(sorted, 0.95) },
    },
    balance: balanceOf(model, warm.summary),
    cost: {
      token,
      prompt: costReport(sheet.prompt(promptTokens, routed ? promptTraffic(routed) : undefined), device),
      floorFor: device,
    },
    streaming: streamingOf(model, t.events),
    gpuBytes: {
      weights: bytes.weights,
      experts: bytes.experts,
      kv: bytes.kv,
      activations: bytes.activations + bytes.tables + bytes.readback,
    },
    precision: plan.precision,
    adapter: { ...model.device.adapter },
    tuning: model.tuning,
  };
}
