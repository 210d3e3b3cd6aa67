/**
 * What a model computes for every token of a text, from an empty cache, in chunks: logits, routing, hidden states.
 * For tests, perplexity, embeddings and `webmoe logits`, not for chatting: each call makes buffers of its own.
 */
import { subview, wholeBuffer, type BufferView } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Program } from '../gpu/recording.ts';
import { DECODE_TOKENS } from './activations.ts';
import { assertFinite } from './finite.ts';
import type { Forward } from './forward.ts';
import type { ResolvedInterventions } from './interventions.ts';
import { recordBodies } from './programs.ts';
import type { LayerRouting } from './routing.ts';
import type { Bodies } from './stepper.ts';

export interface LogitsResult {
  readonly logits: Float32Array; // [T, V]
  /** One entry a MoE layer: ids and weights [T, K], in rank order. */
  readonly routing: readonly LayerRouting[];
  /** [L+1, T, D]: embedding output, the residual stream after each layer but the last, the final norm's output. */
  readonly hidden: Float32Array | null;
}

export interface LogitsRequest {
  readonly hidden?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly interventions?: ResolvedInterventions;
  /** Tokens before this position are left alone. Default 0. */
  readonly interveneFrom?: number;
  /** Default: none. */
  readonly adapter?: string | null;
  /** The text that the encoder reads, and `ids` follow as the decoder's; only with one. */
  readonly encoded?: readonly number[] | undefined;
}

/** A chunk that the GPU has run: its results are in their buffers until the next one runs. */
export interface ScoredChunk {
  /** Of its first token in the text. */
  readonly position: number;
  readonly tokens: number;
  /** [T, K] a MoE layer. */
  routing(): Promise<LayerRouting[]>;
}

export interface ScoringPass {
  readonly ids: readonly number[];
  /** The text that the encoder reads first; only with one. */
  readonly encoded?: readonly number[] | undefined;
  /** Tokens a chunk at most. */
  readonly most: number;
  /** What follows the layers. */
  readonly tail: Program;
  /** By default the session's own. */
  readonly bodies?: Bodies | undefined;
  readonly interventions?: ResolvedInterventions | undefined;
  readonly interveneFrom?: number | undefined;
  /** Of `tail` and `bodies`, too. */
  readonly adapter?: string | null;
  readonly signal?: AbortSignal | undefined;
  readonly onChunk: (chunk: ScoredChunk) => Promise<void>;
}

/** A session, as this file needs it. */
export interface Scorer {
  readonly gpu: Gpu;
  readonly forward: Forward;
  /** Forgets the cache and runs the text through the layers and `tail`. */
  score(pass: ScoringPass): Promise<void>;
}

interface Scratch {
  /** Tokens that it holds. */
  readonly most: number;
  readonly logits: BufferView;
  readonly normed: BufferView;
  /** [L, most, D] */
  readonly taps: BufferView | null;
}

/** Logits of every token of `ids`, with the routing and, when asked, the hidden states. */
export async function scoreLogits(
  scorer: Scorer,
  ids: readonly number[],
  { hidden: wantsHidden = false, signal, interventions, interveneFrom, adapter = null, encoded }: LogitsRequest = {},
): Promise<LogitsResult> {
  const { gpu, forward } = scorer;
  const scratch = await gpu.allocating('the logits of a chunk', () => makeScratch(scorer, wantsHidden, adapter));
  const { most, taps } = scratch;
  try {
    const tail = await forward.allLogits(scratch.logits, scratch.normed, { adapter });
    const bodies = taps ? await recordBodies(forward, { taps: { hidden: taps, tokens: most }, adapter }) : undefined;
    const result = emptyResult(forward, ids.length, wantsHidden);
    const onChunk = (chunk: ScoredChunk): Promise<void> => readChunk(scorer, scratch, chunk, result);
    await scorer.score({ ids, encoded, most, tail, bodies, interventions, interveneFrom, adapter, signal, onChunk });
    return result;
  } finally {
    for (const view of [scratch.logits, scratch.normed, taps]) if (view) gpu.destroyBuffer(view.buffer);
  }
}

