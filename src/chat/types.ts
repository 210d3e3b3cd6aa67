/**
 * Requests and answers in the shape of OpenAI's chat completions, with what a Mixture-of-Experts model adds. Names are theirs, so that code written
 * for them runs here; docs/chat.md says which of their fields are supported.
 */
import type { GeneratedToken, GenerateOptions, GenerateSummary } from '../engine/generation.ts';

type Optional<T> = T | null | undefined;

/** `text` parts only; anything else is refused by name. */
export interface ContentPart {
  readonly type: string;
  readonly text?: string | undefined;
}
export type Content = string | readonly ContentPart[];

export interface ToolCall {
  id: string;
  type: 'function';
  /** `arguments` is what the model wrote, usually a JSON object: check it before use. */
  function: { name: string; arguments: string };
}

export interface SystemMessage {
  readonly role: 'system' | 'developer';
  readonly content: Content;
  readonly name?: string | undefined;
}
export interface UserMessage {
  readonly role: 'user';
  readonly content: Content;
  readonly name?: string | undefined;
}
export interface AssistantMessage {
  readonly role: 'assistant';
  readonly content?: Optional<Content>;
  readonly name?: string | undefined;
  readonly refusal?: Optional<string>;
  /** Given back to templates that want the thoughts of earlier turns. */
  readonly reasoning_content?: Optional<string>;
  readonly tool_calls?: Optional<readonly Readonly<ToolCall>[]>;
}
export interface ToolMessage {
  readonly role: 'tool';
  readonly content: Content;
  readonly tool_call_id: string;
}
export type Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage;

export interface FunctionDefinition {
  readonly name: string;
  readonly description?: string | undefined;
  /** A JSON Schema of an object. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined;
  readonly strict?: Optional<boolean>;
}
export interface Tool {
  readonly type: 'function';
  readonly function: FunctionDefinition;
}
export type ToolChoice =
  'none' | 'auto' | 'required' | { readonly type: 'function'; readonly function: { readonly name: string } };

export type ResponseFormat =
  | { readonly type: 'text' }
  | { readonly type: 'json_object' }
  | {
      readonly type: 'json_schema';
      readonly json_schema: {
        readonly name: string;
        readonly description?: string | undefined;
        readonly schema?: Readonly<Record<string, unknown>> | undefined;
        readonly strict?: Optional<boolean>;
      };
    };

/** What a request asks of the experts, and of how they are run. With it, every token's chunk carries `moe`. */
export const MOE_KEYS = ['routing', 'promptRouting', 'skipCache', 'speculate', 'interventions'] as const;
export type MoeRequest = Pick<GenerateOptions, (typeof MOE_KEYS)[number]>;

export interface ChatRequest {
  readonly messages: readonly Message[];
  /** Accepted and not looked at: the model is the one that was loaded. */
  readonly model?: string | undefined;
  readonly stream?: Optional<boolean>;
  readonly stream_options?: Optional<{ readonly include_usage?: boolean | undefined }>;
  /** Most tokens to generate, thoughts and tool calls included. */
  readonly max_completion_tokens?: Optional<number>;
  /** The older name. */
  readonly max_tokens?: Optional<number>;
  readonly stop?: Optional<string | readonly string[]>;
  readonly seed?: Optional<number>;
  readonly temperature?: Optional<number>;
  readonly top_p?: Optional<number>;
  readonly top_k?: Optional<number>;
  readonly min_p?: Optional<number>;
  readonly frequency_penalty?: Optional<number>;
  readonly presence_penalty?: Optional<number>;
  readonly repetition_penalty?: Optional<number>;
  /** By token id: -100 bans, 100 forces. */
  readonly logit_bias?: Optional<Readonly<Record<string, number>>>;
  readonly logprobs?: Optional<boolean>;
  /** 0 to 20; needs `logprobs`. */
  readonly top_logprobs?: Optional<number>;
  /** Choices, one after another; choice i uses seed + i. */
  readonly n?: Optional<number>;
  readonly tools?: Optional<readonly Tool[]>;
  readonly tool_choice?: Optional<ToolChoice>;
  readonly parallel_tool_calls?: Optional<boolean>;
  readonly response_format?: Optional<ResponseFormat>;
  /** Handed to the chat template as the variable of that name. */
  readonly reasoning_effort?: Optional<string>;
  /** Variables of the chat template, such as `enable_thinking`. */
  readonly chat_template_kwargs?: Optional<Readonly<Record<string, unknown>>>;
  /** The last message is the assistant's and unfinished: the answer is what follows it. As vLLM has it. */
  readonly continue_final_message?: Optional<boolean>;
  /** The opposite of `continue_final_message`; need not be given. */
  readonly add_generation_prompt?: Optional<boolean>;
  readonly moe?: Optional<MoeRequest>;
  /** The loaded adapter that answers: `adapters` of `load`. */
  readonly adapter?: Optional<string>;
  /** Accepted and ignored, as is `metadata`: nothing leaves the machine. */
  readonly user?: Optional<string>;
  readonly metadata?: Optional<Readonly<Record<string, string>>>;
}
export type StreamingRequest = ChatRequest & { readonly stream: true };
export type WholeRequest = ChatRequest & { readonly stream?: false | null | undefined };

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
}

