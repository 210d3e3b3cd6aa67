/** Traces from runs, in vLLM's shape and back, and read by NumPy. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  ABSENT,
  expertBytesOf,
  fromVllm,
  InvalidTrace,
  readTrace,
  replay,
  toVllm,
  traceOf,
  writeTrace,
  type RecordedRun,
} from '../../../src/trace/index.ts';
import { RoutingRecorder } from '../../../src/trace/routing-recorder.ts';
import type { RoutingLevel } from '../../../src/trace/run-routing.ts';
import { prng } from '../../../src/util/prng.ts';

const folder = mkdtempSync(join(tmpdir(), 'webmoe-of-run-'));
afterAll(() => rmSync(folder, { recursive: true }));

const LAYERS = 3;
const EXPERTS = 8;
const TOP_K = 2;

/** A prompt of five tokens, two of them cached, and four tokens that were run of the answer. */
function someRun(level: RoutingLevel = 'ids', prompt = true): RecordedRun {
  const u = prng(4);
  const recorder = new RoutingRecorder({ level, layers: LAYERS, experts: EXPERTS, topK: TOP_K }, { prompt });
  const layer = (tokens: number): { ids: Uint32Array; weights: Float32Array } => {
    const ids = Array.from({ length: tokens }, () => {
      const first = Math.floor(u() * EXPERTS);
      return [first, (first + 1 + Math.floor(u() * (EXPERTS - 1))) % EXPERTS];
    });
    return { ids: Uint32Array.from(ids.flat()), weights: Float32Array.from(ids.flatMap(() => [0.625, 0.25])) };
  };
  const layers = (tokens: number): ReturnType<typeof layer>[] => Array.from({ length: LAYERS }, () => layer(tokens));
  recorder.prompt([1, 2], []);
  recorder.prompt([3, 4, 5], layers(3));
  for (let t = 0; t < 4; t++) recorder.generated(10 + t, layers(1));
  return { routing: recorder.routing(), promptTokens: 5, cachedTokens: 2 };
}
const about = { name: 'tiny', expertBytes: [100, 100, 200] };

describe('traceOf', () => {
  it('has a step for what was computed of the prompt, and one for each token of the answer', () => {
    const run = someRun();
    const trace = traceOf(run, about);
    expect(trace.model).toEqual({ ...about, layers: LAYERS, experts: EXPERTS, topK: TOP_K });
    expect(trace.steps).toEqual([
      { phase: 'prefill', chat: 0, position: 2, tokens: 3 },
      ...[5, 6, 7, 8].map((position) => ({ phase: 'decode', chat: 0, position, tokens: 1 })),
    ]);
    const { prompt, generation } = run.routing;
    const all = [...prompt!.routed_experts.subarray(2 * LAYERS * TOP_K), ...generation!.routed_experts];
    expect([...trace.ids]).toEqual(all);
    expect(trace.ids).not.toContain(ABSENT);
    expect(readTrace(writeTrace(trace))).toEqual(trace);
    expect(replay(trace, { policy: 'lru', capacity: { slots: 12 } }).lookups).toBeGreaterThan(0);
  });

  it('of a run without the prompt begins behind it, and one size stands for all layers', () => {
    const trace = traceOf(someRun('ids', false), { name: 'tiny', expertBytes: 7 });
    expect(trace.steps.map((s) => [s.phase, s.position])).toEqual([5, 6, 7, 8].map((p) => ['decode', p]));
    expect(trace.model.expertBytes).toEqual([7, 7, 7]);
  });

  it.each(['off', 'counts'] as const)('refuses a run at the level %s', (level) => {
    expect(() => traceOf(someRun(level), about)).toThrow(InvalidTrace);
    expect(() => toVllm(someRun(level), 'tiny')).toThrow(InvalidTrace);
  });

  it('finds the size of an expert in a plan', () => {
    const arenas = [
      { layers: [2, 0], slotBytes: 512 },
      { layers: [1], slotBytes: 256 },
    ];
    expect(expertBytesOf({ arenas })).toEqual([512, 256, 512]);
  });
});

