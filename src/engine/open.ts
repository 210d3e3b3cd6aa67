/** Reads what describes a model (configs and tensor headers, never weights) and plans it. */
import { readGenerationConfig, readModelConfig, type GenerationDefaults } from '../config/load.ts';
import { isEncoderAlone } from '../config/encoder-alone.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Json } from '../config/read.ts';
import { InvalidCheckpoint, OutOfBudget } from '../errors.ts';
import type { TensorNames } from '../families/family.ts';
import { ggufNames } from '../families/gguf-names.ts';
import { openAdapter, type Adapter } from '../weights/adapters/lora.ts';
import { openCheckpoint, type Checkpoint } from '../weights/checkpoint.ts';
import { ggufQuantization } from '../weights/formats/gguf.ts';
import { openGguf } from '../weights/gguf/checkpoint.ts';
import { readBytes, type ByteSource } from '../weights/source.ts';
import { textModel } from '../weights/text-model.ts';
import { bindAdapter, type BoundAdapter } from './adapters/bind.ts';
import { describeModel } from './describe.ts';
import type { ModelSpec } from './describe/specs.ts';
import { POOLING_FILE, readPooling, type Pooling } from './pooling.ts';
import { planModel, type Plan, type PlanOptions } from './plan.ts';
import type { Precision, WeightsOption } from './precision.ts';

export interface OpenedModel {
  readonly source: ByteSource;
  readonly config: ModelConfig;
  readonly names: TensorNames;
  readonly quantization: Json | null;
  readonly checkpoint: Checkpoint;
  readonly generation: GenerationDefaults;
  /** Of an encoder alone, where a file beside it says. */
  readonly pooling?: Pooling | undefined;
  readonly adapter: Adapter | null;
  /** Chosen per request, by name. */
  readonly adapters: ReadonlyMap<string, Adapter>;
}

/** No JSON file beside a model is larger than this; tokenizers are the largest. */
const MAX_TEXT_BYTES = 64 * 2 ** 20;

/** The text of a file, or null when there is none. */
export async function readText(source: ByteSource, file: string, signal?: AbortSignal): Promise<string | null> {
  const size = await source.size(file, signal);
  if (size === null) return null;
  if (size > MAX_TEXT_BYTES)
    throw new InvalidCheckpoint('limit', `${file} has ${size} bytes; at most ${MAX_TEXT_BYTES} are read`, {
      file,
      size,
    });
  const bytes = await readBytes(source, file, 0, size, signal);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new InvalidCheckpoint('config', `${file} is not UTF-8 text`, { file }, { cause });
  }
}

/** @throws InvalidCheckpoint, UnsupportedModel, SourceError */
export async function openModel(
  source: ByteSource,
  signal?: AbortSignal,
  adapter?: ByteSource | null,
  adapters: Readonly<Record<string, ByteSource>> = {},
): Promise<OpenedModel> {
  const text = await readText(source, 'config.json', signal);
  if (text === null)
    throw new InvalidCheckpoint('missing-file', `${source.label} has no config.json: a model folder needs one`, {
      file: 'config.json',
      source: source.label,
    });
  const { config, names, quantization, isNested } = readModelConfig(text);
  const gguf = ggufQuantization(quantization);
  const named = async ([name, from]: [string, ByteSource]): Promise<[string, Adapter]> => [
    name,
    await openAdapter(from, signal),
  ];
  const [generation, pooling, published, added, chosen] = await Promise.all([
    readText(source, 'generation_config.json', signal).then((t) => readGenerationConfig(t ?? '{}')),
    isEncoderAlone(config) ? readText(source, POOLING_FILE, signal).then(readPooling) : undefined,
    gguf ? openGguf(source, gguf.file, signal) : openCheckpoint(source, signal ? { signal } : {}),
    adapter ? openAdapter(adapter, signal) : null,
    Promise.all(Object.entries(adapters).map(named)),
  ]);
  const checkpoint = isNested ? textModel(published) : published;
  const called = gguf ? ggufNames(config, names, (tensor) => checkpoint.has(tensor)) : names;
  const found = { adapter: added, adapters: new Map(chosen) };
  return { source, config, names: called, quantization, checkpoint, generation, pooling, ...found };
}

export interface PlannedModel {
  readonly spec: ModelSpec;
  readonly plan: Plan;
  /** Chosen per request. */
  readonly adapters: readonly BoundAdapter[];
  /** The same model and precision with other wishes. */
  readonly replan: (changes: PlanOptions) => Plan;
}

/** What planning needs to know of a device; these are WebGPU's guaranteed minimums. */
export const DEFAULT_DEVICE_LIMITS = { maxStorageBufferBindingSize: 128 * 2 ** 20, maxBufferSize: 256 * 2 ** 20 };
export type PlanLimits = typeof DEFAULT_DEVICE_LIMITS;

/** An adapter that is merged into some of its modules only, above another. */
function mergedInto(modules: ReadonlySet<string>, added: Adapter, below: Adapter | null): Adapter {
  return {
    ...added,
    merge(matrix) {
      const base = below?.merge(matrix) ?? matrix;
      return modules.has(matrix.name) ? added.merge(base) : base;
    },
    unmerged: () => [],
  };
}

/**
 * The plan for one precision, or, when `weights` is `auto`, for the first of as-is, q8, q4 whose experts all fit; if none do, for the smallest,
 * whose experts are streamed.
 * An explicit precision is planned even when it does not fit: the verdict says so.
 * @throws OutOfBudget when `auto` finds nothing that fits
 */
export function planOpened(
  opened: OpenedModel,
  limits: PlanLimits,
  weights: WeightsOption,
  options: PlanOptions,
): PlannedModel {
  const { config, names, checkpoint, quantization, adapter } = opened;
  const bindingBytes = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  const attempt = (precision: Precision): PlannedModel => {
    const input = { config, names, checkpoint, quantization, precision, bindingBytes };
    const spec = describeModel({ ...input, adapter });
    const adapters = [...opened.adapters].map(([name, added]) =>
      bindAdapter(name, added, spec, (only) => describeModel({ ...input, adapter: mergedInto(only, added, adapter) })),
    );
    const replan = (changes: PlanOptions): Plan =>
      planModel({ config, spec, precision, bindingBytes, adapters, options: { ...options, ...changes } });
    return { spec, plan: replan({}), adapters, replan };
  };
  if (weights !== 'auto') return attempt(weights);
  const tried: string[] = [];
  let streams: PlannedModel | undefined;
  for (const precision of ['as-is', 'q8', 'q4'] as const) {
    try {
      const planned = attempt(precision);
      const { verdict, minimumBytes } = planned.plan;
      const isWished = verdict === 'streams' && options.expertsResident !== undefined;
      if (verdict === 'fits' || verdict === 'tight' || isWished) return planned;
      if (verdict === 'streams') streams = planned;
      tried.push(`${precision} takes at least ${minimumBytes} bytes`);
    } catch (error) {
      if (!(error instanceof OutOfBudget)) throw error;
      tried.push(`${precision}: ${error.message}`);
    }
  }
  if (streams) return streams;
  throw new OutOfBudget(`The model does not fit: ${tried.join('; ')}. Raise gpuBytes, or shorten contextLength`, {
    tried,
  });
}
