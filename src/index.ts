/** webmoe: open Mixture-of-Experts language models in a browser tab, on WebGPU. */
import type { plan as planSource } from './engine/load.ts';
import type { Plan } from './engine/plan.ts';
import { checkSupport } from './engine/support.ts';
import type { ModelSource } from './engine/model-source.ts';
import type { OpenSourceOptions } from './engine/open-source.ts';
import { openChatWith, type OpenChatOptions, type OpenedChat } from './remote/open-chat.ts';
import { absolute } from './surface/absolute.ts';
import { load, type LoadOptions } from './surface/load.ts';
import type { Model } from './surface/model.ts';
import type { ByteSource } from './weights/source.ts';

/**
 * The bytes of a model's files. A Hub is asked which commit the revision stands for, and for its list of files; nothing else is.
 * @throws InvalidRequest, SourceError, UnsupportedModel
 */
export async function openSource(source: ModelSource, options: OpenSourceOptions = {}): Promise<ByteSource> {
  const opening = await import('./engine/open-source.ts'); // not at the top: as below
  return opening.openSource(source, options);
}

/**
 * A GGUF file of a byte source of your own as the folder that it was made from: `load(await ggufSource(source, 'name.gguf'))`.
 * @throws InvalidCheckpoint for a name that is none of a plain file
 */
export async function ggufSource(source: ByteSource, file: string): Promise<ByteSource> {
  const gguf = await import('./weights/gguf/gguf-source.ts');
  return gguf.ggufSource(source, file);
}

/**
 * What loading would do, from configs and tensor headers alone: no weight is read, no GPU is touched.
 * @throws UnsupportedModel, InvalidCheckpoint, SourceError; the signal's reason
 */
export async function plan(source: ModelSource, options: Parameters<typeof planSource>[1] = {}): Promise<Plan> {
  // Not at the top: a page whose engine is in a worker needs none of its own until it asks for a plan.
  const engine = await import('./engine/load.ts');
  const { signal, storage } = options;
  return engine.plan(await openSource(absolute(source), { signal, storage }), options);
}

/**
 * A chat that the model on this computer answers where it runs, else a server: `side` and `why` tell which.
 * @throws InvalidRequest when neither side is given; what `load` throws, but for a model that does not run here when there is a server: then that one answers
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
        return { model, chat: model.chat };
      },
    },
    { local, remote, prefer },
    options,
  );

export { load, type LoadOptions } from './surface/load.ts';
export { models, openStorage } from './surface/page-storage.ts';
export type { BrowserStorage } from './engine/browser-storage.ts';
export type { ModelSource } from './engine/model-source.ts';
export { createChat } from './chat/chat.ts';
export { checkSupport, type Support } from './engine/support.ts';
export { DEFAULT_CHUNK, DEFAULT_CONTEXT, DEFAULT_GPU_BYTES } from './engine/plan-defaults.ts';
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
  WorkerLost,
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
export type { Interventions } from './engine/interventions.ts';
export type { ApproximateOptions } from './engine/approximate.ts';
export type { Storage } from './engine/keeping.ts';
export type { StoredModels, VerifyOptions } from './engine/models.ts';
export type { ModeOption } from './engine/mode.ts';
export type { Hardware } from './engine/predict.ts';
export type { EmbedOptions } from './engine/embedding.ts';
export type { Pooling } from './engine/pooling.ts';
export type { LabelOptions, Labels, TokenLabel } from './engine/labelling.ts';
export type { LabelledSpan } from './engine/spans.ts';
export type { GeneratedToken, GenerateOptions, GenerateSummary, TokenLogprob } from './engine/generation.ts';
export type { Plan, PlanOptions } from './engine/plan.ts';
export type { KvFormat } from './config/kv-format.ts';
export type { RequestsOptions, RequestsPlan } from './engine/serving/sizes.ts';
export type { WeightsOption } from './engine/precision.ts';
export type { FileProgress, LoadProgress } from './engine/progress.ts';
export type { RecoveryEvent } from './engine/recovery.ts';
export type { SamplingDefault } from './engine/sampling.ts';
export type { LayerRouting } from './engine/routing.ts';
export type { LogitsResult } from './engine/scoring.ts';
export type { Prompt } from './engine/text.ts';
export type { Constraint, JsonSchema } from './text/grammar/index.ts';
export type { PromptChunk, RoutedTokens, RoutingLevel, RunRouting } from './trace/run-routing.ts';
export type { ModelConfig } from './config/model-config.ts';
export type { ModelStorage, StoredModel, VerifyResult } from './weights/records/stored.ts';
export { connect, type RemoteModel, type RemoteModelInfo } from './remote/connect.ts';
export type { RemoteOptions } from './remote/client.ts';
export type { OpenChatOptions, OpenedChat } from './remote/open-chat.ts';
export type { AnyChat, AnyChoice, AnyChunk, AnyCompletion, AnyStream, AnyUsage } from './remote/types.ts';
export type { HubModel } from './weights/hub/hub-model.ts';
export type { ByteSource } from './weights/source.ts';
export type { LostDevice } from './surface/calls.ts';
export type { RunsIn } from './surface/link.ts';
export type { Model } from './surface/model.ts';
export type { ModelTemplate, ModelTokenizer } from './surface/model-text.ts';
export type { WorkerOption } from './surface/worker/find-worker.ts';
