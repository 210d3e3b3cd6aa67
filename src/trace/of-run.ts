/** A trace from the summary of a run. */
import { InvalidTrace } from '../errors.ts';
import { NO_EXPERT, type RoutedTokens, type RunRouting } from './run-routing.ts';
import { ABSENT, type Trace, type TraceStep } from './trace.ts';

/** What a summary says of its run; any GenerateSummary of a model is one. */
export interface TracedRun {
  readonly routing?: RunRouting | undefined;
  readonly promptTokens: number;
  /** Of those, how many came from the cache. */
  readonly cachedTokens: number;
}

/** A run whose routing is there. */
export interface RecordedRun extends TracedRun {
  readonly routing: RunRouting;
}

/** What a summary does not say of its model. */
export interface TracedModel {
  readonly name: string;
  /** Of one expert, in bytes: of each MoE layer, or of all. */
  readonly expertBytes: number | readonly number[];
}

/** Bytes of one expert of each MoE layer, as a model's `plan` has them. */
export function expertBytesOf(plan: {
  readonly arenas: readonly { readonly layers: readonly number[]; readonly slotBytes: number }[];
}): number[] {
  const bytes: number[] = [];
  for (const { layers, slotBytes } of plan.arenas) for (const layer of layers) bytes[layer] = slotBytes;
  return bytes;
}

/**
 * One chat: what was computed of the prompt as one step, when the run was asked for `promptRouting`, then a step for each token of the answer but the
 * last, which nothing ran.
 * @throws InvalidTrace when the run was recorded at a level below `ids`
 */
export function traceOf({ routing, promptTokens, cachedTokens }: TracedRun, { name, expertBytes }: TracedModel): Trace {
  if (!routing?.generation)
    throw new InvalidTrace(
      `a trace needs a run recorded at the level ids or logits, this one is at ${routing?.level ?? 'none'}`,
      {},
    );
  const { layers, experts, topK, prompt, generation } = routing;
  const computed = prompt ? promptTokens - cachedTokens : 0;
  const steps: TraceStep[] = Array.from({ length: generation.shape[0] }, (_, n) => ({
    phase: 'decode',
    chat: 0,
    position: promptTokens + n,
    tokens: 1,
  }));
  if (computed > 0) steps.unshift({ phase: 'prefill', chat: 0, position: cachedTokens, tokens: computed });
  const row = layers * topK;
  const parts = [...(prompt ? [{ tokens: prompt, from: cachedTokens * row }] : []), { tokens: generation, from: 0 }];
  const ids = new Uint16Array((computed + generation.shape[0]) * row);
  const weights = new Float32Array(ids.length);
  let at = 0;
  for (const { tokens, from } of parts) {
    weights.set(tokens.router_weights.subarray(from), at);
    at = copyIds(tokens, from, ids, at);
  }
  const bytes = typeof expertBytes === 'number' ? Array<number>(layers).fill(expertBytes) : expertBytes;
  return { model: { name, layers, experts, topK, expertBytes: bytes }, steps, ids, weights, origins: null };
}

/** @returns where the copy ends */
function copyIds({ routed_experts: ids }: RoutedTokens, from: number, to: Uint16Array, at: number): number {
  for (let i = from; i < ids.length; i++) to[at++] = ids[i] === NO_EXPERT ? ABSENT : ids[i]!;
  return at;
}
