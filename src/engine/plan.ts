/** What a model will take, before anything is taken: a pure function of config, weights found, device limits and wishes. */
import { longRopeIn, type LongRopeChoice } from '../config/longrope.ts';
import { attentionLayers } from '../config/mixers.ts';
import type { ModelConfig, RopeConfig } from '../config/model-config.ts';
import { InvalidRequest, OutOfBudget } from '../errors.ts';
import { bufferBytes } from '../gpu/buffer.ts';
import { STEP_BYTES } from '../gpu/step.ts';
import { KV_FORMATS, type KvFormat } from '../config/kv-format.ts';
import { QUANTIZE_PARAMS_BYTES } from '../kernels/repack/quantize.ts';
import { tokenSetWords } from '../kernels/sample/sample.ts';
import { MOST_SAMPLED_BYTES } from '../kernels/sample/top_logprobs.ts';
import { mixerMatrices, mixerVectors } from '../layers/weights.ts';
import { sum } from '../util/math.ts';
import { layoutName, planes, sameLayout } from '../weights/layout.ts';
import type { PublishedMatrix } from '../weights/matrix.ts';
import type { BoundAdapter } from './adapters/bind.ts';
import { adapterBytes, adapterRoom } from './adapters/sizes.ts';
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
import {
  arenaBytes,
  arenaSlots,
  fittingArenas,
  fullArenas,
  partialArenas,
  type Arena,
  type LayerSlots,
} from './arenas.ts';
import {
  expertSpecs,
  type ExpertsSpec,
  type LayerSpec,
  type MatrixPart,
  type MatrixSpec,
  type ModelSpec,
  type RouterSpec,
  type VectorSpec,
} from './describe/specs.ts';
import { DEFAULT_CHUNK, DEFAULT_CONTEXT, DEFAULT_GPU_BYTES } from './plan-defaults.ts';
import type { StoreMode } from './expert-stats.ts';
import { planRequests, type RequestsOptions, type RequestsPlan } from './serving/sizes.ts';
import type { Precision } from './precision.ts';
import { predict, TYPICAL_HARDWARE, type Hardware, type TokenWork } from './predict.ts';

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

/** Records on their way to slots at a time. */
export const RING_SLOTS = 4;
/** Rows of floats that are quantised at a time, twice this at most. */
export const BLOCK_BYTES = 2 * 2 ** 20;
export const QUANTIZER_BYTES = 2 * BLOCK_BYTES + bufferBytes(QUANTIZE_PARAMS_BYTES) + STEP_BYTES;

