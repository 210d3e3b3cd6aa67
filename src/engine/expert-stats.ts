/** What the expert store tells: one snapshot for pages that poll, one event a step for those that listen. */

export type StoreMode = 'resident' | 'optimistic' | 'lockstep';

/** Where an expert's bytes were when a token needed it. `slot`: on the GPU; `prefetched`: brought there by a guess and used for the first time. */
export type ExpertOrigin = 'slot' | 'prefetched' | 'memory' | 'disk' | 'network';

/** One exact step of the model: a chunk of a prompt, or a token. */
export interface StepEvent {
  readonly phase: 'prefill' | 'decode';
  readonly mode: StoreMode;
  /** Position of the first of `tokens` tokens. */
  readonly position: number;
  readonly tokens: number;
  readonly ms: number;
  /** Of `ms`, waiting for experts. */
  readonly stallMs: number;
  /** Passes beyond the first, of an optimistic step. */
  readonly replays: number;
  /** Bytes read into slots, by tier. */
  readonly bytes: Readonly<Record<'memory' | 'disk' | 'network', number>>;
  /** One entry a MoE layer. */
  readonly layers: readonly LayerEvent[];
  /** Which options made this step differ from the exact model; empty: exact. */
  readonly approximations: readonly string[];
  /** What the request changed in the choice of experts, in words; empty: nothing. */
  readonly interventions?: readonly string[];
}

export interface LayerEvent {
  /** Distinct experts that the layer needed. */
  readonly needed: number;
  readonly hits: number;
  /** Level `ids` only: [tokens, K] ids and weights, in rank order, and where each expert came from. */
  readonly ids?: Uint32Array;
  readonly weights?: Float32Array;
  readonly origins?: readonly ExpertOrigin[];
}

export interface LayerStats {
  readonly experts: number; // E
  /** Experts of this layer on the GPU now. */
  readonly resident: number;
  readonly hitRate: number;
  /** Share of a token's experts that the token before had used, too. */
  readonly overlap: number;
  /** How well the layer before predicts this one; null where it does not, or nothing was decoded yet. */
  readonly prediction: LayerPrediction | null;
}

export interface LayerPrediction {
  readonly tokens: number;
  /** Share of the experts used that are among its best K: recall and precision in one. */
  readonly recall: number;
  /** The same among all it names, K + 2; and the share of those that were used. */
  readonly wideRecall: number;
  readonly widePrecision: number;
}

/** What more slots would bring. */
export interface GhostPoint {
  readonly moreSlots: number;
  /** Rise of the hit rate, 0 to 1. */
  readonly gain: number;
}

export interface PrefetchStats {
  readonly issued: number;
  /** Used before they left, and left unused. */
  readonly useful: number;
  readonly wasted: number;
  /** Experts that had to be fetched because a guess had taken their slot. */
  readonly displacedDemand: number;
  /** Share of the recent time in which experts were being moved. */
  readonly busyShare: number;
}

/** How well the cache did on the last tokens that ran while experts were missing; each policy starts from empty slots. */
export interface CacheReport {
  /** Decoded tokens that it is about: the last 2,048 or so, prompts counted. */
  readonly tokens: number;
  /** Experts that fit the GPU at once, of so many. */
  readonly slots: number;
  readonly experts: number;
  /** The policy in use, and its share of the hits that the best possible policy has; null for a policy that has no name. */
  readonly policy: string;
  readonly ofBelady: number | null;
  /** Hit rate of the best possible policy, which knows the future. */
  readonly belady: number;
  /** Hit rates of decoded tokens by policy. */
  readonly policies: readonly { readonly name: string; readonly hitRate: number; readonly ofBelady: number }[];
}

export interface ExpertStats {
  readonly mode: StoreMode;
  /** Experts that fit the GPU at once, and experts in all. */
  readonly slots: number;
  readonly experts: number;
  /** On the GPU now. */
  readonly resident: number;
  readonly slotBytes: number;
  readonly steps: number;
  /** Hits among distinct experts needed, since loading; null before the first step. */
  readonly hitRate: number | null;
  /** The same over the last 64 decoded tokens. */
  readonly recentHitRate: number | null;
  readonly replays: number;
  readonly stallMs: number;
  readonly bytes: Readonly<Record<'memory' | 'disk' | 'network', number>>;
  readonly layers: readonly LayerStats[];
  /** On this device: a submit and its readback, and bytes that come into slots a second while any do (null: none came yet). */
  readonly measured: { readonly syncMs: number; readonly fillBytesPerSecond: number | null };
  readonly ghost: readonly GhostPoint[];
  readonly prefetch: PrefetchStats;
  /** The background download of experts into the cache; null when there is none. */
  readonly download: { readonly loadedBytes: number; readonly totalBytes: number } | null;
  readonly storage: {
    readonly kind: 'opfs' | 'opfs-async' | 'path' | 'memory' | 'none';
    /** Why a lesser tier is used, in one sentence for people; null when all is well. */
    readonly note: string | null;
  };
  readonly approximations: readonly string[];
}
