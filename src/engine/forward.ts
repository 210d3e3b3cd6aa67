/** The model as a list of steps: embed, layers, head. Buffers, bind groups and pipelines are made here, once; a token only encodes. */
import { ropeIn } from '../config/longrope.ts';
import { isRecurrent, recurrentLayers } from '../config/mixers.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { subview, wholeBuffer, type BufferView } from '../gpu/buffer.ts';
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
import { embedRows } from '../kernels/embed/embed_rows.ts';
import type { KvPages } from '../kernels/attention/pages.ts';
import type { LinearOptions } from '../kernels/linear/linear.ts';
import type { TileRows } from '../kernels/moe/group.ts';
import { predictedIds } from '../kernels/moe/route.ts';
import type { Phase } from '../kernels/phase.ts';
import { sample, sampleRows, tokenSetWords } from '../kernels/sample/sample.ts';
import { MOST_SAMPLED_BYTES, topLogprobs } from '../kernels/sample/top_logprobs.ts';
import { groupedAttention, latentAttention, type AttentionStep, type KvCache } from '../layers/attention.ts';
import { denseLayer } from '../layers/ffn.ts';
import { linear } from '../layers/linear.ts';
import type { RecurrentState } from '../layers/mixer_step.ts';
import { norm } from '../layers/norm.ts';
import type { DeviceParts } from '../layers/parts.ts';
import { recurrentMixer } from '../layers/recurrent.ts';
import type { RecurrentWeights } from '../layers/weights.ts';
import { ropeTable } from '../layers/rope.ts';
import { moeLayer, type MoeMarks } from '../moe/block.ts';
import type { ExpertHomes } from '../moe/homes.ts';
import { invariant } from '../util/assert.ts';
import {
  ACTIVATIONS,
  cacheBytes,
  DECODE_TOKENS,
  fewTokens,
  interventionOffsets,
  keepsLayerInputs,
  midStride,
  moeLayers,
  routedStride,
  type ActivationName,
} from './activations.ts';
import type { Plan } from './plan.ts';
import { UNTUNED, type Tuning } from './tuning.ts';
import type { DeviceWeights } from './upload.ts';

/** One token, a few (2 to `Forward.fewTokens`) that get the bits they would get one by one, or a chunk of a prompt. */
export type Batch = 'one' | 'few' | 'chunk';

/** Where one MoE layer's routing lies in a routing log. */
export interface RoutedSlice {
  readonly layer: number;
  readonly topK: number;
  readonly offset: number;
  /** Ids behind the K weights: what the next MoE layer will likely choose, best first. 0 where nothing is predicted. */
  readonly predicted: number;
  /** Logits behind them, E or 0. */
  readonly logits: number;
}

/** Routing of all MoE layers, as one kind of batch leaves it. */
export interface RoutingLog {
  readonly view: BufferView;
  readonly slices: readonly RoutedSlice[];
}

export type RoutingLogs = Readonly<Record<Batch, RoutingLog>>;

const PHASES: Readonly<Record<Batch, Phase>> = { one: 'decode', few: 'few', chunk: 'prefill' };

export interface ForwardOptions {
  /** A decode step also predicts, in each MoE layer whose successor's router is like its own, what that one will choose. Default false. */
  readonly predict?: boolean;
  /** Default: UNTUNED. */
  readonly tuning?: Tuning | undefined;
  /** Routing of single tokens obeys the `ApproximateParams` given to `setStep`. Default false: it is exact. */
  readonly approximate?: boolean;
  /** The weights under each adapter: see engine/adapters.ts. */
  readonly adapted?: ReadonlyMap<string, DeviceWeights>;
}

/** Embedding and all layers, and where in it each MoE layer's stages begin. */
export interface Body {
  readonly program: Program;
  readonly marks: readonly MoeMarks[];
}

export interface BodyOptions {
  readonly taps?: Taps | undefined;
  /** Prompts only: experts come in waves, each set with `ExpertHomes.setWave`. */
  readonly waves?: boolean;
  /** Default: as `Forward.tuning` has it. */
  readonly tileRows?: TileRows;
  /** Where routing goes; default: `Forward.logs`. */
  readonly logs?: RoutingLogs | undefined;
  /** Chunks only: by layer, the pages where keys and values of many sequences are, in place of the one that the caches hold. */
  readonly pages?: readonly KvPages[] | undefined;
  /** Under an adapter; default and null: without. */
  readonly adapter?: string | null | undefined;
}

