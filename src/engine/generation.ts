/** What a request asks of a model, and what comes back, token by token. Everything but the signal and the callbacks can be cloned to a worker. */
import type { RoutingLevel, RunRouting } from '../trace/run-routing.ts';
import type { Interventions } from './interventions.ts';
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
  /** Called while a long prompt is read. */
  readonly onPrompt?: (progress: { readonly done: number; readonly total: number }) => void;
  /** What the answer tells of its routing: docs/routing.md. Default `ids`. */
  readonly routing?: RoutingLevel;
  /** The summary also has the routing of the prompt's tokens: one readback more a chunk. Default false. */
  readonly promptRouting?: boolean;
  /** Computes the whole prompt, also what the cache holds of it: its routing then has no gaps. Default false. */
  readonly skipCache?: boolean;
  /** Changes the choice of experts, for this request: docs/routing.md. Default: nothing. */
  readonly interventions?: Interventions;
}

export interface GeneratedToken {
  readonly id: number;
  /** Text that became certain with this token; empty while a character or a stop string is incomplete. */
  readonly text: string;
  readonly logprob: number;
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