export type FinishReason = 'stop' | 'length' | 'tool_calls';

export interface TopLogprob {
  token: string;
  /** Of the token alone, which may be a part of a character. */
  bytes: number[] | null;
  /** Natural logarithm. */
  logprob: number;
}
export interface TokenLogprob extends TopLogprob {
  top_logprobs: TopLogprob[];
}
export interface Logprobs {
  content: TokenLogprob[] | null;
  refusal: null;
}

export interface Usage {
  prompt_tokens: number;
  /** Of all choices together. */
  completion_tokens: number;
  total_tokens: number;
  /** Prompt tokens that were in the KV cache already. */
  prompt_tokens_details: { cached_tokens: number };
  /** Of the first choice. */
  extra: { time_to_first_token_ms: number; decode_tokens_per_second: number | null };
}

/** Of one generated token: what `generate` gives. */
export type MoeToken = Pick<GeneratedToken, 'id' | 'logprob' | 'routing'>;
export interface MoeReport {
  /** In order; over all chunks of a choice, every token once. */
  tokens: MoeToken[];
  /** At the end of a choice: what `generate` returned of routing, interventions and approximations. */
  summary?: Pick<GenerateSummary, 'routing' | 'interventions' | 'approximations'>;
}

export interface AssistantAnswer {
  role: 'assistant';
  /** null when there is none beside tool calls. */
  content: string | null;
  refusal: null;
  /** What a template marks as thoughts. */
  reasoning_content?: string;
  tool_calls?: ToolCall[];
}

export interface Choice {
  index: number;
  message: AssistantAnswer;
  finish_reason: FinishReason;
  logprobs: Logprobs | null;
  /** Give it again to repeat this choice. */
  seed: number;
  moe?: MoeReport;
}

export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  /** Unix time, seconds. */
  created: number;
  model: string;
  choices: Choice[];
  usage: Usage;
}

export interface ToolCallDelta {
  index: number;
  id?: string;
  type?: 'function';
  function?: { name?: string; arguments?: string };
}
export interface Delta {
  role?: 'assistant';
  content?: string;
  reasoning_content?: string;
  tool_calls?: ToolCallDelta[];
}
export interface ChunkChoice {
  index: number;
  delta: Delta;
  finish_reason: FinishReason | null;
  logprobs?: Logprobs | null;
  /** On the last chunk of the choice. */
  seed?: number;
  moe?: MoeReport;
}
export interface ChatCompletionChunk {
  id: string;
  object: 'chat.completion.chunk';
  created: number;
  model: string;
  /** One choice; none in the chunk with the usage. */
  choices: ChunkChoice[];
  /** With `include_usage`: null but in the last chunk. */
  usage?: Usage | null;
}

/** Chunks as they are pulled: nothing is computed ahead. Leaving the loop ends the generation. */
export interface ChatStream extends AsyncIterable<ChatCompletionChunk> {
  /** Ends the generation and the loop, without an error. Aborting the request's signal ends the loop by throwing the signal's reason. */
  abort(): void;
}

export interface CreateCompletion {
  (request: StreamingRequest, options?: RequestOptions): Promise<ChatStream>;
  (request: WholeRequest, options?: RequestOptions): Promise<ChatCompletion>;
  (request: ChatRequest, options?: RequestOptions): Promise<ChatCompletion | ChatStream>;
}

export interface Chat {
  readonly completions: {
    /**
     * @throws InvalidRequest naming the field that is wrong or not supported
     * @throws the signal's reason when it aborts
     */
    readonly create: CreateCompletion;
  };
}
