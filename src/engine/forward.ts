/** The model on a device: buffers, bind groups and pipelines are made here, once; a token only encodes. What programs hold: engine/forward/. */
import { carriesState } from '../config/mixers.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { wholeBuffer, type BufferView } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { Recorder, type Program } from '../gpu/recording.ts';
import {
  STEP_BYTES,
  writeStep,
  type ApproximateParams,
  type DrawOptions,
  type SamplingParams,
  type StateSide,
} from '../gpu/step.ts';
import type { ExpertHomes } from '../moe/homes.ts';
import { invariant } from '../util/assert.ts';
import {
  ACTIVATIONS,
  DECODE_TOKENS,
  fewTokens,
  interventionOffsets,
  moeLayers,
  type ActivationName,
} from './activations.ts';
import type { Batch } from './forward/batch.ts';
import { recordBody, type Body, type BodyOptions, type BodyParts } from './forward/body.ts';
import { bucketTables, layerCaches, ropeTables, sinusoidTable } from './forward/caches.ts';
import { Draws } from './forward/draws.ts';
import { recordAllLogits, recordFinalNorm, recordHead, type HeadParts } from './forward/head.ts';
import { LogBuffers, predictable, type RoutingLogs } from './forward/routing-log.ts';
import type { Plan } from './plan.ts';
import { UNTUNED, type Tuning } from './tuning.ts';
import type { DeviceWeights } from './upload.ts';

export interface ForwardOptions {
  /** A decode step also predicts, in each MoE layer whose successor's router is like its own, what that one will choose. Default false. */
  readonly predict?: boolean;
  /** Default: UNTUNED. */
  readonly tuning?: Tuning | undefined;
  /** Routing of single tokens obeys the `ApproximateParams` given to `setStep`. Default false: it is exact. */
  readonly approximate?: boolean;
  /** The weights under each adapter: see engine/adapters/. */
  readonly adapted?: ReadonlyMap<string, DeviceWeights>;
}

export class Forward {
  readonly config: ModelConfig;
  readonly plan: Plan;
  readonly #gpu: Gpu;
  readonly #weights: DeviceWeights;
  readonly #adapted: ReadonlyMap<string, DeviceWeights>;
  readonly homes: ExpertHomes;
  readonly #activations: Record<ActivationName, BufferView>;
  readonly #parts: BodyParts;
  /** The side of the recurrent states that the next step reads. */
  #side: StateSide = 0;
  readonly #step: BufferView;
  /** Tokens of the text that the encoder read; null without one. */
  readonly #encoded: BufferView | null;
  readonly #stepBytes = new ArrayBuffer(STEP_BYTES);
  /** Draws of tokens, and what they read. */
  readonly draws: Draws;
  readonly #logs: LogBuffers;
  /** What the request changes in the choice of experts, all MoE layers one after the other: see kernels/moe/intervention.ts. */
  readonly interventions: BufferView;
  /** Routing of single tokens obeys the step's `ApproximateParams`. */
  readonly isApproximate: boolean;
  /** Whether some layer carries a state, in place of keys and values or beside them. */
  readonly isRecurrent: boolean;
  /** Programs recorded from now on obey it. */
  tuning: Tuning;

