/** A trace from the summary of a run. */
import { InvalidTrace } from '../errors.ts';
import { NO_EXPERT, type RoutedTokens, type RunRouting } from './run-routing.ts';
import { timingOf, type TimedStep } from './timing.ts';
import { ABSENT, type Provenance, type Trace, type TraceChat, type TraceStep } from './trace.ts';

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
export interface TracedModel extends Pick<Trace, 'scoring' | 'sharedExperts'> {
  readonly name: string;
  /** Of one expert, in bytes: of each MoE layer, or of all. */
  readonly expertBytes: number | readonly number[];
}

/** What a summary does not say of its run. */
export interface RunDetails {
  readonly chat?: TraceChat;
  readonly provenance?: Provenance;
  /** What each of these tokens reads as; a prompt's come before its answer's. */
  readonly textsOf?: (tokens: Int32Array) => readonly string[];
  /** `GeneratedToken.logprob` of every token of the answer. */
  readonly logprobs?: readonly number[];
  /** What `onStep` told during the run. */
  readonly events?: readonly TimedStep[];
}

/** Bytes of one expert of each MoE layer, as a model's `plan` has them. */
export function expertBytesOf(plan: {
  readonly arenas: readonly { readonly layers: readonly number[]; readonly slotBytes: number }[];
}): number[] {
  const bytes: number[] = [];
  for (const { layers, slotBytes } of plan.arenas) for (const layer of layers) bytes[layer] = slotBytes;
  return bytes;
}

/** A stretch of recorded tokens; `skip` of them, the first, came from the cache. */
interface Part {
  readonly rows: RoutedTokens;
  readonly skip: number;
}

/**
 * One chat: what was computed of the prompt as one step, when the run was asked for `promptRouting`, then a step for each token of the answer but the
 * last, which nothing ran.
 * @throws InvalidTrace when the run was recorded at a level below `ids`
 */
export function traceOf(run: TracedRun, model: TracedModel, details: RunDetails = {}): Trace {
  const { routing, promptTokens, cachedTokens } = run;
  if (!routing?.generation)
    throw new InvalidTrace(
      `a trace needs a run recorded at the level ids or logits, this one is at ${routing?.level ?? 'none'}`,
      {},
    );
  const { layers, experts, topK, prompt, generation } = routing;
  const parts = [...(prompt ? [{ rows: prompt, skip: cachedTokens }] : []), { rows: generation, skip: 0 }];
  const steps = stepsOf(prompt ? promptTokens - cachedTokens : 0, run, generation.shape[0]);
  const bytes = model.expertBytes;
  const expertBytes = typeof bytes === 'number' ? Array<number>(layers).fill(bytes) : bytes;
  return {
    model: { name: model.name, layers, experts, topK, expertBytes },
    steps,
    ...choicesOf(parts, layers * topK),
    origins: null,
    ...logitsOf(parts, layers * experts),
    ...(model.scoring && { scoring: model.scoring }),
    ...(model.sharedExperts !== undefined && { sharedExperts: model.sharedExperts }),
    ...tokensIn(parts, details),
    ...(details.events && { timing: timingOf(steps, details.events) }),
    ...(details.chat && { chats: [details.chat] }),
    ...(details.provenance && { provenance: details.provenance }),
  };
}

function stepsOf(computed: number, { promptTokens, cachedTokens }: TracedRun, decoded: number): TraceStep[] {
  const steps: TraceStep[] = Array.from({ length: decoded }, (_, n) => ({
    phase: 'decode',
    chat: 0,
    position: promptTokens + n,
    tokens: 1,
  }));
  if (computed > 0) steps.unshift({ phase: 'prefill', chat: 0, position: cachedTokens, tokens: computed });
  return steps;
}

function choicesOf(parts: readonly Part[], row: number): { ids: Uint16Array; weights: Float32Array } {
  const size = parts.reduce((n, { rows, skip }) => n + (rows.shape[0] - skip) * row, 0);
  const ids = new Uint16Array(size);
  const weights = new Float32Array(size);
  let at = 0;
  for (const { rows, skip } of parts) {
    const { routed_experts: experts, router_weights } = rows;
    weights.set(router_weights.subarray(skip * row), at);
    for (let i = skip * row; i < experts.length; i++) ids[at++] = experts[i] === NO_EXPERT ? ABSENT : experts[i]!;
  }
  return { ids, weights };
}

function logitsOf(parts: readonly Part[], row: number): Pick<Trace, 'logits'> {
  if (parts.some(({ rows }) => !rows.router_logits)) return {};
  const kept = parts.map(({ rows, skip }) => rows.router_logits!.subarray(skip * row));
  const logits = new Float32Array(kept.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of kept) {
    logits.set(part, at);
    at += part.length;
  }
  return { logits };
}

/** Ids come from runs of this library and of vLLM; the latter may have none. */
function tokensIn(
  parts: readonly Part[],
  { textsOf, logprobs }: RunDetails,
): Pick<Trace, 'tokens' | 'texts' | 'logprobs'> {
  const tokens = Int32Array.from(parts.flatMap(({ rows, skip }) => [...rows.token_ids.subarray(skip)]));
  const all = Int32Array.from(parts.flatMap(({ rows }) => [...rows.token_ids]));
  const isKnown = tokens.some((id) => id >= 0);
  const texts = textsOf?.(all).slice(all.length - tokens.length);
  return {
    ...(isKnown && { tokens }),
    ...(texts && { texts }),
    ...(logprobs && { logprobs: followed(logprobs, parts) }),
  };
}

/** Each row has the logprob of the token that followed it: the last of the prompt that of the first of the answer. */
function followed(logprobs: readonly number[], parts: readonly Part[]): Float32Array {
  const lengths = parts.map(({ rows, skip }) => rows.shape[0] - skip);
  const tokens = lengths.reduce((a, b) => a + b, 0);
  const first = tokens - lengths.at(-1)!; // row of the first token of the answer
  const rows = new Float32Array(tokens).fill(NaN);
  logprobs.forEach((logprob, n) => {
    const row = first + n - 1;
    if (row >= 0 && row < tokens) rows[row] = logprob;
  });
  return rows;
}
