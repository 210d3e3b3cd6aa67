/** source -> configs -> plan -> buffers -> Model: the one place that wires everything. */
import type { ModelConfig } from '../config/model-config.ts';
import { parameterCounts } from '../config/parameters.ts';
import { OutOfBudget } from '../errors.ts';
import type { KernelChoice } from '../gpu/device.ts';
import { Gpu } from '../gpu/gpu.ts';
import { endTokens } from '../text/end-tokens.ts';
import type { ByteSource } from '../weights/source.ts';
import { Forward } from './forward.ts';
import { createPolicy, DEFAULT_POLICY } from '../policy/index.ts';
import { ExpertStore } from '../moe/store.ts';
import { approximations, resolveApproximate, type ApproximateOptions } from './approximate.ts';
import { sum } from '../util/math.ts';
import { expertSpecs, type ModelSpec } from './describe.ts';
import { DenseRecords } from './dense-records.ts';
import { ExpertMonitor } from './expert-monitor.ts';
import { ExpertService } from './expert-service.ts';
import { ExpertFetcher } from './fetch.ts';
import { openKeeping, rememberedSource, type KeepingOptions } from './keeping.ts';
import { measureSync } from './measure.ts';
import { ModePicker, type ModeOption } from './mode.ts';
import { Model } from './model.ts';
import { allocateHomes } from './open-store.ts';
import { DEFAULT_DEVICE_LIMITS, openModel, planOpened, type PlanLimits } from './open.ts';
import { DEFAULT_CHUNK, type Plan, type PlanOptions } from './plan.ts';
import type { WeightsOption } from './precision.ts';
import { ProgressMeter, type LoadProgress } from './progress.ts';
import { Session } from './session.ts';
import { loadText } from './text.ts';
import { Uploader } from './upload.ts';

export interface LoadOptions extends PlanOptions, KeepingOptions {
  /** Default `auto`: as published if that fits `gpuBytes`, else 8 bits, else 4. */
  readonly weights?: WeightsOption | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Where WebGPU comes from; default `navigator.gpu`. */
  readonly gpu?: GPU | undefined;
  /** Use only WebGPU's guaranteed limits and no optional feature. */
  readonly defaultLimits?: boolean | undefined;
  /** How tokens run while experts are missing; default `auto`: whatever was measured to cost less. */
  readonly mode?: ModeOption | undefined;
  /**
   * `early`: the model can be used as soon as everything but its experts is there, which then come as they are needed. `auto`: so, where experts
   * are most of what is read; in a model that is mostly other weights, reading it in order is faster than jumping about. Default `complete`.
   */
  readonly start?: 'complete' | 'early' | 'auto' | undefined;
  /** Whether experts that are missing are fetched behind the chat, into free slots and onto the disk; default true. */
  readonly collect?: boolean | undefined;
  /** Answer differently for fewer missing experts; default: exactly. What is in use is named in statistics, events and summaries. */
  readonly approximate?: ApproximateOptions | undefined;
  /** Which expert leaves when another needs its slot: one of POLICY_NAMES. */
  readonly policy?: string | undefined;
  /** Kernels for a GPU or for a software adapter; default: by what the adapter is. To compare, and to count. */
  readonly kernels?: KernelChoice | undefined;
}

/** Multiplications of one submit on a software adapter: tens of seconds at most, for which stopping has to wait. */
const SOFTWARE_CHUNK_WORK = 14e9;

/** A power of two from 16 to the default, by the model's size. */
function softwareChunk(config: ModelConfig): number {
  const tokens = SOFTWARE_CHUNK_WORK / parameterCounts(config).active;
  return Math.min(DEFAULT_CHUNK, Math.max(16, 2 ** Math.floor(Math.log2(tokens))));
}

