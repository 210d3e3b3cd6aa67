/** Several traces of one model as one. */
import { InvalidTrace } from '../errors.ts';
import { noTiming } from './timing.ts';
import { tokensOf, UNKNOWN_TOKEN, type Trace, type TraceChat, type TraceStep, type TraceTiming } from './trace.ts';

/**
 * One conversation after another, their chats numbered through. What only some have is unknown in the others (tokens, logits, logprobs, timing), or
 * left out (weights, origins, texts); the provenance is the first's.
 * @throws InvalidTrace when they are of different models
 */
export function joinTraces(traces: readonly Trace[]): Trace {
  const first = traces[0];
  if (!first) throw new InvalidTrace('no traces to join', {});
  const facts = factsOf(first);
  if (traces.some((t) => factsOf(t) !== facts)) throw new InvalidTrace('traces of different models do not join', {});
  const { model, scoring, sharedExperts, provenance } = first;
  const { layers, experts } = model;
  const { steps, chats } = joinChats(traces);
  const tokens = tokensOf(steps);
  const all = <T>(part: (t: Trace) => T | null | undefined): readonly T[] | null =>
    traces.every((t) => part(t)) ? traces.map((t) => part(t)!) : null;
  const weights = all((t) => t.weights);
  const origins = all((t) => t.origins);
  const texts = all((t) => t.texts);
  return {
    model,
    steps,
    ids: packed(
      new Uint16Array(tokens * layers * model.topK),
      traces.map((t) => t.ids),
    ),
    weights: weights && packed(new Float32Array(tokens * layers * model.topK), weights),
    origins: origins && packed(new Uint8Array(tokens * layers * model.topK), origins),
    ...(traces.some((t) => t.tokens) && {
      tokens: padded(new Int32Array(tokens).fill(UNKNOWN_TOKEN), traces, (t) => t.tokens, 1),
    }),
    ...(texts && { texts: texts.flat() }),
    ...(traces.some((t) => t.logits) && {
      logits: padded(new Float32Array(tokens * layers * experts).fill(NaN), traces, (t) => t.logits, layers * experts),
    }),
    ...(traces.some((t) => t.logprobs) && {
      logprobs: padded(new Float32Array(tokens).fill(NaN), traces, (t) => t.logprobs, 1),
    }),
    ...(traces.some((t) => t.timing) && { timing: joinTiming(traces, steps.length) }),
    ...(chats && { chats }),
    ...(scoring && { scoring }),
    ...(sharedExperts !== undefined && { sharedExperts }),
    ...(provenance && { provenance }),
  };
}

const factsOf = ({ model, scoring, sharedExperts }: Trace): string =>
  JSON.stringify([model, scoring ?? null, sharedExperts ?? null]);

/** A chat that nobody described is named after its number. */
function joinChats(traces: readonly Trace[]): { steps: TraceStep[]; chats: TraceChat[] | null } {
  const steps: TraceStep[] = [];
  const chats: TraceChat[] = [];
  for (const trace of traces) {
    const from = chats.length;
    const count = 1 + trace.steps.reduce((most, { chat }) => Math.max(most, chat), -1);
    for (const step of trace.steps) steps.push({ ...step, chat: from + step.chat });
    for (let n = 0; n < Math.max(count, trace.chats?.length ?? 0); n++)
      chats.push(trace.chats?.[n] ?? { name: `chat ${from + n + 1}`, domain: null });
  }
  return { steps, chats: traces.some((t) => t.chats) ? chats : null };
}

type Numbers = Uint8Array | Uint16Array | Int32Array | Float32Array | Float64Array;

function packed<T extends Numbers>(into: T, parts: readonly T[]): T {
  let at = 0;
  for (const part of parts) {
    into.set(part, at);
    at += part.length;
  }
  return into;
}

/** @param width numbers a token; `into` says what is there where a trace has none */
function padded<T extends Numbers>(
  into: T,
  traces: readonly Trace[],
  part: (t: Trace) => T | null | undefined,
  width: number,
): T {
  let at = 0;
  for (const trace of traces) {
    const values = part(trace);
    if (values) into.set(values, at);
    at += tokensOf(trace.steps) * width;
  }
  return into;
}

function joinTiming(traces: readonly Trace[], count: number): TraceTiming {
  const timing = noTiming(count);
  let at = 0;
  for (const { timing: own, steps } of traces) {
    for (const name of own ? (Object.keys(timing) as (keyof TraceTiming)[]) : []) timing[name].set(own![name], at);
    at += steps.length;
  }
  return timing;
}
