/** What a model will take, before anything is taken: a pure function of config, weights found, device limits and wishes. */
import { KV_FORMATS, type KvFormat } from '../config/kv-format.ts';
import { longRopeIn, type LongRopeChoice } from '../config/longrope.ts';
import { attentionLayers } from '../config/mixers.ts';
import type { ModelConfig, RopeConfig } from '../config/model-config.ts';
import { InvalidRequest, OutOfBudget } from '../errors.ts';
import { bufferBytes } from '../gpu/buffer.ts';
import { STEP_BYTES } from '../gpu/step.ts';
import { tokenSetWords } from '../kernels/sample/sample.ts';
import { MOST_SAMPLED_BYTES } from '../kernels/sample/top_logprobs.ts';
import { sum } from '../util/math.ts';
import { planes } from '../weights/layout.ts';
import {
  activationBytes,
  cacheBytes,
  canKeep,
  DECODE_TOKENS,
  fewReadbackBytes,
  fewTokens,
  hasOwnCache,
  interventionOffsets,
  MOST_AHEAD,
  moeLayers,
  routedStride,
  sinusoidBytes,
  slotTableStride,
  stackTableBytes,
  type ActivationName,
} from './activations.ts';
import type { BoundAdapter } from './adapters/bind.ts';
import { adapterBytes, adapterRoom } from './adapters/sizes.ts';
import { arenaBytes, type Arena } from './arenas.ts';
import type { ModelSpec } from './describe/specs.ts';
import type { StoreMode } from './expert-stats.ts';
import { DEFAULT_CHUNK, DEFAULT_CONTEXT, DEFAULT_GPU_BYTES } from './plan-defaults.ts';
import { conversions, fileBytes } from './plan/download.ts';
import { layerSlots, planHome } from './plan/home.ts';
import { modelParts } from './plan/parts.ts';
import { planRouters, type RouterBuffer } from './plan/routers.ts';
import type { Precision } from './precision.ts';
import { predict, TYPICAL_HARDWARE, type Hardware, type TokenWork } from './predict.ts';
import { planRequests, type RequestsOptions, type RequestsPlan } from './serving/sizes.ts';

export interface PlanOptions {
  /**
   * Longest conversation in tokens; default: what the model claims, at most 4,096. With longrope (Phi-3.5-MoE) a context beyond that of pretraining
   * turns all positions by the long factors, in short conversations too: `Plan.longRope` says which hold.
   */
  readonly contextLength?: number | undefined;
  /** Prompt tokens that go through the model at once; default 256 (fewer for a large model on a software adapter). Bounds activation memory and the work of one submit. */
  readonly prefillChunk?: number | undefined;
  /** GPU memory that webmoe may use; default 6 GiB. What is left beside everything else goes to experts; those that do not fit are streamed. */
  readonly gpuBytes?: number | undefined;
  /** The share of the experts, 0 to 1, that have a slot on the GPU, in place of what `gpuBytes` leaves room for; at least K + 1 an arena. */
  readonly expertsResident?: number | undefined;
  /**
   * Answers several requests at once, from one pool of keys and values: docs/serving.md. Every expert must have its slot. Default: one after the other.
   */
  readonly requests?: RequestsOptions | undefined;
  /** What tokens a second are worked out from; null: they are not. Default: a middling graphics card. */
  readonly hardware?: Hardware | null | undefined;
  /** How keys and values are kept: `f16` takes half of `f32`, `int8` about a quarter, and both change what a model says a little. Default `f32`. */
  readonly kv?: KvFormat | undefined;
}

export interface Plan {
  readonly precision: Precision;
  readonly contextLength: number;
  /** Which factors of a model with longrope this context has; null: it has no such choice. */
  readonly longRope: LongRopeChoice | null;
  readonly prefillChunk: number;
  readonly kv: KvFormat;
  readonly bytes: {
    readonly weights: number;
    /** What adapters that requests choose keep, and compute in. */
    readonly adapters: number;
    readonly experts: number;
    readonly kv: number;
    readonly activations: number;
    readonly tables: number;
    readonly readback: number;
    /** What streaming passes through; 0 when every expert has a slot. */
    readonly staging: number;
  };
  readonly totalBytes: number;
  readonly budgetBytes: number;
  /** `tight`: within the budget, but with less than a tenth to spare. `streams`: within it, with fewer slots than experts. */
  readonly verdict: 'fits' | 'tight' | 'streams' | 'does-not-fit';
  readonly slots: {
    /** Experts that the GPU holds at once, of `experts` in all; at least `minimum`. */
    readonly count: number;
    readonly experts: number;
    readonly minimum: number;
    /** The largest, where layers differ. */
    readonly bytesEach: number;
  };
  /** `totalBytes` with every expert on the GPU, were bindings large enough, and with as few as work. */
  readonly fullBytes: number;
  readonly minimumBytes: number;
  /** How tokens will run, and about how many a second: see predict.ts for what that assumes. */
  readonly mode: StoreMode;
  readonly tokensPerSecond: number | null;
  /** Bytes that loading reads from the checkpoint. */
  readonly downloadBytes: number;
  /** Weight matrices by what happens to them, as in `bf16 -> int4 g32 f16`. */
  readonly conversions: Readonly<Record<string, { readonly matrices: number; readonly bytes: number }>>;
  readonly arenas: readonly Arena[];
  readonly routers: readonly RouterBuffer[];
  /** The token embedding's share of `bytes.weights`. */
  readonly embeddingBytes: number;
  /** Of several requests at once; null: one after the other. Its bytes are among those above. */
  readonly requests: RequestsPlan | null;
  /** Bytes of each activation buffer by name. */
  readonly activations: Readonly<Record<ActivationName, number>>;
}