/** What loading would do, from configs and tensor headers alone: no weight is read, no GPU is touched. */
export async function plan(
  source: ByteSource,
  options: PlanOptions & {
    readonly weights?: WeightsOption | undefined;
    readonly limits?: PlanLimits | undefined;
    /** As `DeviceFacts` has it; default: those for GPUs. */
    readonly kernels?: KernelChoice | undefined;
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<Plan> {
  const opened = await openModel(source, options.signal);
  const wishes = withDefaults(options, opened.config, options.kernels ?? 'gpu');
  return planOpened(opened, options.limits ?? DEFAULT_DEVICE_LIMITS, options.weights ?? 'auto', wishes).plan;
}

function startsEarly(start: LoadOptions['start'], spec: ModelSpec, { downloadBytes }: Plan): boolean {
  if (start !== 'auto') return start === 'early';
  return sum(expertSpecs(spec).map((x) => x.storedBytes)) > downloadBytes / 2;
}

/** On a software adapter prompts go in shorter chunks, and nobody knows how fast it is. */
function withDefaults<O extends PlanOptions>(options: O, config: ModelConfig, kernels: KernelChoice): O {
  if (kernels === 'gpu') return options;
  return { hardware: null, ...options, prefillChunk: options.prefillChunk ?? softwareChunk(config) };
}

/**
 * Loads a model onto the GPU. On any failure, abort included, everything taken is given back.
 * @throws DeviceCapability, InvalidCheckpoint, UnsupportedModel, OutOfBudget, SourceError; the signal's reason when aborted
 */
export async function load(source: ByteSource, options: LoadOptions = {}): Promise<Model> {
  const { gpu, defaultLimits, kernels } = options;
  return loadOn(await Gpu.open({ gpu, kernels, ...(defaultLimits ? { defaultLimits } : {}) }), source, options);
}

/** As `load`, on a device that is open already. The model owns `gpu` and disposes it: give it a `share()` to keep the device. */
export async function loadOn(
  gpu: Gpu,
  source: ByteSource,
  options: Omit<LoadOptions, 'gpu' | 'defaultLimits' | 'kernels'> = {},
): Promise<Model> {
  const { signal } = options;
  const progress = new ProgressMeter(options.onProgress ?? (() => undefined));
  const cleanUp: (() => Promise<void> | undefined)[] = [];
  const approximate = resolveApproximate(options.approximate);
  progress.enter('open');
  try {
    const remembered = await rememberedSource(source, options.storage, signal);
    const described = remembered ?? source;
    const opened = await openModel(described, signal);
    const text = await loadText(described, opened.config.vocab, signal);
    await remembered?.save();
    const { config, generation } = opened;
    const ends = endTokens(
      {
        ...(generation.endTokens ? { generation: generation.endTokens } : {}),
        config: config.endTokens,
        tokenizerEnd: text?.endToken ?? null,
        vocab: config.vocab,
      },
      text?.tokenizer ?? null,
    );
    const wishes = withDefaults(options, config, gpu.facts.kernels);
    const planned = planOpened(opened, gpu.facts.limits, options.weights ?? 'auto', wishes);
    const { spec } = planned;
    if (planned.plan.verdict === 'does-not-fit') {
      throw new OutOfBudget(
        `The model takes at least ${planned.plan.minimumBytes} bytes of GPU memory, the budget is ${planned.plan.budgetBytes}: raise gpuBytes, shorten contextLength, or load with weights: "q4"`,
        {
          totalBytes: planned.plan.minimumBytes,
          budgetBytes: planned.plan.budgetBytes,
        },
      );
    }
    const { homes, plan } = await allocateHomes(gpu, config, planned);
    progress.enter('weights', plan.downloadBytes);
    const { keeping, about: found } = await openKeeping(opened, planned, options);
    const about = remembered?.freshness === 'offline' ? { ...found, note: remembered.note } : found;
    cleanUp.push(() => keeping?.records.close());
    // Memory is for experts: everything else is on the GPU anyway.
    const dense = keeping?.tier === 'disk' ? new DenseRecords(gpu, keeping.records, plan.bytes.weights) : null;
    const uploader = new Uploader(gpu, (bytes) => progress.add(bytes), signal, dense);
    const specs = expertSpecs(spec);
    const fetcher = new ExpertFetcher({
      gpu,
      uploader,
      experts: specs,
      origin: source.origin ?? 'disk',
      cache: keeping,
    });
    const counts = specs.map((x) => x.count);
    const store = new ExpertStore({
      homes,
      experts: counts,
      arenas: plan.arenas,
      policy: createPolicy(
        options.policy ?? DEFAULT_POLICY,
        { layers: counts.length, experts: Math.max(0, ...counts) },
        keeping?.records.popularity ? { warm: keeping.records.popularity } : {},
      ),
      fill: fetcher.fill,
    });
    const { count, experts: all } = plan.slots;
    const isFull = plan.verdict !== 'streams' && count === all && !startsEarly(options.start, spec, plan);
    if (isFull) source.willReadAll?.();
    const weights = await uploader.model(spec, plan, homes, async (layer) => {
      // In order, one by one: most files are ordered so.
      const read = isFull ? store.experts[layer]! : 0;
      for (let e = 0; e < read; e++) await store.bring(layer, [e], { atLayer: layer, isKept: () => true, signal });
    });
    if (isFull) uploader.release();
    progress.enter('compile');
    const labels = approximations(approximate);
    const forward = await Forward.create(gpu, config, plan, weights, homes, {
      predict: !isFull,
      approximate: labels.length > 0,
    });
    const modes = new ModePicker(store.experts.length, options.mode ?? 'auto', await measureSync(gpu, forward.sampled));
    const monitor = new ExpertMonitor(store, plan, about, labels, () => keeping?.records.note ?? null, modes.syncMs);
    const session = await Session.open({
      gpu,
      forward,
      store,
      modes,
      approximate,
      isWatched: monitor.isWatched,
      onStep: (record) => {
        monitor.add(record);
        experts.onStep();
      },
    });
    const experts = new ExpertService({
      store,
      monitor,
      fetcher,
      experts: specs,
      dense,
      keeping,
      planned,
      plan,
      collects: options.collect ?? true,
      rerecord: () => session.rerecord(),
    });
    signal?.throwIfAborted();
    progress.enter('ready');
    experts.start();
    return new Model({ gpu, config, generation, endTokens: ends, session, text, experts });
  } catch (error) {
    gpu.dispose();
    for (const undo of cleanUp) await undo();
    throw error;
  }
}