  private constructor(
    gpu: Gpu,
    config: ModelConfig,
    plan: Plan,
    weights: DeviceWeights,
    homes: ExpertHomes,
    options: ForwardOptions,
  ) {
    this.#gpu = gpu;
    this.homes = homes;
    this.config = config;
    this.isRecurrent = carriesState(config);
    this.plan = plan;
    this.#weights = weights;
    this.isApproximate = options.approximate ?? false;
    this.tuning = options.tuning ?? UNTUNED;
    this.#adapted = options.adapted ?? new Map<string, DeviceWeights>();
    const buffer = (label: string, role: Parameters<Gpu['createBuffer']>[1], bytes: number, usage = 0): BufferView =>
      wholeBuffer(gpu.createBuffer(label, role, bytes, usage));
    this.#activations = Object.fromEntries(
      ACTIVATIONS.map((name) => [name, buffer(name, 'activations', plan.activations[name])]),
    ) as Record<ActivationName, BufferView>;
    const caches = layerCaches(config, plan, buffer);
    const ropes = ropeTables(gpu, config, plan.contextLength, buffer);
    this.#encoded = config.encoder ? buffer('encoded tokens', 'tables', 4) : null;
    const buckets = bucketTables(gpu, config, buffer);
    const sinusoids = sinusoidTable(gpu, config, plan.contextLength, buffer);
    this.#step = buffer('step', 'tables', STEP_BYTES, GPUBufferUsage.UNIFORM);
    const { logits, ids, routed } = this.#activations;
    this.draws = new Draws(gpu, { logits, ids, vocab: config.vocab }, this.#step);
    const predicted = options.predict ? predictable(config, weights) : moeLayers(config).map(() => 0);
    this.#logs = new LogBuffers(gpu, { config, most: (batch) => this.most(batch), predicted }, routed);
    const interventionAt = interventionOffsets(config);
    this.interventions = buffer('interventions', 'tables', interventionAt.at(-1)!, GPUBufferUsage.UNIFORM);
    const { interventions, isApproximate } = this;
    const parts = { config, activations: this.#activations, caches, ropes, homes, interventions, interventionAt };
    this.#parts = { ...parts, buckets, sinusoids, encoded: this.#encoded, isApproximate };
  }

  /** @throws OutOfBudget when the GPU has no room for caches and activations */
  static create(
    gpu: Gpu,
    config: ModelConfig,
    plan: Plan,
    weights: DeviceWeights,
    homes: ExpertHomes,
    options: ForwardOptions = {},
  ): Promise<Forward> {
    return gpu.allocating(
      `caches and activations (${plan.bytes.kv + plan.bytes.activations} bytes)`,
      () => new Forward(gpu, config, plan, weights, homes, options),
    );
  }

  /** Token ids of the next step, [chunk] u32; sampling writes the first. */
  get ids(): BufferView {
    return this.#activations.ids;
  }

  get logits(): BufferView {
    return this.#activations.logits;
  }

  /** [chunk, D], free after the last layer. */
  get normed(): BufferView {
    return this.#activations.normed;
  }

  /** Where routing goes: ids, weights, what is predicted. */
  get logs(): RoutingLogs {
    return this.#logs.plain;
  }

  /** The most tokens of a step. */
  most(batch: Batch): number {
    const { prefillChunk } = this.plan;
    return { one: DECODE_TOKENS, few: fewTokens(this.config, prefillChunk), chunk: prefillChunk }[batch];
  }

  /** Whether this model can guess tokens at all. What makes routing approximate holds for single tokens only. */
  get mayGuess(): boolean {
    return this.most('few') > 1 && !this.isApproximate;
  }

  /** How a step runs when every expert is on the GPU. */
  batchOf(tokens: number): Batch {
    if (tokens === 1) return 'one';
    const most = this.isApproximate ? 1 : Math.min(this.tuning.fewUpTo, this.most('few'));
    return tokens <= most ? 'few' : 'chunk';
  }

  /**
   * Logs that also hold the routers' logits; made when they are first asked for, and kept.
   * @throws OutOfBudget when the GPU has no room for them
   */
  logitLogs(): Promise<RoutingLogs> {
    return this.#logs.withLogits();
  }

  /** Sets what the next encoded step reads; ordered with submits by the queue. */
  setStep(
    tokens: number,
    position: number,
    sampling?: SamplingParams & DrawOptions,
    approximate?: ApproximateParams,
  ): void {
    invariant(position + tokens <= this.plan.contextLength, `step past the context: ${position} + ${tokens}`);
    const step = writeStep(this.#stepBytes, tokens, position, sampling, approximate, this.#side);
    this.#gpu.write(this.#step, new Uint8Array(step));
  }

  /** How long the text is that the decoder sees from now on; the chunk that the encoder reads it in is the next step. */
  setEncoded(tokens: number): void {
    invariant(this.#encoded, 'a text for a model without an encoder');
    this.#gpu.write(this.#encoded, Uint32Array.of(tokens));
  }

  /** The last step counts: the next one goes on from the recurrent states that it left. Until then it may run again, whole or in part. */
  acceptStep(): void {
    this.#side = this.#side === 0 ? 1 : 0;
  }

  #weightsUnder(adapter: string | null | undefined): DeviceWeights {
    if (adapter === null || adapter === undefined) return this.#weights;
    const weights = this.#adapted.get(adapter);
    invariant(weights, 'an adapter that was not loaded');
    return weights;
  }

  /** @param step the uniform to read; default: the one that `setStep` sets */
  recorder(step = this.#step): Recorder {
    return new Recorder(this.#gpu, step);
  }

  /** Rows of each expert in the layer that ran last: prompts only. */
  get expertRows(): BufferView {
    return this.#activations.counts;
  }

  /** Embedding and all layers. */
  async body(batch: Batch, options: BodyOptions = {}): Promise<Body> {
    const { taps, waves = false, logs = this.logs, tileRows = this.tuning.tileRows, pages, adapter } = options;
    invariant(batch !== 'few' || !this.isRecurrent, 'a state takes its tokens one by one or as a chunk');
    const weights = this.#weightsUnder(adapter);
    const step = { batch, most: this.most(batch), weights, log: logs[batch], tileRows, waves, taps, pages };
    return recordBody(this.recorder(), this.#parts, step);
  }

  /** Logits of the last token of the step. */
  lastLogits(adapter?: string | null): Promise<Program> {
    const r = this.recorder();
    recordHead(r, this.#head(adapter), { phase: 'decode', row: 'last' });
    return r.finish();
  }

  /** Logits of every token of a step of a few, into `logits` [T, V]. */
  fewLogits(adapter?: string | null): Promise<Program> {
    const r = this.recorder();
    recordHead(r, this.#head(adapter), { phase: 'few' });
    return r.finish();
  }

  /**
   * Final norm and logits of every token of the step. `out` is [T, outRow]; `normed` receives the final norm's output.
   * @param options.outRow default V
   * @param options.step as `recorder` takes it
   */
  allLogits(
    out: BufferView,
    normed: BufferView,
    {
      outRow,
      step,
      adapter,
    }: { readonly outRow?: number; readonly step?: BufferView; readonly adapter?: string | null } = {},
  ): Promise<Program> {
    const r = this.recorder(step);
    recordAllLogits(r, this.#head(adapter), { out, normed, ...(outRow && { outRow }) });
    return r.finish();
  }

  /** The most tokens of which `allLogits` has room for what an adapter adds. */
  headRows(adapter: string | null): number {
    const { head } = this.#weightsUnder(adapter);
    return head.lowRank ? Math.floor(head.lowRank.scratch.sum.size / (4 * head.rows)) : Infinity;
  }

  /** Final norm of every token of the step, into `normed` [T, D]. */
  finalNorm(normed: BufferView): Promise<Program> {
    const r = this.recorder();
    recordFinalNorm(r, this.#head(null), normed);
    return r.finish();
  }

  #head(adapter: string | null | undefined): HeadParts {
    return { config: this.config, weights: this.#weightsUnder(adapter), activations: this.#activations };
  }
}
