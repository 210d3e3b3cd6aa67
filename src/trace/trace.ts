/** A trace: which experts every token of a run took in every MoE layer. */
import { InvalidTrace } from '../errors.ts';

/** In `ids`: no expert, as in a last layer that ran for one token of the prompt, or in a layer with a smaller K. */
export const ABSENT = 0xffff;

/** Where an expert was when its token needed it; the index is what `origins` holds. */
export const ORIGINS = ['unknown', 'slot', 'prefetched', 'memory', 'disk', 'network'] as const;

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

/** Where the numbers of a trace come from. Whoever shows them says so. */
export interface Provenance {
  /** `published`: other people's counts or files; `simulation`: no model ran. */
  readonly kind: 'live' | 'recorded' | 'published' | 'simulation';
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

/** Of each step, [N]. */
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
  /** Token ids, [T]. */
  readonly tokens?: Int32Array | null;
  /** What each token reads as, [T]; the pieces of a chat join to its text. */
  readonly texts?: readonly string[] | null;
  /** Of the routers, [T, L, E], its bias included; NaN where absent. */
  readonly logits?: Float32Array | null;
  /** How logits become the probabilities that choose: without it logits are shown as they are. */
  readonly scoring?: 'softmax' | 'sigmoid' | null;
  /** Of the token that follows, [T]: the log-probability of the one that was drawn, NaN where unknown. */
  readonly logprobs?: Float32Array | null;
  readonly timing?: TraceTiming | null;
  readonly chats?: readonly TraceChat[] | null;
  /** Experts that every token takes beside the routed ones. */
  readonly sharedExperts?: number;
  readonly provenance?: Provenance | null;
}

export const tokensOf = (steps: readonly TraceStep[]): number => steps.reduce((n, s) => n + s.tokens, 0);

const isCount = (n: number, least: number): boolean => Number.isSafeInteger(n) && n >= least;

/** @throws InvalidTrace that says which part contradicts which */
export function checkTrace(trace: Trace, where = 'trace'): Trace {
  const { model, steps, ids, weights, origins } = trace;
  const refuse = (what: string): never => {
    throw new InvalidTrace(`${where}: ${what}`, { where });
  };
  const { layers, experts, topK, expertBytes } = model;
  if (!isCount(layers, 1) || !isCount(experts, 1) || !isCount(topK, 1) || experts >= ABSENT || topK > experts)
    refuse(`${layers} layers, ${experts} experts, ${topK} a token is no MoE model`);
  if (expertBytes.length !== layers || !expertBytes.every((n) => isCount(n, 1)))
    refuse(`expert_bytes must hold ${layers} sizes of at least one byte, has ${expertBytes.length}`);
  const bad = steps.findIndex((s) => !isCount(s.tokens, 1) || !isCount(s.chat, 0) || !isCount(s.position, 0));
  if (bad >= 0) refuse(`step ${bad} has impossible numbers`);
  const size = tokensOf(steps) * layers * topK;
  if (ids.length !== size) refuse(`its steps say ${size} expert ids, it holds ${ids.length}`);
  if (weights && weights.length !== size) refuse(`it holds ${size} ids but ${weights.length} weights`);
  if (weights && !weights.every((w) => Number.isFinite(w) && w >= 0))
    refuse('a weight is negative or no finite number');
  if (origins && (origins.length !== size || !origins.every((o) => o < ORIGINS.length)))
    refuse('its origins do not fit');
  checkRows(trace, refuse);
  return trace;
}

/** Within a row: experts that exist, each once, absent ones last. */
function checkRows({ model: { experts, topK, layers }, ids }: Trace, refuse: (what: string) => never): void {
  const seen = new Int32Array(experts).fill(-1);
  for (let row = 0; row < ids.length / topK; row++) {
    for (let k = 0; k < topK; k++) {
      const id = ids[row * topK + k]!;
      const at = (): string => `token ${Math.floor(row / layers)}, layer ${row % layers}`;
      if (id === ABSENT) continue;
      if (id >= experts) refuse(`${at()}: expert ${id} of ${experts}`);
      if (k > 0 && ids[row * topK + k - 1] === ABSENT) refuse(`${at()}: an expert after an absent one`);
      if (seen[id] === row) refuse(`${at()}: expert ${id} twice`);
      seen[id] = row;
    }
  }
}

/**
 * One conversation after another, their chats numbered through.
 * @throws InvalidTrace when they are of different models
 */
export function joinTraces(traces: readonly Trace[]): Trace {
  const first = traces[0];
  if (!first) throw new InvalidTrace('no traces to join', {});
  const facts = JSON.stringify(first.model);
  if (traces.some((t) => JSON.stringify(t.model) !== facts))
    throw new InvalidTrace('traces of different models do not join', {});
  let chat = 0;
  const steps = traces.flatMap((t) => {
    const from = chat;
    chat += 1 + Math.max(-1, ...t.steps.map((s) => s.chat));
    return t.steps.map((s) => ({ ...s, chat: from + s.chat }));
  });
  const size = traces.reduce((n, t) => n + t.ids.length, 0);
  const ids = new Uint16Array(size);
  const weights = traces.every((t) => t.weights) ? new Float32Array(size) : null;
  const origins = traces.every((t) => t.origins) ? new Uint8Array(size) : null;
  let at = 0;
  for (const t of traces) {
    ids.set(t.ids, at);
    weights?.set(t.weights!, at);
    origins?.set(t.origins!, at);
    at += t.ids.length;
  }
  return { model: first.model, steps, ids, weights, origins };
}