/** The embedding's rows are looked up; a head that shares them is read whole. */
function prediction(
  { config, spec, bytes, slots }: { config: ModelConfig; spec: ModelSpec } & Pick<Plan, 'bytes' | 'slots'>,
  hardware: Hardware | null | undefined,
): Pick<Plan, 'mode' | 'tokensPerSecond'> {
  const lookedUp = spec.head === spec.embed ? 0 : sum(spec.embed.parts.map((p) => planes(p.layout, p).bytes));
  const work: TokenWork = {
    layers: config.layers.length,
    moe: layerSlots(spec),
    denseBytes: bytes.weights - lookedUp,
    share: slots.experts ? slots.count / slots.experts : 1,
  };
  const { mode, seconds } = predict(work, hardware ?? TYPICAL_HARDWARE);
  return { mode, tokensPerSecond: hardware === null ? null : 1 / seconds };
}

export interface PlanInput {
  readonly config: ModelConfig;
  readonly spec: ModelSpec;
  readonly precision: Precision;
  /** maxStorageBufferBindingSize, at most maxBufferSize. */
  readonly bindingBytes: number;
  /** Chosen per request. Default none. */
  readonly adapters?: readonly BoundAdapter[];
  readonly options: PlanOptions;
}

function kvOf(config: ModelConfig, wished: KvFormat = 'f32'): KvFormat {
  if (!KV_FORMATS.includes(wished))
    throw new InvalidRequest(`kv must be one of ${KV_FORMATS.join(', ')}, got ${String(wished)}`, { kv: wished });
  if (!canKeep(config, wished))
    throw new InvalidRequest(
      `kv: '${wished}' needs heads whose sizes are multiples of four, which this model's are not: leave kv at 'f32'`,
      { kv: wished },
    );
  return wished;
}

/** Tokens of a conversation and of a chunk, as wished or by default. */
function lengths(config: ModelConfig, options: PlanOptions): Pick<Plan, 'contextLength' | 'prefillChunk'> {
  const contextLength = options.contextLength ?? Math.min(config.maxContext, DEFAULT_CONTEXT);
  if (!Number.isInteger(contextLength) || contextLength < 1 || contextLength > config.maxContext) {
    throw new InvalidRequest(
      `contextLength must be a whole number from 1 to ${config.maxContext}, got ${contextLength}`,
      { contextLength },
    );
  }
  const wishedChunk = options.prefillChunk ?? DEFAULT_CHUNK;
  if (!Number.isInteger(wishedChunk) || wishedChunk < 1) {
    throw new InvalidRequest(`prefillChunk must be a whole number of at least 1, got ${wishedChunk}`, {
      prefillChunk: wishedChunk,
    });
  }
  // an encoder reads a text at once
  return { contextLength, prefillChunk: config.encoder ? contextLength : Math.min(wishedChunk, contextLength) };
}

/** Bytes of every buffer of keys, values and recurrent states. */
function planCaches(config: ModelConfig, context: number, kv: KvFormat, bindingBytes: number): number[] {
  const caching = config.layers.filter((_, i) => hasOwnCache(config, i));
  const buffers = caching.flatMap((l) => Object.values(cacheBytes(l.mixer, { hidden: config.hidden, context, kv })));
  const largest = Math.max(...buffers);
  if (largest > bindingBytes) {
    throw new OutOfBudget(
      `A context of ${context} tokens takes ${largest} bytes a layer, more than this GPU binds at once (${bindingBytes}): ask for a shorter contextLength`,
      { contextLength: context, bindingBytes },
    );
  }
  return buffers.map(bufferBytes);
}

