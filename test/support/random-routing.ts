/** Traces of routers that choose at random, for what statistics of them must be like. */
import { prng } from '../../src/util/prng.ts';
import type { Trace, TraceStep } from '../../src/trace/trace.ts';

export interface RandomRouting {
  readonly layers: number;
  readonly experts: number;
  readonly topK: number;
  readonly tokens: number;
  readonly chats?: number;
  readonly domains?: number;
  /** Without logits, which take most of the time. */
  readonly isBare?: boolean;
}

/** Uniform over all sets and orders of K experts, token by token; weights, logits, ids and texts at random too. */
export function randomTrace(seed: number, routing: RandomRouting): Trace {
  const { layers, experts, topK, tokens, chats = 1, domains = 1, isBare = false } = routing;
  // Neighbouring seeds start neighbouring stretches of one sequence: spread them.
  const next = prng(Math.imul(seed, 0x9e3779b1));
  const ids = new Uint16Array(tokens * layers * topK);
  const order = Uint16Array.from({ length: experts }, (_, e) => e);
  for (let at = 0; at < ids.length; at++) {
    const j = at % topK;
    const i = j + Math.floor(next() * (experts - j));
    [order[i], order[j]] = [order[j]!, order[i]!];
    ids[at] = order[j]!;
  }
  const perChat = Math.floor(tokens / chats);
  return {
    model: { name: 'random', layers, experts, topK, expertBytes: Array<number>(layers).fill(1) },
    steps: Array.from({ length: tokens }, (_, t): TraceStep => {
      const chat = Math.min(chats - 1, Math.floor(t / perChat));
      return { phase: 'decode', chat, position: t - chat * perChat, tokens: 1 };
    }),
    ids,
    weights: Float32Array.from(ids, () => next()),
    origins: null,
    tokens: Int32Array.from({ length: tokens }, () => Math.floor(next() ** 2 * 12)),
    texts: Array.from({ length: tokens }, () => [' the', ' cat', '.', '\n', '7'][Math.floor(next() * 5)]!),
    logits: isBare ? null : Float32Array.from({ length: tokens * layers * experts }, () => 2 * next()),
    scoring: 'softmax',
    chats: Array.from({ length: chats }, (_, c) => ({ name: `chat ${c}`, domain: `domain ${c % domains}` })),
  };
}