function makeScratch({ gpu, forward }: Scorer, wantsHidden: boolean, adapter: string | null): Scratch {
  const { config, plan } = forward;
  const { vocab, hidden, layers } = config;
  const widest = Math.max(vocab, wantsHidden ? (layers.length + 1) * hidden : 0);
  const limit = gpu.facts.limits.maxStorageBufferBindingSize;
  const longest = config.encoder ? DECODE_TOKENS : plan.prefillChunk;
  const most = Math.max(1, Math.min(longest, Math.floor(limit / (4 * widest)), forward.headRows(adapter)));
  const floats = (label: string, count: number): BufferView =>
    wholeBuffer(gpu.createBuffer(label, 'activations', most * count * 4));
  return {
    most,
    logits: floats('all logits', vocab),
    normed: floats('final norm', hidden),
    taps: wantsHidden ? floats('taps', (layers.length + 1) * hidden) : null,
  };
}

function emptyResult({ config, logs }: Forward, tokens: number, wantsHidden: boolean): LogitsResult {
  const { vocab, hidden, layers } = config;
  return {
    logits: new Float32Array(tokens * vocab),
    routing: logs.one.slices.map(({ topK }) => ({
      ids: new Uint32Array(tokens * topK),
      weights: new Float32Array(tokens * topK),
    })),
    hidden: wantsHidden ? new Float32Array((layers.length + 1) * tokens * hidden) : null,
  };
}

/** Brings a chunk's results to their place among those of the text. */
async function readChunk(scorer: Scorer, scratch: Scratch, chunk: ScoredChunk, result: LogitsResult): Promise<void> {
  const { gpu, forward } = scorer;
  const { vocab } = forward.config;
  const logits = await readFloats(gpu, scratch.logits, 0, chunk.tokens * vocab);
  assertFinite(logits, 'logits');
  result.logits.set(logits, chunk.position * vocab);
  for (const [m, { ids, weights }] of (await chunk.routing()).entries()) {
    const at = (chunk.position * ids.length) / chunk.tokens;
    result.routing[m]!.ids.set(ids, at);
    result.routing[m]!.weights.set(weights, at);
  }
  if (result.hidden) await readHidden(scorer, scratch, chunk, result.hidden);
}

async function readHidden(
  { gpu, forward: { config } }: Scorer,
  { most, normed, taps }: Scratch,
  { position, tokens }: ScoredChunk,
  into: Float32Array,
): Promise<void> {
  const { hidden, layers } = config;
  const total = into.length / ((layers.length + 1) * hidden);
  for (let l = 0; l <= layers.length; l++) {
    const [view, at] = taps && l < layers.length ? [taps, l * most * hidden] : [normed, 0];
    into.set(await readFloats(gpu, view, at, tokens * hidden), (l * total + position) * hidden);
  }
}

const readFloats = async (gpu: Gpu, view: BufferView, at: number, count: number): Promise<Float32Array> =>
  new Float32Array(await gpu.read(subview(view, at * 4, count * 4)));

/**
 * The final norm's output for every token of `ids`.
 * @param onChunk receives [tokens of the chunk, D]
 */
export async function scoreFinalHidden(
  scorer: Scorer,
  ids: readonly number[],
  onChunk: (values: Float32Array) => void,
  signal?: AbortSignal,
): Promise<void> {
  const { gpu, forward } = scorer;
  const most = forward.plan.prefillChunk;
  const { hidden } = forward.config;
  const buffer = await gpu.allocating('the hidden states of a chunk', () =>
    gpu.createBuffer('final norm', 'activations', most * hidden * 4),
  );
  const normed = wholeBuffer(buffer);
  const read = async ({ tokens }: ScoredChunk): Promise<void> => {
    const values = await readFloats(gpu, normed, 0, tokens * hidden);
    assertFinite(values, 'hidden states');
    onChunk(values);
  };
  try {
    await scorer.score({ ids, most, tail: await forward.finalNorm(normed), signal, onChunk: read });
  } finally {
    gpu.destroyBuffer(buffer);
  }
}
