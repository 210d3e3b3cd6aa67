/** Recorded and made-up traces for tests. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { readTrace } from '../../src/trace/npz.ts';
import type { Trace, TraceStep } from '../../src/trace/trace.ts';

export const TRACES = join(import.meta.dirname, '../fixtures/traces');
/** Recorded traces, which come with the visualiser. */
export const DATA = join(import.meta.dirname, '../../demo/visualiser/data');
export const PUBLIC_TRACES = ['qwen', 'gemma', 'gptoss'] as const;

export const loadTrace = (name: string): Trace => readTrace(readFileSync(join(DATA, `${name}.npz`)), name);

/** One chat without a prompt: `rows[token][layer]` are the experts. */
export function traceOf(rows: readonly (readonly (readonly number[])[])[], experts: number): Trace {
  const layers = rows[0]!.length;
  const topK = rows[0]![0]!.length;
  return {
    model: { name: 'made-up', layers, experts, topK, expertBytes: Array.from({ length: layers }, () => 100) },
    steps: rows.map((_, position): TraceStep => ({ phase: 'decode', chat: 0, position, tokens: 1 })),
    ids: Uint16Array.from(rows.flat(2)),
    weights: null,
    origins: null,
  };
}

/** The same experts of every layer in turn, so that `period` tokens use each of `period * K` experts once. */
export const cyclicTrace = (layers: number, topK: number, period: number, tokens: number): Trace =>
  traceOf(
    Array.from({ length: tokens }, (_, t) =>
      Array.from({ length: layers }, () => Array.from({ length: topK }, (_, k) => (t % period) * topK + k)),
    ),
    period * topK,
  );

/** Small models of any shape, chats with prompts, weights or none. */
export const anyTrace: fc.Arbitrary<Trace> = fc
  .record({
    layers: fc.integer({ min: 1, max: 4 }),
    experts: fc.integer({ min: 2, max: 9 }),
    k: fc.integer({ min: 1, max: 3 }),
    steps: fc.array(fc.record({ tokens: fc.integer({ min: 1, max: 5 }), chat: fc.nat(2) }), {
      minLength: 1,
      maxLength: 24,
    }),
    seed: fc.infiniteStream(fc.nat(1000)),
    hasWeights: fc.boolean(),
  })
  .map(({ layers, experts, k, steps, seed, hasWeights }) => {
    const topK = Math.min(k, experts);
    const tokens = steps.reduce((n, s) => n + s.tokens, 0);
    const next = (): number => seed.next().value;
    const rows = Array.from({ length: tokens * layers }, () => {
      const left = Array.from({ length: experts }, (_, e) => e);
      return Array.from({ length: topK }, () => left.splice(Math.floor((next() / 1001) ** 2 * left.length), 1)[0]!);
    });
    const ids = Uint16Array.from(rows.flat());
    return {
      model: { name: 'any', layers, experts, topK, expertBytes: Array.from({ length: layers }, (_, l) => 100 + l) },
      steps: steps.map((s): TraceStep => ({
        phase: s.tokens > 1 ? 'prefill' : 'decode',
        chat: s.chat,
        position: 0,
        tokens: s.tokens,
      })),
      ids,
      weights: hasWeights ? Float32Array.from(ids, () => next() / 1024) : null,
      origins: null,
    };
  });

/** Two chats of a model with 2 layers of 3 experts, K 2, and all that a trace can hold; its floats are exact as f16. */
export const richTrace = {
  model: { name: 'rich', layers: 2, experts: 3, topK: 2, expertBytes: [10, 20] },
  steps: [
    { phase: 'prefill', chat: 0, position: 0, tokens: 2 },
    { phase: 'decode', chat: 0, position: 2, tokens: 1 },
    { phase: 'decode', chat: 1, position: 5, tokens: 1 },
  ],
  ids: Uint16Array.from([0, 1, 2, 1, 1, 0, 0, 2, 2, 0, 1, 2, 0, 0xffff, 2, 1]),
  weights: Float32Array.from({ length: 16 }, (_, i) => (i === 13 ? 0 : i / 16)),
  origins: Uint8Array.from({ length: 16 }, (_, i) => i % 6),
  tokens: Int32Array.of(5, 70_000, -1, 0),
  texts: ['a', '', '<b>\u00e9', '\n'],
  logits: Float32Array.from({ length: 24 }, (_, i) => (i > 20 ? NaN : i / 4 - 2)),
  scoring: 'sigmoid',
  logprobs: Float32Array.of(NaN, -0.1, -12.5, 0),
  timing: {
    ms: Float32Array.of(10.5, 3, NaN),
    stallMs: Float32Array.of(0, 1.25, NaN),
    diskBytes: Float64Array.of(2 ** 40, 0, NaN),
    networkBytes: Float64Array.of(0, 7, NaN),
  },
  chats: [
    { name: 'first', domain: 'code' },
    { name: '<script>', domain: null },
  ],
  sharedExperts: 1,
  provenance: { kind: 'recorded', note: 'a test', date: '2026-01-02T03:04:05Z' },
} satisfies Trace;
