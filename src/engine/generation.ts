/** What a request asks of a model, and what comes back, token by token. Everything but the signal and the callbacks can be cloned to a worker. */
import type { LayerRouting } from './routing.ts';
import type { SamplingOptions } from './sampling.ts';

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate; default: as many as the context has room for. */
  readonly maxTokens?: number;
  /** Generation ends before any of these appears in the text. */
  readonly stop?: string | readonly string[];
  /**
   * For chats: the last message is the assistant's and unfinished, and the model goes on from its end. `text` then holds what is new. The
   * message stands behind the template's generation prompt as it is, as it did while it was written.
   */
  readonly continueFinal?: boolean;
  /** Go on past the model's end tokens. */
  readonly ignoreEnd?: boolean;
  /** Ends generation with `finishReason: 'abort'`; the conversation stays usable. */
  readonly signal?: AbortSignal;
  /** Called while a long prompt is read. */
  readonly onPrompt?: (progress: { readonly done: number; readonly total: number }) => void;
}

export interface GeneratedToken {
  readonly id: number;
  /** Text that became certain with this token; empty while a character or a stop string is incomplete. */
  readonly text: string;
  readonly logprob: number;
  /** Experts of the step that produced the token, one entry a MoE layer, in rank order. */
  readonly routing: readonly LayerRouting[];
}

export interface GenerateSummary {
  readonly finishReason: 'stop' | 'length' | 'abort';
  readonly text: string;
  readonly promptTokens: number;
  /** Prompt tokens that were still in the cache from an earlier turn. */
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /** The seed that was used; give it again to repeat the answer. */
  readonly seed: number;
  readonly timeToFirstTokenMs: number;
  /** Of the tokens after the first. */
  readonly tokensPerSecond: number | null;
  /** What made the answer differ from the exact model, in words; empty: nothing. */
  readonly approximations: readonly string[];
}