/** Where the residual stream goes after the embedding and each layer but the last. */
export interface Taps {
  readonly hidden: BufferView; // [L+1, tokens, D]
  /** Most tokens of a step. */
  readonly tokens: number;
}

/** By MoE layer, how many experts of the next one it can predict: none where the next router is not like its own. */
function predictable(config: ModelConfig, { layers }: DeviceWeights): number[] {
  const moes = moeLayers(config);
  const routers = layers.flatMap(({ ffn }) => (ffn.kind === 'moe' ? [ffn.router] : []));
  return moes.map(({ topK, experts, router }, m) => {
    const next = moes[m + 1];
    const isAlike = next?.topK === topK && JSON.stringify(next.router) === JSON.stringify(router);
    return isAlike && routers[m]!.withNext ? predictedIds(topK, experts) : 0;
  });
}

type MixerWeights = DeviceWeights['layers'][number]['mixer'];

const isRecurrentWeights = (w: MixerWeights): w is RecurrentWeights<DeviceParts, BufferView> =>
  w.kind !== 'grouped' && w.kind !== 'latent';

export class Forward {
  readonly config: ModelConfig;
  readonly plan: Plan;
  readonly #gpu: Gpu;
  readonly #weights: DeviceWeights;
  readonly #adapted: ReadonlyMap<string, DeviceWeights>;
  readonly homes: ExpertHomes;
  readonly #activations: Record<ActivationName, BufferView>;
  /** By layer: keys and values, or a recurrent state. */
  readonly #caches: readonly (KvCache | RecurrentState)[];
  /** By layer; null where the token mixer is no attention. */
  readonly #ropes: readonly (BufferView | null)[];
  /** The side of the recurrent states that the next step reads. */
  #side: StateSide = 0;
  readonly #step: BufferView;
  readonly #stepBytes = new ArrayBuffer(STEP_BYTES);
  /** [V] token counts for the penalties: see kernels/sample. */
  readonly tokenCounts: BufferView;
  /** The last draw: id, log-probability; behind them the likeliest tokens, where the step asks for them. */
  readonly sampled: BufferView;
  /** [V] f32, for steps with `isBiased`. */
  readonly bias: BufferView;
  /** The tokens that may be drawn, for steps with `isMasked`: see kernels/sample. */
  readonly allowed: BufferView;
  /** Where routing goes: ids, weights, what is predicted. */
  readonly logs: RoutingLogs;
  #logitLogs: Promise<RoutingLogs> | null = null;
  /** What the request changes in the choice of experts, all MoE layers one after the other: see kernels/moe/intervention.ts. */
  readonly interventions: BufferView;
  readonly #interventionAt: readonly number[];
  /** Routing of single tokens obeys the step's `ApproximateParams`. */
  readonly isApproximate: boolean;
  /** By MoE layer: how many ids a decode step predicts there. */
  readonly #predicted: readonly number[];

