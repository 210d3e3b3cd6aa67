/** source -> configs, text, plan, storage: what a loaded model has on the host, whichever device it runs on. */
import type { ModelConfig } from '../config/model-config.ts';
import { parameterCounts } from '../config/parameters.ts';
import { OutOfBudget } from '../errors.ts';
import type { DeviceFacts, KernelChoice } from '../gpu/device.ts';
import type { ApproximateParams } from '../gpu/step.ts';
import { endTokens } from '../text/end-tokens.ts';
import type { MetadataSource } from '../weights/records/metadata-source.ts';
import type { SharedOptions } from '../weights/records/shared-records.ts';
import type { ByteSource } from '../weights/source.ts';
import { resolveApproximate } from './approximate.ts';
import type { ExpertStats } from './expert-stats.ts';
import { describingTurn, openKeeping, rememberedSource, type Keeping } from './keeping.ts';
import type { LoadOptions } from './load.ts';
import { openModel, planOpened, type OpenedModel, type PlanLimits, type PlannedModel } from './open.ts';
import { DEFAULT_CHUNK } from './plan-defaults.ts';
import type { PlanOptions } from './plan.ts';
import { suggestedDetails, suggestPlan } from './suggest.ts';
import { loadText, type ModelText } from './text.ts';

export interface PreparedModel {
  readonly source: ByteSource;
  readonly options: LoadOptions;
  /** The options with the defaults of this kind of device. */
  readonly wishes: LoadOptions;
  readonly limits: PlanLimits;
  readonly opened: OpenedModel;
  readonly text: ModelText | null;
  readonly endTokens: readonly number[];
  readonly approximate: ApproximateParams;
  readonly planned: PlannedModel;
  readonly keeping: Keeping | null;
  readonly storage: ExpertStats['storage'];
}

/** Multiplications of one submit on a software adapter: tens of seconds at most, for which stopping has to wait. */
const SOFTWARE_CHUNK_WORK = 14e9;

/** A power of two from 16 to the default, by the model's size. */
function softwareChunk(config: ModelConfig): number {
  const tokens = SOFTWARE_CHUNK_WORK / parameterCounts(config).active;
  return Math.min(DEFAULT_CHUNK, Math.max(16, 2 ** Math.floor(Math.log2(tokens))));
}

/** On a software adapter prompts go in shorter chunks, and nobody knows how fast it is. */
export function withDefaults<O extends PlanOptions>(options: O, config: ModelConfig, kernels: KernelChoice): O {
  if (kernels === 'gpu') return options;
  return { hardware: null, ...options, prefillChunk: options.prefillChunk ?? softwareChunk(config) };
}

/**
 * Everything about a model that no device holds. Its storage is open then; whoever takes it over closes it.
 * @param facts of the device that it is planned for
 * @param onWait told of bytes on disk while another tab gets the model
 * @throws InvalidCheckpoint, UnsupportedModel, OutOfBudget, SourceError; the signal's reason when aborted
 */
export async function prepareModel(
  source: ByteSource,
  options: LoadOptions,
  facts: DeviceFacts,
  onWait?: SharedOptions['onWait'],
): Promise<PreparedModel> {
  const approximate = resolveApproximate(options.approximate);
  const { opened, text, remembered } = await describe(source, options);
  const wishes = withDefaults(options, opened.config, facts.kernels);
  const planned = planFitting(opened, facts.limits, wishes);
  const { keeping, about } = await openKeeping(opened, planned, { ...options, onWait });
  const storage = remembered?.freshness === 'offline' ? { ...about, note: remembered.note } : about;
  return {
    source,
    options,
    wishes,
    limits: facts.limits,
    opened,
    text,
    endTokens: endsOf(opened, text),
    approximate,
    planned,
    keeping,
    storage,
  };
}

async function describe(
  source: ByteSource,
  { storage, signal, adapter, adapters }: LoadOptions,
): Promise<Pick<PreparedModel, 'opened' | 'text'> & { readonly remembered: MetadataSource | null }> {
  const turn = await describingTurn(source, storage, signal);
  try {
    const remembered = await rememberedSource(source, storage, signal);
    const described = remembered ?? source;
    const opened = await openModel(described, signal, adapter, adapters);
    const text = await loadText(described, opened.config.vocab, signal);
    await remembered?.save();
    return { opened, text, remembered };
  } finally {
    await turn?.release();
  }
}

function endsOf({ config, generation }: OpenedModel, text: ModelText | null): readonly number[] {
  const declared = {
    ...(generation.endTokens ? { generation: generation.endTokens } : {}),
    config: config.endTokens,
    tokenizerEnd: text?.endToken ?? null,
    vocab: config.vocab,
  };
  return endTokens(declared, text?.tokenizer ?? null);
}

function planFitting(opened: OpenedModel, limits: PlanLimits, wishes: LoadOptions): PlannedModel {
  const planned = planOpened(opened, limits, wishes.weights ?? 'auto', wishes);
  const { plan } = planned;
  if (plan.verdict !== 'does-not-fit') return planned;
  throw new OutOfBudget(
    `The model takes at least ${plan.minimumBytes} bytes of GPU memory, the budget is ${plan.budgetBytes}: raise gpuBytes, shorten contextLength, or load with weights: "q4"`,
    {
      totalBytes: plan.minimumBytes,
      budgetBytes: plan.budgetBytes,
      ...suggestedDetails(suggestPlan({ opened, limits, wishes, from: plan }, plan.budgetBytes)),
    },
  );
}