function planActivations(
  config: ModelConfig,
  { contextLength, prefillChunk }: Pick<Plan, 'contextLength' | 'prefillChunk'>,
  bindingBytes: number,
): Plan['activations'] {
  const activations = activationBytes(config, prefillChunk, contextLength);
  const [largest, largestBytes] = Object.entries(activations).sort(([, a], [, b]) => b - a)[0]!;
  if (largestBytes > bindingBytes) {
    throw new OutOfBudget(
      `A chunk of ${prefillChunk} tokens needs ${largestBytes} bytes at once (${largest}), more than this GPU binds (${bindingBytes}): ask for a shorter prefillChunk`,
      { prefillChunk, buffer: largest, bytes: largestBytes, bindingBytes },
    );
  }
  return activations;
}

/** What is written once, or by the CPU before a step. */
function tableBytes(config: ModelConfig, contextLength: number): number {
  const ropes = new Set(attentionLayers(config).map((a) => JSON.stringify(a.rope)));
  const rotations = [...ropes].map((key) =>
    bufferBytes((JSON.parse(key) as RopeConfig).inverseFrequencies.length * 8 * contextLength),
  );
  return (
    sum(rotations) +
    (moeLayers(config).length + 1) * 4 * slotTableStride(config) +
    bufferBytes(interventionOffsets(config).at(-1)!) +
    stackTableBytes(config) +
    sinusoidBytes(config, contextLength) +
    4 * (2 * config.vocab + tokenSetWords(config.vocab)) + // token counts, bias, the tokens allowed
    STEP_BYTES
  );
}

/**
 * @throws InvalidRequest for impossible wishes
 * @throws OutOfBudget when some part, or what a chunk needs, cannot be bound on this device whatever the budget
 */
export function planModel({ config, spec, precision, bindingBytes, adapters = [], options }: PlanInput): Plan {
  const { contextLength, prefillChunk } = lengths(config, options);
  if (config.encoder && options.requests)
    throw new InvalidRequest(
      'Several requests at once need a causal model: this one has an encoder. Load it without requests',
      { option: 'requests' },
    );
  const kv = kvOf(config, options.kv);
  const caches = planCaches(config, contextLength, kv, bindingBytes);
  const parts = modelParts(spec);
  const routers = planRouters(parts.routers, bindingBytes);
  const activations = planActivations(config, { contextLength, prefillChunk }, bindingBytes);
  const requests = options.requests
    ? planRequests(config, options.requests, { contextLength, prefillChunk, bindingBytes })
    : null;
  const ofRequests = requests?.bytes ?? { kv: 0, activations: 0, tables: 0, readback: 0 };
  const partBytes = parts.matrices.flatMap((m) => m.parts).map((p) => planes(p.layout, p).bytes);
  const routedBytes = bufferBytes(sum(moeLayers(config).map((m) => routedStride(DECODE_TOKENS, m, true))));
  const few = fewTokens(config, prefillChunk);
  const routedByFew = sum(moeLayers(config).map((m) => routedStride(few, m)));
  const bytes = {
    weights: sum(partBytes) + sum(parts.vectors.map((v) => 4 * v.length)) + sum(routers.map((r) => r.bytes)),
    adapters: adapterBytes(adapters, spec, adapterRoom(config, { prefillChunk, requests, routers }), bindingBytes),
    kv: sum(caches) + ofRequests.kv,
    activations:
      sum(Object.values(activations).map(bufferBytes)) + MOST_SAMPLED_BYTES + routedBytes + ofRequests.activations,
    tables: tableBytes(config, contextLength) + ofRequests.tables,
    readback:
      (2 + MOST_AHEAD) * (MOST_SAMPLED_BYTES + routedBytes) +
      (few > 1 ? fewReadbackBytes(few, routedByFew) : 0) +
      4 * Math.max(1, ...parts.experts.map((x) => x.count)) +
      ofRequests.readback,
  };
  const budgetBytes = options.gpuBytes ?? DEFAULT_GPU_BYTES;
  const restBytes = sum(Object.values(bytes));
  const { staging, ...home } = planHome(spec, { bindingBytes, restBytes, budgetBytes }, options);
  if (requests && home.verdict === 'streams')
    throw new OutOfBudget(
      `Several requests at once need every expert on the GPU, ${home.fullBytes} bytes in all, the budget is ${budgetBytes}: raise gpuBytes, or load without requests`,
      { totalBytes: home.fullBytes, budgetBytes, suggestedGpuBytes: home.fullBytes },
    );
  const all = { ...bytes, experts: arenaBytes(home.arenas), staging };
  return Object.freeze({
    precision,
    contextLength,
    longRope: longRopeIn(config, contextLength),
    prefillChunk,
    kv,
    bytes: all,
    totalBytes: sum(Object.values(all)),
    budgetBytes,
    ...home,
    ...prediction({ config, spec, bytes: all, slots: home.slots }, options.hardware),
    downloadBytes: sum([...fileBytes(spec).values()]),
    conversions: conversions(parts),
    routers,
    embeddingBytes: sum(spec.embed.parts.map((p) => planes(p.layout, p).bytes)),
    requests,
    activations,
  });
}
