/** The routing of one run, as its summary carries it: typed arrays only, so that it can be cloned to a worker. Names and axes are those of vLLM. */

/**
 * What a run tells of its routing: nothing; how often each expert was taken; which experts each token took and how they weigh; and the routers' logits
 * as well.
 */
export const ROUTING_LEVELS = ['off', 'counts', 'ids', 'logits'] as const;
export type RoutingLevel = (typeof ROUTING_LEVELS)[number];

/** In `routed_experts`: no expert, as at a prompt position that came from the cache, in a layer with a smaller K, or for a dropped pair. */
export const NO_EXPERT = -1;

/** Tokens that went into the model one after the other, and the experts they took. */
export interface RoutedTokens {
  readonly token_ids: Int32Array; // [T]
  /** T, L, K: tokens, MoE layers, and the most experts a token of any layer takes. */
  readonly shape: readonly [tokens: number, layers: number, topK: number];
  /** In rank order. Uint8Array where E is at most 256 and no entry is absent; else Int16Array with NO_EXPERT at the end of a row. */
  readonly routed_experts: Uint8Array | Int16Array; // [T, L, K]
  /** 0 where absent. */
  readonly router_weights: Float32Array; // [T, L, K]
  /** Level `logits` only, else null; NaN where absent. */
  readonly router_logits: Float32Array | null; // [T, L, E]
}

/** A chunk of a prompt, as soon as it was read. */
export interface PromptChunk extends RoutedTokens {
  /** Of its first token in the conversation. */
  readonly position: number;
  /** What each token reads as, [T]; null without a tokenizer. */
  readonly texts: readonly string[] | null;
}

export interface RunRouting {
  readonly level: RoutingLevel;
  readonly layers: number; // L, MoE layers only
  /** Most of any layer. */
  readonly experts: number; // E
  /** Most of any layer. */
  readonly topK: number; // K
  /** How many tokens took each expert: null for the level `off`. */
  readonly counts: {
    /** Without those that came from the cache; null when the prompt's routing was not asked for. */
    readonly prompt: Uint32Array | null; // [L, E]
    readonly generation: Uint32Array; // [L, E]
  } | null;
  /** Tokens of the prompt; null at levels below `ids`, and when the prompt's routing was not asked for. */
  readonly prompt: RoutedTokens | null;
  /** Tokens of the answer that went into the model: all but the last, which nothing ran. Null at levels below `ids`. */
  readonly generation: RoutedTokens | null;
}
