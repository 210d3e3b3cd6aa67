import { describe, expect, it } from 'vitest';
import { RoutingRecorder, type LayerRows } from '../../../src/trace/routing-recorder.ts';
import { NO_EXPERT, type RoutingLevel, type RunRouting } from '../../../src/trace/run-routing.ts';

/** Two MoE layers: 8 experts of which a token takes 2, and 4 of which it takes 1. */
const shape = { layers: 2, experts: 8, topK: 2 };
const rows = (ids: number[], weights: number[], logits?: number[]): LayerRows => ({
  ids: Uint32Array.from(ids),
  weights: Float32Array.from(weights),
  ...(logits ? { logits: Float32Array.from(logits) } : {}),
});
const token = (a: number, b: number, c: number, logits = false): LayerRows[] => [
  rows([a, b], [0.75, 0.25], logits ? [0, 1, 2, 3, 4, 5, 6, 7] : undefined),
  rows([c], [1], logits ? [9, 8, 7, 6] : undefined),
];

function record(level: RoutingLevel, options: { prompt: boolean }): RunRouting {
  const recorder = new RoutingRecorder({ ...shape, level }, options);
  recorder.prompt([11], []); // from the cache
  recorder.prompt([12, 13], [rows([1, 2, 3, 1], [0.5, 0.5, 0.6, 0.4]), rows([0, 3], [1, 1])]);
  recorder.generated(20, token(5, 1, 2, level === 'logits'));
  recorder.generated(21, [rows([6, 6], [1, 0]), rows([2], [1])]); // a dropped pair
  return recorder.routing();
}

const at = (counts: Uint32Array): Record<string, number> =>
  Object.fromEntries([...counts].flatMap((n, i) => (n ? [[`${Math.floor(i / 8)}:${i % 8}`, n]] : [])));

describe('the routing of a run', () => {
  it('at ids: what the cache had, smaller layers and dropped pairs are absent', () => {
    const { prompt, generation, counts, ...facts } = record('ids', { prompt: true });
    expect(facts).toEqual({ level: 'ids', ...shape });
    expect(prompt!.shape).toEqual([3, 2, 2]);
    expect([...prompt!.token_ids]).toEqual([11, 12, 13]);
    expect(prompt!.routed_experts).toEqual(Int16Array.of(-1, -1, -1, -1, 1, 2, 0, -1, 3, 1, 3, -1));
    expect([...prompt!.router_weights.subarray(4)]).toEqual(
      [0.5, 0.5, 1, 0, 0.6, 0.4, 1, 0].map((w) => Math.fround(w)),
    );
    expect([...generation!.token_ids]).toEqual([20, 21]);
    expect([...generation!.routed_experts]).toEqual([5, 1, 2, -1, 6, -1, 2, -1]);
    expect(generation!.router_logits).toBeNull();
    expect(at(counts!.prompt!)).toEqual({ '0:1': 2, '0:2': 1, '0:3': 1, '1:0': 1, '1:3': 1 });
    expect(at(counts!.generation)).toEqual({ '0:1': 1, '0:5': 1, '0:6': 1, '1:2': 2 });
  });

  it('at counts: the same counts and no tokens', () => {
    const full = record('ids', { prompt: true });
    const { counts, prompt, generation } = record('counts', { prompt: true });
    expect(counts).toEqual(full.counts);
    expect([prompt, generation]).toEqual([null, null]);
  });

  it('at logits: as many as there are experts, NaN where there are none', () => {
    const { generation } = record('logits', { prompt: false });
    const logits = [...generation!.router_logits!];
    expect(logits).toHaveLength(2 * 2 * 8);
    expect(logits.slice(0, 16)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 9, 8, 7, 6, NaN, NaN, NaN, NaN]);
    expect(logits.slice(16).every(Number.isNaN)).toBe(true);
  });

  it('off: nothing; without the prompt: none of it', () => {
    expect(record('off', { prompt: false })).toEqual({
      level: 'off',
      ...shape,
      counts: null,
      prompt: null,
      generation: null,
    });
    const { counts, prompt } = record('ids', { prompt: false });
    expect([counts!.prompt, prompt]).toEqual([null, null]);
  });

  it('takes a byte an id where that holds all', () => {
    const of = (experts: number, id: number): RunRouting => {
      const recorder = new RoutingRecorder({ level: 'ids', layers: 1, topK: 1, experts }, { prompt: false });
      for (let t = 0; t < 40; t++) recorder.generated(t, [rows([id], [1])]);
      return recorder.routing();
    };
    expect(of(256, 255).generation!.routed_experts).toEqual(new Uint8Array(40).fill(255));
    expect(of(257, 256).generation!.routed_experts).toEqual(new Int16Array(40).fill(256));
    expect(NO_EXPERT).toBe(-1);
  });

  it('can be cloned to a worker', () => {
    const routing = record('logits', { prompt: true });
    expect(structuredClone(routing)).toEqual(routing);
  });
});
