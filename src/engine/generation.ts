/** What a request asks of a model, and what comes back, token by token. Everything but the signal and the callbacks can be cloned to a worker. */
import type { Constraint } from '../text/grammar/constraint.ts';
import type { LayerRouting } from './routing.ts';
import type { SamplingOptions } from './sampling.ts';

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate; default: as many as the context has room for. */
  readonly maxTokens?: number;
  /** Generation ends before any of these appears in the text. */
  readonly stop?: string | readonly string[];
  /** Go on past the model's end tokens. */
  readonly ignoreEnd?: boolean;
  /** Ends generation with `finishReason: 'abort'`; the conversation stays usable. */
  readonly signal?: AbortSignal;
  /** Added to the logits of these token ids: -100 bans, 100 forces. */
  readonly logitBias?: Readonly<Record<number, number>>;
  /** How many of the likeliest tokens each token comes with, at most 20. */
  readonly topLogprobs?: number;
  /** What the answer must look like. */
  readonly constraint?: Constraint;
  /** How much of the routing is read back. */
  readonly routing?: 'off' | 'counts' | 'ids' | 'logits';
  readonly interventions?: Interventions;
  /** What the chat template sees beside the messages: its `tools`, and variables such as `enable_thinking`. Strings in it count as user text. */
  readonly template?: { readonly tools?: readonly unknown[]; readonly [variable: string]: unknown };
  /** Special tokens of the answer, its end tokens apart, appear in its text. Default: they do not. */
  readonly keepSpecial?: boolean;
  /** Called while a long prompt is read. */
  readonly onPrompt?: (progress: { readonly done: number; readonly total: number }) => void;
}

/** Changes of what the routers choose; a layer counts MoE layers only. */
export interface Interventions {
  readonly mask?: readonly (readonly [layer: number, expert: number])[];
  readonly force?: readonly (readonly [layer: number, expert: number])[];
  readonly topK?: number | readonly number[];
  readonly routerBias?: readonly (readonly [layer: number, expert: number, bias: number])[];
}

export interface TokenLogprob {
  readonly id: number;
  readonly logprob: number;
  readonly bytes: Uint8Array;
}

export interface GeneratedToken {
  readonly id: number;
  /** Text that became certain with this token; empty while a character or a stop string is incomplete. */
  readonly text: string;
  readonly logprob: number;
  /** What the token stands for: maybe a part of a character. */
  readonly bytes?: Uint8Array;
  /** When asked for: the likeliest first. */
  readonly topLogprobs?: readonly TokenLogprob[];
  /** First token of an answer to a chat only: how the prompt's text ends, 64 characters at most, special tokens included. */
  readonly promptTail?: string;
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
  readonly routing?: unknown;
  readonly interventions?: readonly string[];
}
