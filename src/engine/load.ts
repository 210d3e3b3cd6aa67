/** source -> configs -> plan -> buffers -> Model: the one place that wires everything. */
import { DeviceLost } from '../errors.ts';
import type { Arithmetic, KernelChoice } from '../gpu/device.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { openGpu } from '../gpu/open.ts';
import { sleep } from '../weights/retry.ts';
import type { ByteSource } from '../weights/source.ts';
import type { ApproximateOptions } from './approximate.ts';
import { rememberedSource, type KeepingOptions, type Storage } from './keeping.ts';
import type { ModeOption } from './mode.ts';
import { Model } from './model.ts';
import { DEFAULT_DEVICE_LIMITS, openModel, planOpened, type PlanLimits } from './open.ts';
import type { Plan, PlanOptions } from './plan.ts';
import type { WeightsOption } from './precision.ts';
import { prepareModel, withDefaults, type PreparedModel } from './prepare.ts';
import { ProgressMeter, type LoadProgress } from './progress.ts';
import { BACK_OFF_MS, Recovery, type Rebuild } from './recovery.ts';
import type { SpeculateOption } from './speculation/options.ts';
import type { Tuning } from './tuning.ts';
import { openRuntime, type Runtime, type RuntimeOptions } from './runtime.ts';

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
  /** A LoRA adapter (PEFT: adapter_config.json and adapter_model.safetensors), merged into the weights while they are read. */
  readonly adapter?: ByteSource | null | undefined;
  /** LoRA adapters by name, of which a request may choose one (its option `adapter`); on attention, feed-forwards, experts and an untied head: docs/formats.md. */
  readonly adapters?: Readonly<Record<string, ByteSource>> | undefined;
  /** Which expert leaves when another needs its slot: one of POLICY_NAMES. */
  readonly policy?: string | undefined;
  /** What requests get that do not say; default: guess where the measured time says that it pays, and not on a software adapter. */
  readonly speculate?: SpeculateOption | undefined;
  /** Steps that may be on the GPU behind the one whose token is waited for, 0 to 2; default 2, on a software adapter 0. */
  readonly runAhead?: number | undefined;
  /**
   * Measure the device for the choice of kernels, 200 ms at most, the first time that it runs this model; default true. `false`: what suits most
   * devices. A software adapter is never measured. Or the choice itself, or a part of it.
   */
  readonly tune?: boolean | Partial<Tuning> | undefined;
  /** Kernels for a GPU or for a software adapter; default: by what the adapter is. To compare, and to count. */
  readonly kernels?: KernelChoice | undefined;
  /** In what a GPU multiplies 4-bit and 8-bit weights with activations, int8 with a few tokens' only: see docs/performance-variants.md. Default f32; f16 needs an adapter with `shader-f16`. */
  readonly arithmetic?: Arithmetic | undefined;
}

/** What loading would do, from configs and tensor headers alone: no weight is read, no GPU is touched. */
export async function plan(
  source: ByteSource,
  options: PlanOptions & {
    readonly weights?: WeightsOption | undefined;
    readonly limits?: PlanLimits | undefined;
    /** As `DeviceFacts` has it; default: those for GPUs. */
    readonly kernels?: KernelChoice | undefined;
    /** Where an earlier load kept the model's description: what has not changed is read from there, without a network too. Default: nowhere. */
    readonly storage?: Storage | null | undefined;
    /** As `LoadOptions` has it. */
    readonly adapter?: ByteSource | null | undefined;
    /** As `LoadOptions` has it: what they keep on the GPU is `bytes.adapters`. */
    readonly adapters?: Readonly<Record<string, ByteSource>> | undefined;
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<Plan> {
  const remembered = await rememberedSource(source, options.storage, options.signal);
  const opened = await openModel(remembered ?? source, options.signal, options.adapter, options.adapters);
  const wishes = withDefaults(options, opened.config, options.kernels ?? 'gpu');
  return planOpened(opened, options.limits ?? DEFAULT_DEVICE_LIMITS, options.weights ?? 'auto', wishes).plan;
}

/**
 * Loads a model onto the GPU. On any failure, abort included, everything taken is given back. A device that is lost meanwhile, or later, is replaced.
 * @throws DeviceCapability, InvalidCheckpoint, UnsupportedModel, OutOfBudget, SourceError, DeviceLost; the signal's reason when aborted
 */
export async function load(source: ByteSource, options: LoadOptions = {}): Promise<Model> {
  const { gpu, defaultLimits, kernels, arithmetic } = options;
  const open = (): Promise<Gpu> => openGpu({ gpu, kernels, arithmetic, ...(defaultLimits ? { defaultLimits } : {}) });
  return loadOn(await open(), source, { ...options, reopen: open });
}

export interface LoadOnOptions extends Omit<LoadOptions, 'gpu' | 'defaultLimits' | 'kernels' | 'arithmetic'> {
  /** Opens a device in place of one that was lost; without, the model ends with its device. */
  readonly reopen?: (() => Promise<Gpu>) | undefined;
}

/** As `load`, on a device that is open already. The model owns `gpu` and disposes it: give it a `share()` to keep the device. */
export async function loadOn(gpu: Gpu, source: ByteSource, options: LoadOnOptions = {}): Promise<Model> {
  const { signal, reopen } = options;
  const progress = new ProgressMeter(options.onProgress ?? (() => undefined));
  progress.enter('open');
  const onWait = (present: number, total: number): void => progress.elsewhere(present, total);
  const prepared = await prepareModel(source, options, gpu.facts, onWait).catch((error: unknown) => {
    gpu.dispose();
    throw error;
  });
  try {
    const first = await firstRuntime(gpu, prepared, { progress, signal, reopen });
    const rebuild: Rebuild = (on, from, until) =>
      openRuntime(on, prepared, { progress: new ProgressMeter(() => undefined), signal: until, from });
    return new Model(prepared, new Recovery(first, reopen ?? null, rebuild));
  } catch (error) {
    await prepared.keeping?.records.close();
    throw error;
  }
}

interface FirstOptions extends RuntimeOptions {
  readonly reopen: LoadOnOptions['reopen'];
}

/** A device that is lost while the model loads is replaced, once. What was read and kept before is not fetched again. */
async function firstRuntime(gpu: Gpu, prepared: PreparedModel, { reopen, ...options }: FirstOptions): Promise<Runtime> {
  try {
    return await openRuntime(gpu, prepared, options);
  } catch (error) {
    if (!(error instanceof DeviceLost) || error.details.reason === 'destroyed' || !reopen) throw error;
    await sleep(BACK_OFF_MS[0], options.signal);
    return openRuntime(await reopen(), prepared, options);
  }
}
