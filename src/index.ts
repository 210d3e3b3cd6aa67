/** webmoe: open Mixture-of-Experts language models in a browser tab, on WebGPU. */
import { load as loadSource, plan as planSource, type LoadOptions } from './engine/load.ts';
import type { Model } from './engine/model.ts';
import type { Plan } from './engine/plan.ts';
import { openStorage } from './engine/browser-storage.ts';
import { filesSource } from './weights/files-source.ts';
import { blockSource } from './weights/block-source.ts';
import { forwardSource } from './weights/forward-source.ts';
import { httpSource } from './weights/http-source.ts';
import type { ByteSource } from './weights/source.ts';

/** A URL of a folder with config.json and safetensors, the files of a folder that the visitor picked, or any byte source. */
export type ModelSource = string | URL | readonly File[] | ByteSource;

/**
 * Blocks of 2 MiB that an HTTP source keeps: with what the uploader holds, host memory stays well below the largest tensor plus 64 MB. A read
 * that jumps fetches a few milliseconds' worth of a fast link, less than the round trip costs.
 */
export const HTTP_BLOCKS = { blocks: 10, firstBytes: 128 * 1024 };

/** @param cache as in `fetch`: "no-store" where what is read is kept elsewhere */
export function toByteSource(source: ModelSource, cache?: RequestCache): ByteSource {
  if (typeof source === 'string' || source instanceof URL)
    return blockSource(forwardSource(httpSource(source, { cache })), HTTP_BLOCKS);
  return 'stream' in source ? source : filesSource(source);
}

/**
 * {@inheritDoc loadSource}
 * A model that comes over a network is kept in this browser's storage, unless `storage` says otherwise; null keeps nothing.
 */
export async function load(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  const isUrl = typeof source === 'string' || source instanceof URL;
  const storage = options.storage === undefined && isUrl ? await openStorage() : options.storage;
  return loadSource(toByteSource(source, storage?.root ? 'no-store' : undefined), { ...options, storage });
}

/** {@inheritDoc planSource} */
export const plan = (source: ModelSource, options?: Parameters<typeof planSource>[1]): Promise<Plan> =>
  planSource(toByteSource(source), options);

export { openStorage, type BrowserStorage } from './engine/browser-storage.ts';
export { checkSupport, type Support } from './engine/support.ts';
export { DEFAULT_CHUNK, DEFAULT_CONTEXT, DEFAULT_GPU_BYTES } from './engine/plan.ts';
export {
  DeviceCapability,
  DeviceLost,
  InvalidCheckpoint,
  InvalidRequest,
  OutOfBudget,
  QuotaExceeded,
  SourceError,
  StorageError,
  UnsupportedModel,
  WebmoeError,
} from './errors.ts';
export { filesSource } from './weights/files-source.ts';
export { httpSource } from './weights/http-source.ts';
export type {
  CacheReport,
  ExpertOrigin,
  ExpertStats,
  LayerEvent,
  LayerStats,
  StepEvent,
  StoreMode,
} from './engine/expert-stats.ts';
export type { ApproximateOptions } from './engine/approximate.ts';
export type { Storage } from './engine/keeping.ts';
export type { LoadOptions } from './engine/load.ts';
export type { ModeOption } from './engine/mode.ts';
export type { Hardware } from './engine/predict.ts';
export type { GeneratedToken, GenerateOptions, GenerateSummary } from './engine/generation.ts';
export type { Model } from './engine/model.ts';
export type { Plan, PlanOptions } from './engine/plan.ts';
export type { WeightsOption } from './engine/precision.ts';
export type { LoadProgress } from './engine/progress.ts';
export type { SamplingDefault } from './engine/sampling.ts';
export type { LayerRouting } from './engine/routing.ts';
export type { LogitsResult } from './engine/session.ts';
export type { ModelText, Prompt } from './engine/text.ts';
export type { ModelConfig } from './config/model-config.ts';
export type { ModelStorage, StoredModel, VerifyResult } from './weights/records/stored.ts';
export type { ByteSource } from './weights/source.ts';
