/** `webmoe bench`: speed by phase, and what a GPU pays for: dispatches, submits, readbacks, bytes. */
import type { Model } from '../engine/model.ts';
import { moeLayers } from '../engine/activations.ts';
import type { StepEvent } from '../engine/expert-stats.ts';
import type { Counters } from '../gpu/gpu.ts';
import { sum } from '../util/math.ts';
import { prng } from '../util/prng.ts';
import type { OptionSpec, Options } from './args.ts';
import { formatBytes, loadModel, MODEL_OPTIONS, type Output } from './common.ts';

export const BENCH_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...MODEL_OPTIONS,
  'prompt-tokens': { type: 'whole', value: 'N', help: 'default 64', min: 1 },
  'decode-tokens': { type: 'whole', value: 'N', help: 'default 16', min: 2 },
  kernels: {
    type: 'choice',
    value: 'K',
    help: 'gpu or software: which kernels run, whatever the adapter is',
    choices: ['gpu', 'software'],
  },
  json: { type: 'flag', help: 'print JSON' },
};

export interface BenchReport {
  readonly layers: number;
  readonly moeLayers: number;
  readonly ttftMs: number;
  readonly prefill: { tokens: number; tokensPerSecond: number; dispatches: number; submits: number; readbacks: number };
  readonly decode: {
    tokens: number;
    tokensPerSecond: number;
    dispatchesPerToken: number;
    submitsPerToken: number;
    readbacksPerToken: number;
    readbackBytesPerToken: number;
    uploadBytesPerToken: number;
    /** Weight bytes that one token's kernels read, experts counted K times. */
    weightBytesPerToken: number;
    /** Objects made per token after the first: all zero in a warmed-up engine. */
    createdPerToken: { buffers: number; bindGroups: number; pipelines: number };
    itlMs: { median: number; p95: number };
  };
  /** null when every expert is on the GPU. */
  readonly streaming: Streaming | null;
  readonly gpuBytes: { weights: number; experts: number; kv: number; activations: number };
  readonly precision: string;
  readonly adapter: { vendor: string; architecture: string; description: string; isFallback: boolean };
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

/** Everything outside experts is read once a token, except that only one row of the embedding is (unless it is the head too). */
export function weightBytesPerToken({ plan, config }: Pick<Model, 'plan' | 'config'>): number {
  const chosen = moeLayers(config).map(
    ({ topK }, layer) => topK * plan.arenas.find((a) => a.layers.includes(layer))!.slotBytes,
  );
  const unread = config.tieEmbeddings ? 0 : plan.embeddingBytes * (1 - 1 / config.vocab);
  const padding = sum(plan.routers.map((r) => r.paddingBytes));
  return Math.round(plan.bytes.weights - padding - unread + sum(chosen));
}

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;

export async function benchmark(model: Model, promptTokens: number, decodeTokens: number): Promise<BenchReport> {
  const { config, plan } = model;
  const u = prng(1);
  const prompt = Array.from({ length: promptTokens }, () => Math.floor(u() * config.vocab));
  /** Begins with another token than `prompt`, so that nothing of it is in the cache. */
  const other = [(prompt[0]! + 1) % config.vocab, ...prompt.slice(1)];
  const options = { temperature: 0, ignoreEnd: true, maxTokens: decodeTokens };
  for await (const token of model.generate({ ids: other }, { ...options, maxTokens: 2 })) void token; // warm-up

  const events: StepEvent[] = [];
  const stopListening = model.onStep((event) => void (event.phase === 'decode' && events.push(event)));
  const before = model.counters;
  const startedAt = performance.now();
  let at = startedAt;
  let first: { ms: number; counters: Counters } | undefined;
  const gaps: number[] = [];
  for await (const token of model.generate({ ids: prompt }, options)) {
    void token;
    const now = performance.now();
    if (first) gaps.push(now - at);
    else first = { ms: now - startedAt, counters: { ...model.counters } };
    at = now;
  }
  const after = model.counters;
  stopListening();
  const { ms: ttftMs, counters: middle } = first!;
  const steps = gaps.length;
  const per = (key: keyof Counters): number => (after[key] - middle[key]) / steps;
  const sorted = [...gaps].sort((a, b) => a - b);
  const bytes = model.gpuBytes;
  return {
    layers: config.layers.length,
    moeLayers: config.layers.filter((l) => l.ffn.kind === 'moe').length,
    ttftMs,
    prefill: {
      tokens: promptTokens,
      tokensPerSecond: (promptTokens / ttftMs) * 1000,
      dispatches: middle.dispatches - before.dispatches,
      submits: middle.submits - before.submits,
      readbacks: middle.readbacks - before.readbacks,
    },
    decode: {
      tokens: steps,
      tokensPerSecond: (steps / gaps.reduce((a, b) => a + b, 0)) * 1000,
      dispatchesPerToken: per('dispatches'),
      submitsPerToken: per('submits'),
      readbacksPerToken: per('readbacks'),
      readbackBytesPerToken: per('readbackBytes'),
      uploadBytesPerToken: per('uploadBytes'),
      weightBytesPerToken: weightBytesPerToken(model),
      createdPerToken: {
        buffers: per('buffersCreated'),
        bindGroups: per('bindGroupsCreated'),
        pipelines: per('pipelinesCreated'),
      },
      itlMs: { median: quantile(sorted, 0.5), p95: quantile(sorted, 0.95) },
    },
    streaming: streamingOf(model, events),
    gpuBytes: {
      weights: bytes.weights,
      experts: bytes.experts,
      kv: bytes.kv,
      activations: bytes.activations + bytes.tables + bytes.readback,
    },
    precision: plan.precision,
    adapter: { ...model.device.adapter },
  };
}

function table(r: BenchReport): string {
  const { prefill: p, decode: d, adapter: a, streaming: s } = r;
  return [
    `adapter        ${a.description || `${a.vendor} ${a.architecture}`}${a.isFallback ? ' (software: says nothing about GPUs)' : ''}`,
    `first token    ${r.ttftMs.toFixed(0)} ms after a prompt of ${p.tokens} tokens`,
    `prefill        ${p.tokensPerSecond.toPrecision(3)} tokens/s, ${p.dispatches} dispatches, ${p.submits} submits, ${p.readbacks} readbacks`,
    `decode         ${d.tokensPerSecond.toPrecision(3)} tokens/s, ${d.itlMs.median.toFixed(1)} ms a token (p95 ${d.itlMs.p95.toFixed(1)})`,
    `a token        ${d.dispatchesPerToken} dispatches over ${r.layers} layers, ${d.submitsPerToken} submit, ${d.readbacksPerToken} readback of ${formatBytes(d.readbackBytesPerToken)}`,
    `               ${formatBytes(d.weightBytesPerToken)} of weights read, ${formatBytes(d.uploadBytesPerToken)} uploaded`,
    ...(s
      ? [
          `experts        ${s.slots} of ${s.experts} on the GPU, ${s.mode}: ${(100 * s.hitRate).toFixed(1)} % hits, ${formatBytes(s.bytesPerToken)} fetched and ${s.stallMsPerToken.toFixed(1)} ms waited a token, ${s.replaysPerToken.toFixed(2)} passes repeated`,
        ]
      : []),
    `GPU memory     weights ${formatBytes(r.gpuBytes.weights)}, experts ${formatBytes(r.gpuBytes.experts)}, KV ${formatBytes(r.gpuBytes.kv)}, activations ${formatBytes(r.gpuBytes.activations)}`,
    '',
  ].join('\n');
}

export async function benchCommand(options: Options, out: Output): Promise<void> {
  const model = await loadModel(options, out);
  try {
    const report = await benchmark(model, options.number('prompt-tokens') ?? 64, options.number('decode-tokens') ?? 16);
    out.write(options.flag('json') ? `${JSON.stringify(report, null, 2)}\n` : table(report));
  } finally {
    await model.dispose();
  }
}
