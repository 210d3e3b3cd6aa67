/** Ends, usage and what is special to webmoe, as the AI SDK wants them. */
import type { ChatCompletion, ChatCompletionChunk, FinishReason, MoeReport, Usage } from '../chat/types.ts';
import type { CallFinish, CallUsage, Json, JsonObject, ResponseMetadata } from './types.ts';

/** Plain data as JSON: typed arrays become lists, and numbers that JSON has no word for null. */
export function jsonOf(value: unknown): Json | undefined {
  if (ArrayBuffer.isView(value)) return Array.from(value as Uint8Array);
  if (Array.isArray(value)) return value.map((inner) => jsonOf(inner) ?? null);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, jsonOf(inner)]));
  }
  if (typeof value === 'number' && !Number.isFinite(value)) return null;
  return typeof value === 'function' ? undefined : (value as Json | undefined);
}

export const usageOf = (usage: Usage): CallUsage => {
  const cacheRead = usage.prompt_tokens_details.cached_tokens;
  return {
    inputTokens: {
      total: usage.prompt_tokens,
      noCache: usage.prompt_tokens - cacheRead,
      cacheRead,
      cacheWrite: undefined,
    },
    outputTokens: { total: usage.completion_tokens, text: undefined, reasoning: undefined },
  };
};

export const finishOf = (reason: FinishReason): CallFinish => ({
  unified: reason === 'tool_calls' ? 'tool-calls' : reason,
  raw: reason,
});

export const metadataOf = ({ id, model, created }: ChatCompletion | ChatCompletionChunk): ResponseMetadata => ({
  id,
  modelId: model,
  timestamp: new Date(created * 1000),
});

export interface Figures {
  readonly usage: Usage;
  readonly seed: number;
  readonly moe: MoeReport | undefined;
  /** `model.expertStats()`, where the model has it. */
  readonly experts: unknown;
}

/** `providerMetadata.webmoe` at the end of an answer. */
export function figuresOf({ usage, seed, moe, experts }: Figures): JsonObject {
  return {
    seed,
    cachedTokens: usage.prompt_tokens_details.cached_tokens,
    timeToFirstTokenMs: usage.extra.time_to_first_token_ms,
    tokensPerSecond: usage.extra.decode_tokens_per_second,
    ...(moe && { moe: jsonOf(moe)! }),
    ...(experts !== undefined && experts !== null && { experts: jsonOf(experts)! }),
  };
}
