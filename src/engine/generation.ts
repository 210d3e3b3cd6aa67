/** What a request asks of a model, and what comes back, token by token. Everything but the signal and the callbacks can be cloned to a worker. */
import type { Constraint } from '../text/grammar/index.ts';
import type { PromptChunk, RoutingLevel, RunRouting } from '../trace/run-routing.ts';
import type { Interventions } from './interventions.ts';
import type { LayerRouting } from './routing.ts';
import type { SamplingOptions } from './sampling.ts';
import type { SpeculateOption } from './speculation/options.ts';

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
  /**
   * Added to the logits of these token ids, from -100 to 100, before penalties and temperature. -100 bans a token; 100 bans all tokens but those
   * with 100. A constraint comes first: where they would leave none of the tokens that it allows, they are set aside.
   */
  readonly logitBias?: Readonly<Record<number, number>>;
  /** Each token comes with so many of the likeliest, at most 20. */
  readonly topLogprobs?: number;
  /** What the answer must look like; it ends with `finishReason: 'stop'` when it is complete. */
  readonly constraint?: Constraint;
  /** What the chat template sees beside the messages: its `tools`, and variables such as `enable_thinking`. Strings in it count as user text. */
  readonly template?: { readonly tools?: readonly unknown[]; readonly [variable: string]: unknown };
  /** Special tokens of the answer, its end tokens apart, appear in its text. Default: they do not. */
  readonly keepSpecial?: boolean;
  /** Called while a long prompt is read. */
  readonly onPrompt?: (progress: { readonly done: number; readonly total: number }) => void;
  /** What the answer tells of its routing: docs/routing.md. Default `ids`. */
  readonly routing?: RoutingLevel;
  /** The summary also has the routing of the prompt's tokens: one readback more a chunk. Default false. */
  readonly promptRouting?: boolean;
  /**
   * Called with the routing of each chunk of the prompt when it was read, before the first token of the answer comes; at the levels `ids` and `logits`.
   * One readback more a chunk. What came from the cache is not among it.
   */
  readonly onPromptRouting?: (chunk: PromptChunk) => void;
  /** Computes the whole prompt, also what the cache holds of it: its routing then has no gaps. Default false. */
  readonly skipCache?: boolean;
  /** Guesses of several tokens at a time, checked in one step: docs/speculation.md. The answer is the same. Default: as the model was loaded. */
  readonly speculate?: SpeculateOption;
  /** Changes the choice of experts, for this request: docs/routing.md. Default: nothing. */
  readonly interventions?: Interventions;
  /** Of a model that translates: the language of the answer, as the tokenizer's code (`deu_Latn`) or its id. Default: as the checkpoint says. */
  readonly targetLanguage?: string | number;
  /** The language of the text, as such a code. Default: the one that the tokenizer puts beside every text. */
  readonly sourceLanguage?: string;
  /** The name of a loaded adapter (`adapters` of `load`) that this request runs under. Default and null: none. */
  readonly adapter?: string | null;
}

export interface TokenLogprob {
  readonly id: number;
  /** Natural logarithm of its probability under the plain softmax of the model's logits. */
  readonly logprob: number;
  /** As in `GeneratedToken`. */
  readonly bytes: Uint8Array;
}

export interface GeneratedToken {
  readonly id: number;
  /** Text that became certain with this token; empty while a character or a stop string is incomplete. */
  readonly text: string;
  /** Natural logarithm of its probability under the plain softmax of the model's logits, whatever bias, penalties and temperature made of them. */
  readonly logprob: number;
  /** What the token stands for in running text, maybe a part of a character; empty for control tokens, and where the tokenizer gives tokens no bytes of their own. */
  readonly bytes?: Uint8Array;
  /** The likeliest tokens, likeliest first, the lower id of equals; as many as `topLogprobs` asked for. */
  readonly topLogprobs?: readonly TokenLogprob[];
  /** First token of an answer to a chat only: how the prompt's text ends, 64 characters at most, special tokens included. */
  readonly promptTail?: string;
  /** Experts of the step that produced the token, one entry a MoE layer, in rank order; empty at the levels `off` and `counts`. */
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
  /** What the request changed in the choice of experts, in words; empty: nothing. */
  readonly interventions?: readonly string[];
  /** Always there when a model of this library answered. */
  readonly routing?: RunRouting;
}
