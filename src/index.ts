/** webmoe: open Mixture-of-Experts language models in a browser tab, on WebGPU. */
import { load as loadSource, plan as planSource, type LoadOptions } from './engine/load.ts';
import type { Model } from './engine/model.ts';
import type { Plan } from './engine/plan.ts';
import { openStorage } from './engine/browser-storage.ts';
import { isRemote, openSource, sourceName, type ModelSource } from './engine/open-source.ts';
import { checkSupport } from './engine/support.ts';
import { createChat } from './chat/chat.ts';
import { modelSource } from './chat/model-source.ts';
import { openChatWith, type OpenChatOptions, type OpenedChat } from './remote/open-chat.ts';

/**
 * {@inheritDoc loadSource}
 * A model that comes over a network is kept in this browser's storage, unless `storage` says otherwise; null keeps nothing.
 */
export async function load(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  const storage = options.storage === undefined && isRemote(source) ? await openStorage() : options.storage;
  return loadSource(await openSource(source, { storage, signal: options.signal }), { ...options, storage });
}

/** {@inheritDoc planSource} */
export const plan = async (source: ModelSource, options: Parameters<typeof planSource>[1] = {}): Promise<Plan> =>
  planSource(await openSource(source, { signal: options.signal }), options);

/**
 * A chat that the model on this computer answers where it runs, else a server: `side` and `why` tell which.
 * {@inheritDoc openChatWith}
 */
export const openChat = ({
  local,
  remote,
  prefer,
  ...options
}: OpenChatOptions<ModelSource> & LoadOptions): Promise<OpenedChat<Model>> =>
  openChatWith(
    {
      checkSupport: ({ gpu }: LoadOptions) => checkSupport(gpu ? { gpu } : {}),
      async load(source: ModelSource, loadOptions: LoadOptions) {
        const model = await load(source, loadOptions);
        return { model, chat: createChat(modelSource(model, sourceName(source))) };
      },
    },
    { local, remote, prefer },
    options,
  );

export { models, openStorage, type BrowserStorage } from './engine/browser-storage.ts';
export { openSource, type ModelSource } from './engine/open-source.ts';
export { createChat } from './chat/chat.ts';
export { checkSupport, type Support } from './engine/support.ts';
export { DEFAULT_CHUNK, DEFAULT_CONTEXT, DEFAULT_GPU_BYTES } from './engine/plan.ts';
export {
  DeviceCapability,
  DeviceLost,
  InvalidCheckpoint,
  InvalidRequest,
  OutOfBudget,
  QuotaExceeded,
  RemoteError,
  SourceError,
  StorageError,
  UnsupportedModel,
  WebmoeError,
} from './errors.ts';
export { filesSource } from './weights/files-source.ts';
export { httpSource } from './weights/http-source.ts';
export type { ChatSource } from './chat/source.ts';
export type {
  Chat,
  ChatCompletion,
  ChatCompletionChunk,
  ChatRequest,
  ChatStream,
  Message,
  RequestOptions,
  Tool,
  ToolCall,
} from './chat/types.ts';
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
export type { StoredModels, VerifyOptions } from './engine/models.ts';
export type { LoadOptions } from './engine/load.ts';
export type { ModeOption } from './engine/mode.ts';
export type { Hardware } from './engine/predict.ts';
export type { EmbedOptions } from './engine/embedding.ts';
export type { GeneratedToken, GenerateOptions, GenerateSummary, TokenLogprob } from './engine/generation.ts';
export type { Model } from './engine/model.ts';
export type { Plan, PlanOptions } from './engine/plan.ts';
export type { WeightsOption } from './engine/precision.ts';
export type { LoadProgress } from './engine/progress.ts';
export type { LayerRouting } from './engine/routing.ts';
export type { LogitsResult } from './engine/session.ts';
export type { ModelText, Prompt } from './engine/text.ts';
export type { Constraint, JsonSchema } from './text/grammar/index.ts';
export type { ModelConfig } from './config/model-config.ts';
export type { ModelStorage, StoredModel, VerifyResult } from './weights/records/stored.ts';
export { connect, type RemoteModel, type RemoteModelInfo } from './remote/connect.ts';
export type { RemoteOptions } from './remote/client.ts';
export type { OpenChatOptions, OpenedChat } from './remote/open-chat.ts';
export type { AnyChat, AnyChoice, AnyChunk, AnyCompletion, AnyStream, AnyUsage } from './remote/types.ts';
export type { HubModel } from './weights/hub/hub-model.ts';
export type { ByteSource } from './weights/source.ts';