describe('the shape of vLLM', () => {
  it('comes back whole', () => {
    const run = someRun();
    const json: unknown = JSON.parse(JSON.stringify(toVllm(run, 'tiny')));
    expect(fromVllm(json, EXPERTS)).toEqual(run);
    expect(traceOf(fromVllm(json, EXPERTS), about)).toEqual(traceOf(run, about));
  });

  it('is read as vLLM sends it: no weights, no token ids, no prompt', () => {
    const { routing, promptTokens, cachedTokens } = fromVllm({ choices: [{ routed_experts: [[[3, 1]], [[2, 0]]] }] });
    expect(routing).toMatchObject({ layers: 1, experts: 4, topK: 2, prompt: null });
    expect([...routing.generation!.router_weights]).toEqual([0.5, 0.5, 0.5, 0.5]);
    expect([...routing.counts!.generation]).toEqual([1, 1, 1, 1]);
    expect([promptTokens, cachedTokens]).toEqual([0, 0]);
  });

  it.each<[string, unknown]>([
    ['nothing', null],
    ['a response without routing', { choices: [{}] }],
    ['lists of several sizes', { choices: [{ routed_experts: [[[1, 2]], [[1]]] }] }],
    ['what is no list', { choices: [{ routed_experts: [[5]] }] }],
    ['words', { choices: [{ routed_experts: [[['a', 'b']]] }] }],
    ['half an expert', { choices: [{ routed_experts: [[[0.5]]] }] }],
    ['an expert below none', { choices: [{ routed_experts: [[[-2]]] }] }],
    ['an expert beyond the last', { choices: [{ routed_experts: [[[8]]] }] }],
    ['weights of another size', { choices: [{ routed_experts: [[[1]]], router_weights: [[[1, 2]]] }] }],
    ['token ids of another length', { choices: [{ routed_experts: [[[1]]], token_ids: [1, 2] }] }],
    ['two models', { prompt_routed_experts: [[[1, 2]]], choices: [{ routed_experts: [[[1]]] }] }],
  ])('refuses %s', (_, json) => {
    expect(() => fromVllm(json, EXPERTS)).toThrow(InvalidTrace);
  });
});

describe('NumPy', () => {
  const hasNumpy = spawnSync('python3', ['-c', 'import numpy']).status === 0;

  it('finds in the files what is in them', () => {
    const run = someRun();
    const trace = traceOf(run, about);
    const npz = join(folder, 'run.npz');
    const json = join(folder, 'run.json');
    writeFileSync(npz, writeTrace(trace));
    writeFileSync(json, JSON.stringify(toVllm(run, 'tiny')));
    // Without NumPy its part is played by our own reader; test/unit/trace/npz.test.ts holds the headers to NumPy's rules.
    if (!hasNumpy) {
      expect(readTrace(writeTrace(trace))).toEqual(trace);
      return;
    }
    const python = spawnSync('python3', ['examples/trace-to-python/read.py', npz, json], { encoding: 'utf8' });
    expect(python.stderr).toBe('');
    const counts = [...run.routing.counts!.generation.subarray(0, EXPERTS)].join(' ');
    expect(python.stdout.split('\n')).toEqual([
      'tiny: 3 MoE layers of 8 experts, 2 a token',
      '5 steps of 7 tokens: ids (7, 3, 2) uint8, weights (7, 3, 2) float16',
      expect.stringMatching(/^layer 0: load \[[\d. ]+\], \d\.\d+ effective experts$/) as string,
      expect.stringMatching(/^layer 1/) as string,
      expect.stringMatching(/^layer 2/) as string,
      expect.stringMatching(/^layer 0, expert \d: \d of 7 tokens, most often '\d+' x1, /) as string,
      'prompt (5, 3, 2) int16, 2 tokens from the cache; answer (4, 3, 2) int16',
      `answer, layer 0: taken [${counts}]`,
      '',
    ]);
  });
});
