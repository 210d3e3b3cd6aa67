/** A small trace with everything that views show, the same at every call: a made-up router with a taste by layer, domain and token. */
import { prng } from '../../src/util/prng.ts';
import { ORIGINS, type Trace, type TraceChat, type TraceStep } from '../../src/trace/trace.ts';

export const HOSTILE = '<img src=x onerror="window.hacked=1">';

const VOCABULARY = {
  code: ['def', ' f', '(', 'x', ')', ':', '\n', '    ', 'return', ' 42', '+', HOSTILE],
  prose: ['The', ' rain', ' fell', ' on', ' the', ' quiet', ' town', ',', ' and', ' nobody', ' minded', '.'],
  french: ['Le', ' chat', ' dort', ' sur', ' la', ' table', ',', ' à', ' côté', ' du', ' pain', '.'],
} as const;
type Domain = keyof typeof VOCABULARY;
const DOMAINS = Object.keys(VOCABULARY) as Domain[];
const ALL_WORDS = [...new Set(DOMAINS.flatMap((domain) => VOCABULARY[domain]))] as readonly string[];

export interface SyntheticSize {
  readonly layers?: number;
  readonly experts?: number;
  readonly topK?: number;
  readonly chats?: number;
  readonly prompt?: number;
  readonly answer?: number;
  /** How strongly domains and tokens move the router; 0: only noise does. */
  readonly taste?: number;
}

interface Row {
  readonly domain: number;
  readonly token: number;
}

/** 4 layers, 8 experts, 2 a token; 9 chats of 24 tokens over three domains. */
export function syntheticTrace(size: SyntheticSize = {}): Trace {
  const { layers = 4, experts = 8, topK = 2, chats = 9, prompt = 8, answer = 16, taste = 1 } = size;
  const next = prng(7);
  const rows: Row[] = [];
  const steps: TraceStep[] = [];
  const named: TraceChat[] = [];
  for (let chat = 0; chat < chats; chat++) {
    const domain = chat % DOMAINS.length;
    const name = chat === 1 ? HOSTILE : `${DOMAINS[domain]!} ${Math.floor(chat / DOMAINS.length) + 1}`;
    named.push({ name, domain: DOMAINS[domain]! });
    steps.push({ phase: 'prefill', chat, position: 0, tokens: prompt });
    for (let t = 0; t < answer; t++) steps.push({ phase: 'decode', chat, position: prompt + t, tokens: 1 });
    const words = VOCABULARY[DOMAINS[domain]!];
    for (let t = 0; t < prompt + answer; t++)
      rows.push({ domain, token: ALL_WORDS.indexOf(words[Math.floor(next() * words.length)]!) });
  }
  const logits = logitsOf(rows, layers, experts, taste, next);
  const { ids, weights } = routed(logits, rows.length * layers, experts, topK);
  return {
    model: { name: `tiny ${HOSTILE}`, layers, experts, topK, expertBytes: Array<number>(layers).fill(1 << 16) },
    steps,
    ids,
    weights,
    origins: Uint8Array.from(ids, () => 1 + Math.floor(next() * (ORIGINS.length - 1))),
    tokens: Int32Array.from(rows, ({ token }) => token),
    texts: rows.map(({ token }) => ALL_WORDS[token]!),
    logits,
    scoring: 'softmax',
    logprobs: Float32Array.from(rows, () => Math.log(0.05 + 0.95 * next())),
    timing: {
      ms: Float32Array.from(steps, ({ tokens }) => 20 + 4 * tokens + 10 * next()),
      stallMs: Float32Array.from(steps, () => 6 * next()),
      diskBytes: Float64Array.from(steps, () => Math.floor(4 * next()) << 16),
      networkBytes: Float64Array.from(steps, () => Math.floor(2 * next()) << 16),
    },
    chats: named,
    provenance: { kind: 'simulation', note: 'Made up for tests: no model ran.', date: '2026-11-26' },
  };
}

/** [T, L, E] */
function logitsOf(
  rows: readonly Row[],
  layers: number,
  experts: number,
  taste: number,
  next: () => number,
): Float32Array {
  const likes = (n: number): Float32Array => Float32Array.from({ length: n * layers * experts }, () => 4 * next() - 2);
  const [byDomain, byToken] = [likes(DOMAINS.length), likes(ALL_WORDS.length)];
  const logits = new Float32Array(rows.length * layers * experts);
  rows.forEach(({ domain, token }, row) => {
    for (let i = 0; i < layers * experts; i++)
      logits[row * layers * experts + i] =
        taste * (byDomain[domain * layers * experts + i]! + byToken[token * layers * experts + i]!) + 2 * next() - 1;
  });
  return logits;
}

/** The K largest of every row, and their softmax. */
function routed(
  logits: Float32Array,
  n: number,
  experts: number,
  topK: number,
): { ids: Uint16Array; weights: Float32Array } {
  const ids = new Uint16Array(n * topK);
  const weights = new Float32Array(n * topK);
  for (let row = 0; row < n; row++) {
    const of = logits.subarray(row * experts, (row + 1) * experts);
    const order = Array.from(of.keys()).sort((a, b) => of[b]! - of[a]!);
    const odds = order.slice(0, topK).map((e) => Math.exp(of[e]! - of[order[0]!]!));
    const total = odds.reduce((a, b) => a + b, 0);
    odds.forEach((odd, k) => {
      ids[row * topK + k] = order[k]!;
      weights[row * topK + k] = odd / total;
    });
  }
  return { ids, weights };
}

/** The same routes, and nothing else that anybody recorded. */
export function bareTrace(size: SyntheticSize = {}): Trace {
  const { model, steps, ids } = syntheticTrace(size);
  return { model, steps, ids, weights: null, origins: null };
}
