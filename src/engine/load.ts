/** source -> configs -> plan -> buffers -> Model: the one place that wires everything. */
import type { ModelConfig } from '../config/model-config.ts';
import { parameterCounts } from '../config/parameters.ts';
import { OutOfBudget } from '../errors.ts';
import type { KernelChoice } from '../gpu/device.ts';
import { Gpu } from '../gpu/gpu.ts';
import { endTokens } from '../text/end-tokens.ts';
import type { ByteSource } from '../weights/source.ts';
import { Forward } from './forward.ts';
import { Model } from './model.ts';
import { DEFAULT_DEVICE_LIMITS, openModel, planOpened, type PlanLimits } from './open.ts';
import { DEFAULT_CHUNK, type Plan, type PlanOptions } from './plan.ts';
import type { WeightsOption } from './precision.ts';
import { ProgressMeter, type LoadProgress } from './progress.ts';
import { Session } from './session.ts';
import { loadText } from './text.ts';
import { Uploader } from './upload.ts';

export interface LoadOptions extends PlanOptions {
  /** Default `auto`: as published if that fits `gpuBytes`, else 8 bits, else 4. */
  readonly weights?: WeightsOption | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Where WebGPU comes from; default `navigator.gpu`. */
  readonly gpu?: GPU | undefined;
  /** Use only WebGPU's guaranteed limits and no optional feature. */
  readonly defaultLimits?: boolean | undefined;
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
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<Plan> {
  const opened = await openModel(source, options.signal);
  return planOpened(opened, options.limits ?? DEFAULT_DEVICE_LIMITS, options.weights ?? 'auto', options).plan;
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
  progress.enter('open');
  try {
    const opened = await openModel(source, signal);
    const text = await loadText(source, opened.config.vocab, signal);
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
    const prefillChunk =
      options.prefillChunk ?? (gpu.facts.kernels === 'software' ? softwareChunk(opened.config) : undefined);
    const { spec, plan } = planOpened(opened, gpu.facts.limits, options.weights ?? 'auto', {
      ...options,
      prefillChunk,
    });
    if (plan.verdict === 'does-not-fit') {
      throw new OutOfBudget(
        `The model takes ${plan.totalBytes} bytes of GPU memory, the budget is ${plan.budgetBytes}: raise gpuBytes, shorten contextLength, or load with weights: "q4"`,
        {
          totalBytes: plan.totalBytes,
          budgetBytes: plan.budgetBytes,
        },
      );
    }
    progress.enter('weights', plan.downloadBytes);
    const weights = await new Uploader(gpu, (bytes) => progress.add(bytes), signal).model(spec, plan);
    progress.enter('compile');
    const forward = await Forward.create(gpu, config, plan, weights);
    const session = await Session.open(gpu, forward);
    signal?.throwIfAborted();
    progress.enter('ready');
    return new Model({ gpu, config, generation, endTokens: ends, plan, session, text });
  } catch (error) {
    gpu.dispose();
    throw error;
  }
}