/** Router blocks of neighbouring MoE layers, one after the other in one buffer: of all, unless they exceed a binding. */
export interface RouterBuffer {
  readonly layers: readonly number[];
  readonly bytes: number;
  /** Of `bytes`, what nothing reads. */
  readonly paddingBytes: number;
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

function planRouters(routers: readonly RouterSpec[], bindingBytes: number): RouterBuffer[] {
  const buffers: { layers: number[]; bytes: number; paddingBytes: number }[] = [];
  routers.forEach(({ block: { bytes, usedBytes }, label }, layer) => {
    if (bytes > bindingBytes) {
      throw new OutOfBudget(`${label} takes ${bytes} bytes, more than this GPU binds at once (${bindingBytes})`, {
        label,
        bytes,
        bindingBytes,
      });
    }
    const last = buffers.at(-1);
    if (last && last.bytes + bytes <= bindingBytes) {
      last.layers.push(layer);
      last.bytes += bytes;
      last.paddingBytes += bytes - usedBytes;
    } else buffers.push({ layers: [layer], bytes, paddingBytes: bytes - usedBytes });
  });
  return buffers;
}

interface LayerParts {
  readonly matrices: MatrixSpec[];
  readonly vectors: VectorSpec[];
  readonly moe: { readonly router: RouterSpec; readonly experts: ExpertsSpec } | null;
}

/** Every matrix and vector of a layer outside the experts and the router. */
function layerParts(layer: LayerSpec): LayerParts {
  const { mixer: a, ffn } = layer;
  const present = <T>(values: readonly (T | null)[]): T[] => values.filter((v): v is T => v !== null);
  const parallel = ffn.kind === 'moe' ? ffn.parallel : null;
  const dense = ffn.kind === 'dense' ? [ffn] : present(ffn.kind === 'moe' ? [ffn.shared, parallel] : []);
  const { latent, state } = ffn.kind === 'moe' ? ffn : { latent: null, state: null };
  return {
    matrices: present<MatrixSpec>([
      ...mixerMatrices(a),
      ...dense.flatMap(({ gateUp, down }) => [gateUp, down]),
      ...(latent ? [latent.down, latent.up] : []),
      ...(state ? [state.down] : []),
    ]),
    vectors: present<VectorSpec>([
      layer.mixerNorm,
      layer.mixerPostNorm,
      layer.ffnPostNorm,
      ...mixerVectors(a),
      layer.outScale,
      ...(ffn.kind === 'dense' ? [ffn.norm, ffn.gateUpBias, ffn.downBias] : []),
      ...(parallel ? [parallel.norm, parallel.postNorm, parallel.expertsPostNorm] : []),
      ...(state ? [state.norm, state.vectors] : []),
      ...(ffn.kind === 'moe' ? [ffn.streamNorm] : []),
    ]),
    moe: ffn.kind === 'moe' ? ffn : null,
  };
}

interface ModelParts {
  readonly matrices: MatrixSpec[];
  readonly vectors: VectorSpec[];
  readonly routers: RouterSpec[];
  readonly experts: ExpertsSpec[];
}

/** Everything of a model, flat; a tied head counts once. */
function modelParts(spec: ModelSpec): ModelParts {
  const layers = spec.layers.map(layerParts);
  return {
    matrices: [...new Set([spec.embed, spec.head, ...layers.flatMap((l) => l.matrices)])],
    vectors: [
      ...(spec.headBias ? [spec.headBias] : []),
      spec.finalNorm,
      ...(spec.encoderNorm ? [spec.encoderNorm] : []),
      ...(spec.embedJoin ? [spec.embedJoin] : []),
      ...layers.flatMap((l) => l.vectors),
    ],
    routers: layers.flatMap((l) => (l.moe ? [l.moe.router] : [])),
    experts: layers.flatMap((l) => (l.moe ? [l.moe.experts] : [])),
  };
}

/** What is read from the checkpoint row by row, outside the experts. */
const matrixParts = ({ matrices, routers }: ModelParts): MatrixPart[] => [
  ...matrices.flatMap((m) => m.parts),
  ...routers.map((r) => r.matrix),
];

function conversions(parts: ModelParts): Plan['conversions'] {
  const found: Record<string, { matrices: number; bytes: number }> = {};
  const count = (format: string, layout: string, bytes: number): void => {
    const entry = (found[format === layout ? format : `${format} -> ${layout}`] ??= { matrices: 0, bytes: 0 });
    entry.matrices++;
    entry.bytes += bytes;
  };
  for (const part of matrixParts(parts)) {
    for (const p of part.pieces)
      count(p.source.format, layoutName(part.layout), p.source.storedBytes * ((p.end - p.begin) / p.source.rows));
  }
  for (const x of parts.experts) {
    for (let e = 0; e < x.count; e++) {
      const { gate, up, down } = x.matrices(e);
      for (const m of [gate, up]) count(m.format, layoutName(x.slot.gateUp), m.storedBytes);
      count(down.format, layoutName(x.slot.down), down.storedBytes);
    }
  }
  return found;
}

/** Bytes of the weights in each file of the checkpoint, in the order of their names. */
export function fileBytes(spec: ModelSpec): ReadonlyMap<string, number> {
  const parts = modelParts(spec);
  const found = new Map<string, number>();
  const count = ({ file, storedBytes, rows }: PublishedMatrix, part = rows): void =>
    void found.set(file, (found.get(file) ?? 0) + (storedBytes * part) / rows);
  for (const { pieces } of matrixParts(parts)) for (const p of pieces) count(p.source, p.end - p.begin);
  for (const x of parts.experts)
    for (let e = 0; e < x.count; e++) for (const m of Object.values(x.matrices(e))) count(m);
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

const layerSlots = (spec: ModelSpec): LayerSlots[] =>
  expertSpecs(spec).map(({ label, slot, count, topK }) => ({ label, slotBytes: slot.bytes, experts: count, topK }));

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

interface Room {
  readonly bindingBytes: number;
  /** Of everything but experts and what streams them. */
  readonly restBytes: number;
  readonly budgetBytes: number;
}

/** Where experts live: all in slots when they fit, else as many as fit. */
function planHome(
  spec: ModelSpec,
  { bindingBytes, restBytes, budgetBytes }: Room,
  { expertsResident: wanted }: PlanOptions,
): Pick<Plan, 'arenas' | 'verdict' | 'slots' | 'fullBytes' | 'minimumBytes'> & { readonly staging: number } {
  if (wanted !== undefined && !(wanted >= 0 && wanted <= 1)) {
    throw new InvalidRequest(`expertsResident must be a share from 0 to 1, got ${wanted}`, { expertsResident: wanted });
  }
  const layers = layerSlots(spec);
  const staging = stagingBytes(spec);
  const full = fullArenas(layers, bindingBytes);
  const allExpertBytes = sum(layers.map((l) => l.slotBytes * l.experts));
  const fullBytes = restBytes + allExpertBytes;
  const minimum = layers.length ? partialArenas(layers, bindingBytes, 0) : [];
  const leastBytes = restBytes + staging + arenaBytes(minimum);
  const minimumBytes = full ? Math.min(fullBytes, leastBytes) : leastBytes;
  const facts = (arenas: readonly Arena[]): Pick<Plan, 'arenas' | 'slots' | 'fullBytes' | 'minimumBytes'> => ({
    arenas,
    slots: {
      count: arenaSlots(arenas),
      experts: sum(layers.map((l) => l.experts)),
      minimum: arenaSlots(minimum),
      bytesEach: Math.max(0, ...layers.map((l) => l.slotBytes)),
    },
    fullBytes,
    minimumBytes,
  });
  if (full && (wanted === undefined ? fullBytes <= budgetBytes : wanted >= 1)) {
    const verdict = fullBytes > budgetBytes ? 'does-not-fit' : fullBytes > 0.9 * budgetBytes ? 'tight' : 'fits';
    return { ...facts(full), verdict, staging: 0 };
  }
  const arenas =
    wanted === undefined
      ? fittingArenas(layers, bindingBytes, budgetBytes - restBytes - staging)
      : partialArenas(layers, bindingBytes, wanted);
  const fits = restBytes + staging + arenaBytes(arenas) <= budgetBytes;
  return { ...facts(arenas), verdict: fits ? 'streams' : 'does-not-fit', staging };
}

/** Buffers that stay while experts stream: see upload.ts and fetch.ts. */
function stagingBytes(spec: ModelSpec): number {
  const experts = expertSpecs(spec);
  if (experts.length === 0) return 0;
  const slot = Math.max(...experts.map((x) => x.slot.bytes));
  const quantizes = experts.some((x) => {
    const { gate, up, down } = x.matrices(0);
    return (
      !sameLayout(gate.layout, x.slot.gateUp) ||
      !sameLayout(up.layout, x.slot.gateUp) ||
      !sameLayout(down.layout, x.slot.down)
    );
  });
  return RING_SLOTS * slot + (quantizes ? QUANTIZER_BYTES : 0);
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

/**
 * @throws InvalidRequest for impossible wishes
 * @throws OutOfBudget when some part, or what a chunk needs, cannot be bound on this device whatever the budget
 */
export function planModel({ config, spec, precision, bindingBytes, adapters = [], options }: PlanInput): Plan {
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
  const prefillChunk = config.encoder ? contextLength : Math.min(wishedChunk, contextLength); // an encoder reads a text at once
  if (config.encoder && options.requests)
    throw new InvalidRequest(
      'Several requests at once need a causal model: this one has an encoder. Load it without requests',
      { option: 'requests' },
    );
  const kv = kvOf(config, options.kv);
  const caching = config.layers.filter((_, i) => hasOwnCache(config, i));
  const caches = caching.map((l) => cacheBytes(l.mixer, { hidden: config.hidden, context: contextLength, kv }));
  const largestKv = Math.max(...caches.flatMap((cache) => Object.values(cache)));
  if (largestKv > bindingBytes) {
    throw new OutOfBudget(
      `A context of ${contextLength} tokens takes ${largestKv} bytes a layer, more than this GPU binds at once (${bindingBytes}): ask for a shorter contextLength`,
      { contextLength, bindingBytes },
    );
  }
  const parts = modelParts(spec);
  const { matrices, vectors, experts } = parts;
  const routers = planRouters(parts.routers, bindingBytes);
  const activations = activationBytes(config, prefillChunk, contextLength);
  const [largest, largestBytes] = Object.entries(activations).sort(([, a], [, b]) => b - a)[0]!;
  if (largestBytes > bindingBytes) {
    throw new OutOfBudget(
      `A chunk of ${prefillChunk} tokens needs ${largestBytes} bytes at once (${largest}), more than this GPU binds (${bindingBytes}): ask for a shorter prefillChunk`,
      { prefillChunk, buffer: largest, bytes: largestBytes, bindingBytes },
    );
  }
  const partBytes = matrices.flatMap((m) => m.parts).map((p) => planes(p.layout, p).bytes);
  const ropes = new Set(attentionLayers(config).map((a) => JSON.stringify(a.rope)));
  const requests = options.requests
    ? planRequests(config, options.requests, { contextLength, prefillChunk, bindingBytes })
    : null;
  const ofRequests = requests?.bytes ?? { kv: 0, activations: 0, tables: 0, readback: 0 };
  const routedByOne = sum(moeLayers(config).map((m) => routedStride(DECODE_TOKENS, m, true)));
  const few = fewTokens(config, prefillChunk);
  const routedByFew = sum(moeLayers(config).map((m) => routedStride(few, m)));
  const bytes = {
    weights: sum(partBytes) + sum(vectors.map((v) => 4 * v.length)) + sum(routers.map((r) => r.bytes)),
    adapters: adapterBytes(adapters, spec, adapterRoom(config, { prefillChunk, requests, routers }), bindingBytes),
    kv: sum(caches.flatMap((cache) => Object.values(cache).map(bufferBytes))) + ofRequests.kv,
    activations:
      sum(Object.values(activations).map(bufferBytes)) +
      MOST_SAMPLED_BYTES +
      bufferBytes(routedByOne) +
      ofRequests.activations,
    tables:
      sum(
        [...ropes].map((key) =>
          bufferBytes((JSON.parse(key) as RopeConfig).inverseFrequencies.length * 8 * contextLength),
        ),
      ) +
      (experts.length + 1) * 4 * slotTableStride(config) +
      bufferBytes(interventionOffsets(config).at(-1)!) +
      stackTableBytes(config) +
      sinusoidBytes(config, contextLength) +
      4 * (2 * config.vocab + tokenSetWords(config.vocab)) + // token counts, bias, the tokens allowed
      STEP_BYTES +
      ofRequests.tables,
    readback:
      (2 + MOST_AHEAD) * (MOST_SAMPLED_BYTES + bufferBytes(routedByOne)) +
      (few > 1 ? fewReadbackBytes(few, routedByFew) : 0) +
      4 * Math.max(1, ...experts.map((x) => x.count)) +
      ofRequests.readback,
  };
  const budgetBytes = options.gpuBytes ?? DEFAULT_GPU_BYTES;
  const home = planHome(spec, { bindingBytes, restBytes: sum(Object.values(bytes)), budgetBytes }, options);
  const { arenas, verdict, slots, fullBytes, minimumBytes } = home;
  if (requests && verdict === 'streams')
    throw new OutOfBudget(
      `Several requests at once need every expert on the GPU, ${fullBytes} bytes in all, the budget is ${budgetBytes}: raise gpuBytes, or load without requests`,
      { totalBytes: fullBytes, budgetBytes, suggestedGpuBytes: fullBytes },
    );
  const all = { ...bytes, experts: arenaBytes(arenas), staging: home.staging };
  return Object.freeze({
    precision,
    contextLength,
    longRope: longRopeIn(config, contextLength),
    prefillChunk,
    kv,
    bytes: all,
    totalBytes: sum(Object.values(all)),
    budgetBytes,
    verdict,
    slots,
    fullBytes,
    minimumBytes,
    ...prediction({ config, spec, bytes: all, slots }, options.hardware),
    downloadBytes: sum([...fileBytes(spec).values()]),
    conversions: conversions(parts),
    arenas,
    routers,
    embeddingBytes: sum(spec.embed.parts.map((p) => planes(p.layout, p).bytes)),
    requests,
    activations,
  });
}
