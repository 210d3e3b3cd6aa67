/** What of the Vercel AI SDK's `LanguageModelV3` is used here, by structure: the package itself is not needed. */

export type Json = null | string | number | boolean | Json[] | { [key: string]: Json | undefined };
export type JsonObject = { [key: string]: Json | undefined };
export type ProviderMetadata = Record<string, JsonObject>;
type ProviderOptions = Record<string, JsonObject> | undefined;

export type Warning = { type: 'unsupported'; feature: string; details?: string } | { type: 'other'; message: string };

/** Parts are told apart by `type`; those that are no text are refused. */
export interface PromptPart {
  readonly type: string;
  readonly text?: string;
  readonly toolCallId?: string;
  readonly toolName?: string;
  readonly input?: unknown;
  readonly output?: { readonly type: string; readonly value?: unknown; readonly reason?: string | undefined };
}
export interface PromptMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string | readonly PromptPart[];
}

export interface CallTool {
  readonly type: string;
  readonly name: string;
  readonly description?: string | undefined;
  readonly inputSchema?: unknown;
}

export interface CallOptions {
  readonly prompt: readonly PromptMessage[];
  readonly maxOutputTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly stopSequences?: readonly string[] | undefined;
  readonly topP?: number | undefined;
  readonly topK?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
  readonly responseFormat?:
    | { readonly type: 'text' }
    | { readonly type: 'json'; readonly schema?: unknown; readonly name?: string | undefined }
    | undefined;
  readonly seed?: number | undefined;
  readonly tools?: readonly CallTool[] | undefined;
  readonly toolChoice?:
    { readonly type: 'auto' | 'none' | 'required' } | { readonly type: 'tool'; readonly toolName: string } | undefined;
  readonly abortSignal?: AbortSignal | undefined;
  readonly headers?: Record<string, string | undefined> | undefined;
  readonly includeRawChunks?: boolean | undefined;
  readonly providerOptions?: ProviderOptions;
}

export interface CallUsage {
  inputTokens: { total: number; noCache: number; cacheRead: number; cacheWrite: undefined };
  outputTokens: { total: number; text: undefined; reasoning: undefined };
}
export interface CallFinish {
  unified: 'stop' | 'length' | 'tool-calls' | 'other';
  raw: string | undefined;
}
export interface ResponseMetadata {
  id: string;
  modelId: string;
  timestamp: Date;
}
export interface ToolCallPart {
  type: 'tool-call';
  toolCallId: string;
  toolName: string;
  /** JSON. */
  input: string;
}

type TextKind = 'text' | 'reasoning';
export type StreamPart =
  | { type: 'stream-start'; warnings: Warning[] }
  | ({ type: 'response-metadata' } & ResponseMetadata)
  | { type: `${TextKind}-start` | `${TextKind}-end`; id: string }
  | { type: `${TextKind}-delta`; id: string; delta: string; providerMetadata?: ProviderMetadata }
  | { type: 'tool-input-start'; id: string; toolName: string }
  | { type: 'tool-input-delta'; id: string; delta: string; providerMetadata?: ProviderMetadata }
  | { type: 'tool-input-end'; id: string }
  | ToolCallPart
  | { type: 'finish'; usage: CallUsage; finishReason: CallFinish; providerMetadata: ProviderMetadata }
  | { type: 'error'; error: unknown };

export type AnswerPart = { type: TextKind; text: string } | ToolCallPart;

export interface GenerateResult {
  content: AnswerPart[];
  finishReason: CallFinish;
  usage: CallUsage;
  providerMetadata: ProviderMetadata;
  response: ResponseMetadata;
  warnings: Warning[];
}

export interface WebmoeLanguageModel {
  readonly specificationVersion: 'v3';
  readonly provider: 'webmoe';
  readonly modelId: string;
  readonly supportedUrls: Record<string, RegExp[]>;
  doGenerate(options: CallOptions): Promise<GenerateResult>;
  doStream(options: CallOptions): Promise<{ stream: ReadableStream<StreamPart> }>;
}
