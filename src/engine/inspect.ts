/** What a model is, from its configs and headers: family, parameters, formats, bytes by kind, fit for a budget. */
import { weighted } from '../config/experts.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { parameterCounts } from '../config/parameters.ts';
import { WebmoeError } from '../errors.ts';
import type { ByteSource } from '../weights/source.ts';
import { openModel, planOpened, type OpenedModel, type PlanLimits } from './open.ts';
import type { Plan, PlanOptions } from './plan.ts';
import type { Precision } from './precision.ts';

export interface Inspection {
  readonly family: string;
  readonly parameters: { readonly total: number; readonly active: number };
  readonly layers: number;
  readonly moeLayers: number;
  /** Of the first MoE layer; null for a dense model. */
  readonly experts: {
    readonly count: number;
    readonly perToken: number;
    readonly width: number;
    readonly shared: number;
  } | null;
  readonly hidden: number;
  readonly vocab: number;
  readonly maxContext: number;
  /** Tensors by what loading as-is does to them. */
  readonly formats: Plan['conversions'];
  readonly checkpointBytes: number;
  /** One entry a precision: its plan, or why there is none. */
  readonly fit: Readonly<
    Record<
      Precision,
      | Pick<Plan, 'verdict' | 'totalBytes' | 'fullBytes' | 'bytes' | 'slots' | 'mode' | 'tokensPerSecond'>
      | { readonly verdict: 'impossible'; readonly why: string }
    >
  >;
  readonly budgetBytes: number;
  readonly contextLength: number;
  readonly longRope: Plan['longRope'];
  /** Things in the checkpoint that are not used or look odd; never fatal. */
  readonly warnings: readonly string[];
}

function firstMoe(config: ModelConfig): Inspection['experts'] {
  const ffn = config.layers.map((l) => l.ffn).find((f) => f.kind === 'moe');
  return ffn ? { count: weighted(ffn), perToken: ffn.topK, width: ffn.width, shared: ffn.shared?.width ?? 0 } : null;
}

function unused({ checkpoint, names }: OpenedModel): string[] {
  const tensors = checkpoint.unasked().filter((name) => !names.ignored(name));
  if (tensors.length === 0) return [];
  const more = tensors.length > 3 ? ` and ${tensors.length - 3} more` : '';
  return [`tensors that nothing reads: ${tensors.slice(0, 3).join(', ')}${more}`];
}

/** @throws UnsupportedModel or InvalidCheckpoint when the model cannot run at all, naming why */
export async function inspect(
  source: ByteSource,
  limits: PlanLimits,
  options: PlanOptions & {
    readonly signal?: AbortSignal;
    /** As `LoadOptions` has them. */
    readonly adapter?: ByteSource | null | undefined;
    readonly adapters?: Readonly<Record<string, ByteSource>> | undefined;
  } = {},
): Promise<Inspection> {
  const opened = await openModel(source, options.signal, options.adapter, options.adapters);
  const { config } = opened;
  const asIs = planOpened(
    opened,
    { maxBufferSize: Infinity, maxStorageBufferBindingSize: Infinity },
    'as-is',
    options,
  ).plan;
  const fit = (precision: Precision): Inspection['fit'][Precision] => {
    try {
      const { verdict, totalBytes, fullBytes, bytes, slots, mode, tokensPerSecond } = planOpened(
        opened,
        limits,
        precision,
        options,
      ).plan;
      return { verdict, totalBytes, fullBytes, bytes, slots, mode, tokensPerSecond };
    } catch (error) {
      if (error instanceof WebmoeError) return { verdict: 'impossible', why: error.message };
      throw error;
    }
  };
  return {
    family: config.family,
    parameters: parameterCounts(config),
    layers: config.layers.length,
    moeLayers: config.layers.filter((l) => l.ffn.kind === 'moe').length,
    experts: firstMoe(config),
    hidden: config.hidden,
    vocab: config.vocab,
    maxContext: config.maxContext,
    formats: asIs.conversions,
    checkpointBytes: asIs.downloadBytes,
    fit: { 'as-is': fit('as-is'), q8: fit('q8'), q4: fit('q4') },
    budgetBytes: asIs.budgetBytes,
    contextLength: asIs.contextLength,
    longRope: asIs.longRope,
    warnings: [...opened.checkpoint.warnings, ...unused(opened)],
  };
}
