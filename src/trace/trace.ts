/** A trace: which experts every token of a run took in every MoE layer. */

/** In `ids`: no expert, as in a last layer that ran for one token of the prompt, or in a layer with a smaller K. */
export const ABSENT = 0xffff;

/** Where an expert was when its token needed it; the index is what `origins` holds. */
export const ORIGINS = ['unknown', 'slot', 'prefetched', 'memory', 'disk', 'network'] as const;

/** In `tokens`: nobody recorded which token it was. */
export const UNKNOWN_TOKEN = -1;

export interface TraceModel {
  readonly name: string;
  readonly layers: number; // L, MoE layers only
  readonly experts: number; // E
  readonly topK: number; // K
  /** Of one expert of each layer, [L]. */
  readonly expertBytes: readonly number[];
}

/** One exact run of the model: a prompt, a chunk of one, or one decoded token. */
export interface TraceStep {
  readonly phase: 'prefill' | 'decode';
  /** Which conversation, from 0. A new one starts with an empty context, not with an empty cache. */
  readonly chat: number;
  /** Of its first token in the conversation. */
  readonly position: number;
  readonly tokens: number;
}

/** `published`: other people's counts or files; `simulation`: no model ran. */
export const PROVENANCES = ['live', 'recorded', 'published', 'simulation'] as const;
/** How a router's logits become the probabilities that choose. */
export const SCORINGS = ['softmax', 'sigmoid'] as const;

/** Where the numbers of a trace come from. Whoever shows them says so. */
export interface Provenance {
  readonly kind: (typeof PROVENANCES)[number];
  /** One sentence for people: which run, whose file, which licence. */
  readonly note: string;
  /** ISO 8601. */
  readonly date?: string;
  /** How the weights were kept (`q4`, `as published`, ...). */
  readonly weights?: string;
  /** Of the software that wrote it. */
  readonly version?: string;
}

/** One conversation or text; `TraceStep.chat` is its index. */
export interface TraceChat {
  readonly name: string;
  /** What kind of text it is (`code`, `poems`, ...); chats of one domain are compared with those of others. */
  readonly domain: string | null;
}

/** Of each step, [N]; NaN where nobody measured it. */
export interface TraceTiming {
  readonly ms: Float32Array;
  /** Of those, waiting for experts. */
  readonly stallMs: Float32Array;
  /** Read for missing experts, by where they came from. */
  readonly diskBytes: Float64Array;
  readonly networkBytes: Float64Array;
}

export interface Trace {
  readonly model: TraceModel;
  readonly steps: readonly TraceStep[];
  /** [T, L, K] in rank order, T over all steps; ABSENT at the end of a row where there are fewer. */
  readonly ids: Uint16Array;
  /** [T, L, K], 0 where absent. */
  readonly weights: Float32Array | null;
  /** [T, L, K], index into ORIGINS. */
  readonly origins: Uint8Array | null;

  // What views show beside the experts. Absent or null: nobody recorded it.
  /** Token ids, [T]; UNKNOWN_TOKEN where nobody recorded it. */
  readonly tokens?: Int32Array | null;
  /** What each token reads as, [T]; the pieces of a chat join to its text. */
  readonly texts?: readonly string[] | null;
  /** Of the routers, [T, L, E], its bias included; NaN where absent. */
  readonly logits?: Float32Array | null;
  /** How logits become the probabilities that choose: without it logits are shown as they are. */
  readonly scoring?: (typeof SCORINGS)[number] | null;
  /** Of the token that follows, [T]: the log-probability of the one that was drawn, NaN where unknown. */
  readonly logprobs?: Float32Array | null;
  readonly timing?: TraceTiming | null;
  readonly chats?: readonly TraceChat[] | null;
  /** Experts that every token takes beside the routed ones. */
  readonly sharedExperts?: number;
  readonly provenance?: Provenance | null;
}

export const tokensOf = (steps: readonly TraceStep[]): number => steps.reduce((n, s) => n + s.tokens, 0);