  /** Whether some layer carries a state in place of keys and values. */
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
    this.isRecurrent = recurrentLayers(config).length > 0;
    this.plan = plan;
    this.#weights = weights;
    this.isApproximate = options.approximate ?? false;
    this.tuning = options.tuning ?? UNTUNED;
    this.#adapted = options.adapted ?? new Map<string, DeviceWeights>();
    this.#predicted = options.predict ? predictable(config, weights) : moeLayers(config).map(() => 0);
    const buffer = (label: string, role: Parameters<Gpu['createBuffer']>[1], bytes: number, usage = 0): BufferView =>
      wholeBuffer(gpu.createBuffer(label, role, bytes, usage));
    this.#activations = Object.fromEntries(
      ACTIVATIONS.map((name) => [name, buffer(name, 'activations', plan.activations[name])]),
    ) as Record<ActivationName, BufferView>;
    const { contextLength: capacity, kv: format } = plan;
    this.#caches = config.layers.map(({ mixer: mixer }, i) => {
      const bytes = cacheBytes(mixer, { hidden: config.hidden, context: capacity, kv: format });
      if ('keys' in bytes) {
        const [keys, values] = [buffer(`keys ${i}`, 'kv', bytes.keys), buffer(`values ${i}`, 'kv', bytes.values)];
        return { keys, values, capacity, format };
      }
      if ('latents' in bytes) {
        const latents = buffer(`latents ${i}`, 'kv', bytes.latents);
        return { keys: latents, values: latents, capacity, format };
      }
      const convolution = buffer(`convolution ${i}`, 'kv', bytes.convolution);
      return { convolution, scan: buffer(`scan ${i}`, 'kv', bytes.scan) };
    });
    const tables = new Map<string, BufferView>();
    this.#ropes = config.layers.map(({ mixer: mixer }) => {
      if (isRecurrent(mixer)) return null;
      const { rope } = mixer;
      const key = JSON.stringify(rope);
      let view = tables.get(key);
      if (!view) {
        const table = ropeTable(ropeIn(rope, capacity), capacity);
        view = buffer('rope', 'tables', table.byteLength);
        gpu.write(view, table);
        tables.set(key, view);
      }
      return view;
    });
    this.tokenCounts = buffer('token counts', 'tables', 4 * config.vocab);
    this.sampled = buffer('sampled', 'activations', MOST_SAMPLED_BYTES);
    this.bias = buffer('bias', 'tables', 4 * config.vocab);
    this.allowed = buffer('allowed tokens', 'tables', 4 * tokenSetWords(config.vocab));
    this.#step = buffer('step', 'tables', STEP_BYTES, GPUBufferUsage.UNIFORM);
    this.logs = {
      one: this.#log('one', (bytes) => buffer('routed (decode)', 'activations', bytes)),
      few: this.#log('few', (bytes) => subview(this.#activations.routed, 0, bytes)),
      chunk: this.#log('chunk', () => this.#activations.routed),
    };
    this.#interventionAt = interventionOffsets(config);
    this.interventions = buffer('interventions', 'tables', this.#interventionAt.at(-1)!, GPUBufferUsage.UNIFORM);
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

  /** The most tokens of a step. */
  most(batch: Batch): number {
    const { prefillChunk } = this.plan;
    return { one: DECODE_TOKENS, few: fewTokens(this.config, prefillChunk), chunk: prefillChunk }[batch];
  }

  /** How a step runs when every expert is on the GPU. */
  batchOf(tokens: number): Batch {
    if (tokens === 1) return 'one';
    // What makes routing approximate holds for single tokens only.
    const most = this.isApproximate ? 1 : Math.min(this.tuning.fewUpTo, this.most('few'));
    return tokens <= most ? 'few' : 'chunk';
  }

  /** @param make the buffer, given its size */
  #log(batch: Batch, make: (bytes: number) => BufferView, logits = false): RoutingLog {
    const isOne = batch === 'one';
    const tokens = this.most(batch);
    let offset = 0;
    const slices = moeLayers(this.config).map((ffn, layer): RoutedSlice => {
      const { topK, experts } = ffn;
      const predicted = isOne ? this.#predicted[layer]! : 0;
      const slice = { layer, topK, offset, predicted, logits: logits ? experts : 0 };
      offset += routedStride(tokens, ffn, isOne, logits);
      return slice;
    });
    return { view: make(Math.max(4, offset)), slices };
  }

  /**
   * Logs that also hold the routers' logits; made when they are first asked for, and kept.
   * @throws OutOfBudget when the GPU has no room for them
   */
  logitLogs(): Promise<RoutingLogs> {
    const make = (bytes: number): BufferView =>
      wholeBuffer(this.#gpu.createBuffer('router logits', 'activations', bytes));
    this.#logitLogs ??= this.#gpu
      .allocating('the logits of all routers', () => {
        const chunk = this.#log('chunk', make, true);
        const few = this.#log('few', (bytes) => subview(chunk.view, 0, bytes), true);
        return { one: this.#log('one', make, true), few, chunk };
      })
      .catch((error: unknown) => {
        this.#logitLogs = null;
        throw error;
      });
    return this.#logitLogs;
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

  /** Embedding and all layers; the residual stream ends in `residualA`. */
  async body(batch: Batch, options: BodyOptions = {}): Promise<Body> {
    const { taps, waves = false, logs = this.logs, tileRows = this.tuning.tileRows, pages, adapter } = options;
    const r = this.recorder();
    const all = this.#weightsUnder(adapter);
    const phase = PHASES[batch];
    invariant(batch !== 'few' || !this.isRecurrent, 'a state takes its tokens one by one or as a chunk');
    const { embed, layers } = all;
    const a = this.#activations;
    const { hidden, embeddingScale, residualScale: scale } = this.config;
    for (const { firstRow, matrix } of embed.parts) {
      embedRows(
        r,
        'embed',
        { ids: a.ids, weights: matrix, out: this.#stream(0, batch) },
        { firstRow, scale: embeddingScale },
      );
    }
    const tap = (index: number): void => {
      if (!taps) return;
      r.copy(`tap hidden ${index}`, ({ tokens }) => ({
        from: this.#stream(index, batch),
        to: subview(taps.hidden, index * taps.tokens * hidden * 4, taps.tokens * hidden * 4),
        bytes: tokens * hidden * 4,
      }));
    };
    tap(0);
    const marks: MoeMarks[] = [];
    const { view: routed, slices } = logs[batch];
    /** A token's input of every MoE layer is kept, so that the token can start again from any of them. */
    const mid = (m: number): BufferView => {
      const stride = midStride(hidden);
      return subview(a.mids, m * stride, stride);
    };
    this.config.layers.forEach((config, i) => {
      const weights = layers[i]!;
      const between = batch === 'one' && config.ffn.kind === 'moe' ? mid(marks.length) : a.residualB;
      this.#mix(r, i, weights, pages?.[i], {
        label: `layer ${i}`,
        phase,
        normKind: this.config.norm,
        eps: this.config.normEps,
        scale,
        x: this.#stream(i, batch),
        out: between,
        postNorm: weights.mixerPostNorm,
      });
      const ffn = {
        label: `layer ${i}`,
        phase,
        normKind: this.config.norm,
        eps: this.config.normEps,
        scale,
        x: between,
        postNorm: weights.ffnPostNorm,
        total: weights.outScale,
        out: this.#stream(i + 1, batch),
      };
      if (config.ffn.kind === 'dense') {
        invariant(weights.ffn.kind === 'dense', 'weights of another kind than the config');
        const { activation } = config.ffn;
        denseLayer(r, {
          ...ffn,
          activation,
          weights: weights.ffn,
          gamma: weights.ffn.norm,
          normed: a.normed,
          hidden: a.dense,
        });
      } else {
        invariant(weights.ffn.kind === 'moe', 'weights of another kind than the config');
        const slice = slices[marks.length]!;
        const next = slices[marks.length + 1]?.offset ?? routed.size;
        marks.push(
          moeLayer(r, config.ffn, weights.ffn, {
            ...ffn,
            hidden,
            layerInput: this.#stream(i, batch),
            routed: subview(routed, slice.offset, next - slice.offset),
            predict: slice.predicted > 0,
            logits: slice.logits > 0,
            interventions: this.#interventionsFrom(slice),
            approximate: this.isApproximate && batch === 'one',
            tileRows,
            most: this.most(batch),
            waveTable: waves ? this.homes.waveTable : undefined,
            scratch: { ...a, withShared: a.residualC },
          }),
        );
      }
      if (i + 1 < this.config.layers.length) tap(i + 1);
    });
    return { program: await r.finish(), marks };
  }

  /**
   * The residual stream in front of layer i. Where a router reads it, decoding keeps it for every MoE layer, so that a token can start again behind
   * attention.
   */
  #stream(i: number, batch: Batch): BufferView {
    const { residualA, layerInputs } = this.#activations;
    if (batch !== 'one' || this.config.layers[i]?.ffn.kind !== 'moe' || !keepsLayerInputs(this.config))
      return residualA;
    const before = moeLayers({ ...this.config, layers: this.config.layers.slice(0, i) }).length;
    const stride = midStride(this.config.hidden);
    return subview(layerInputs, before * stride, stride);
  }

  /** The token mixer of layer `i`: attention, or one with a recurrent state. */
  #mix(
    r: Recorder,
    i: number,
    { mixer: weights, mixerNorm: norm }: DeviceWeights['layers'][number],
    pages: KvPages | undefined,
    io: Omit<AttentionStep, 'norm' | 'rope' | 'cache' | 'scratch'>,
  ): void {
    const a = this.#activations;
    const mixer = this.config.layers[i]!.mixer;
    const cache = this.#caches[i]!;
    if (isRecurrent(mixer)) {
      invariant(isRecurrentWeights(weights) && 'scan' in cache, 'weights of another kind than the config');
      invariant(
        norm && io.postNorm === null,
        'a recurrent token mixer without a norm before it, or with one behind it',
      );
      // Scratch of attention, which no other layer needs at the same time.
      const scratch = {
        normed: a.normed,
        projected: a.mid,
        convolved: a.q,
        selected: a.selected,
        b: a.qLatent,
        c: a.raised,
        steps: a.qRaw,
        mixed: a.attended,
      };
      recurrentMixer(r, mixer, weights, { ...io, norm, state: cache, scratch });
      return;
    }
    invariant('keys' in cache, 'an attention layer without keys');
    const step = { ...io, norm, rope: this.#ropes[i]!, cache: pages ?? cache, scratch: a };
    if (mixer.kind === 'grouped') {
      invariant(weights.kind === 'grouped', 'weights of another kind than the config');
      groupedAttention(r, mixer, weights, step);
    } else {
      invariant(weights.kind === 'latent', 'weights of another kind than the config');
      latentAttention(r, mixer, weights, step);
    }
  }

  /** Of a layer; where it predicts for the next, of both. */
  #interventionsFrom({ layer, predicted }: RoutedSlice): BufferView {
    const from = this.#interventionAt[layer]!;
    return subview(this.interventions, from, this.#interventionAt[layer + (predicted > 0 ? 2 : 1)]! - from);
  }

  /** Logits of the last token of the step. */
  lastLogits(adapter?: string | null): Promise<Program> {
    return this.#head({ phase: 'decode', row: 'last' }, adapter);
  }

  /** Logits of every token of a step of a few, into `logits` [T, V]. */
  fewLogits(adapter?: string | null): Promise<Program> {
    return this.#head({ phase: 'few' }, adapter);
  }

  #head(which: Pick<LinearOptions, 'phase' | 'row'>, adapter: string | null | undefined): Promise<Program> {
    const r = this.recorder();
    const a = this.#activations;
    const { norm: kind, normEps, finalNormEps: eps = normEps, head } = this.config;
    const { finalNorm: gamma, head: weights, headBias: bias } = this.#weightsUnder(adapter);
    const io = { weights, out: a.logits, bias };
    const { scale, softcap } = head;
    const options = { ...which, scale, softcap };
    if (kind === 'rms') linear(r, 'head', { ...io, x: a.residualA, gamma }, { ...options, eps });
    else {
      this.#recordFinalNorm(r, a.normed);
      linear(r, 'head', { ...io, x: a.normed }, options);
    }
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
    this.#recordFinalNorm(r, normed);
    const { head: weights, headBias: bias } = this.#weightsUnder(adapter);
    const { scale, softcap } = this.config.head;
    const options = { phase: 'prefill', scale, softcap, ...(outRow && { outRow }) } as const;
    linear(r, 'head', { x: normed, weights, bias, out }, options);
    return r.finish();
  }

  /** Final norm of every token of the step, into `normed` [T, D]. */
  finalNorm(normed: BufferView): Promise<Program> {
    const r = this.recorder();
    this.#recordFinalNorm(r, normed);
    return r.finish();
  }

  #recordFinalNorm(r: Recorder, out: BufferView): void {
    const { hidden: size, norm: kind, normEps, finalNormEps: eps = normEps } = this.config;
    const x = this.#activations.residualA;
    norm(r, 'final norm', { x, gamma: this.#weights.finalNorm, out }, { kind, size, eps });
  }

  /**
   * Draws a token from `logits`; it becomes the first id of the next step.
   * @param isLimited for steps with `isBiased` or `isMasked`
   */
  sampling(isLimited: boolean): Promise<Program> {
    const r = this.recorder();
    sample(
      r,
      'sample',
      {
        logits: this.#activations.logits,
        counts: this.tokenCounts,
        sampled: this.sampled,
        nextIds: this.#activations.ids,
        limits: isLimited ? { bias: this.bias, allowed: this.allowed } : undefined,
      },
      { vocab: this.config.vocab },
    );
    return r.finish();
  }

  /** Draws a token after each one of a step of a few, into `sampled` [T, SAMPLED_WORDS]; nothing else changes. */
  fewSampling(): Promise<Program> {
    const r = this.recorder();
    const { ids, logits } = this.#activations;
    const io = { logits, ids, counts: this.tokenCounts, sampled: this.sampled };
    sampleRows(r, 'sample', io, { vocab: this.config.vocab });
    return r.finish();
  }

  /** Names the likeliest tokens behind the one drawn; comes after `sampling`, for steps that ask. */
  topLogprobs(): Promise<Program> {
    const r = this.recorder();
    const io = { logits: this.#activations.logits, sampled: this.sampled };
    topLogprobs(r, 'top log-probabilities', io, { vocab: this.config.vocab });
    return r.finish();
  }
}
