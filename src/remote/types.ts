/** Chat completions from somewhere else: as OpenAI's, without what only our own engine tells. */
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatRequest,
  Choice,
  ChunkChoice,
  RequestOptions,
  StreamingRequest,
  Usage,
  WholeRequest,
} from '../chat/types.ts';

export type AnyUsage = Pick<Usage, 'prompt_tokens' | 'completion_tokens' | 'total_tokens'> & Partial<Usage>;

/** `finish_reason` may be another server's own. */
export type AnyChoice = Omit<Choice, 'seed' | 'finish_reason' | 'logprobs'> &
  Partial<Pick<Choice, 'seed' | 'logprobs'>> & { readonly finish_reason: string | null };
export type AnyChunkChoice = Omit<ChunkChoice, 'finish_reason'> & { readonly finish_reason: string | null };

export type AnyCompletion = Omit<ChatCompletion, 'choices' | 'usage'> & {
  readonly choices: readonly AnyChoice[];
  readonly usage?: AnyUsage | undefined;
};
export type AnyChunk = Omit<ChatCompletionChunk, 'choices' | 'usage'> & {
  readonly choices: readonly AnyChunkChoice[];
  readonly usage?: AnyUsage | null;
};

/** As `ChatStream`: leaving the loop, `abort()` or the request's signal ends the answer at the server. */
export interface AnyStream extends AsyncIterable<AnyChunk> {
  abort(): void;
}

/** What a local model's `chat` and a remote one's have in common: code written for it runs with both. */
export interface AnyChat {
  readonly completions: {
    readonly create: {
      (request: StreamingRequest, options?: RequestOptions): Promise<AnyStream>;
      (request: WholeRequest, options?: RequestOptions): Promise<AnyCompletion>;
      (request: ChatRequest, options?: RequestOptions): Promise<AnyCompletion | AnyStream>;
    };
  };
}
