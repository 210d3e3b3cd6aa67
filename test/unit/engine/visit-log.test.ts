/** What the session remembers of its visits is what a recorded trace of the same tokens gives, and a report on it is what replays give. */
import { describe, expect, it } from 'vitest';
import { reportCache } from '../../../src/engine/cache-report.ts';
import type { Plan } from '../../../src/engine/plan.ts';
import { distinct } from '../../../src/engine/routing.ts';
import { StepRecord } from '../../../src/engine/step-record.ts';
import { VisitLog } from '../../../src/engine/visit-log.ts';
import { POLICY_NAMES } from '../../../src/policy/index.ts';
import { replay } from '../../../src/trace/replay.ts';
import type { Trace, TraceModel, TraceStep } from '../../../src/trace/trace.ts';
import { visitsOf } from '../../../src/trace/visits.ts';
import { prng } from '../../../src/util/prng.ts';

const MODEL: TraceModel = { name: 'session', layers: 4, experts: 12, topK: 3, expertBytes: [64, 64, 64, 64] };
const { layers: L, experts: E, topK: K } = MODEL;

/** A prompt and then single tokens, whose experts are mostly those of the token before. */
function session(tokens: number, prompt = 0, seed = 1): Trace {
  const u = prng(seed);
  const steps: TraceStep[] = Array.from({ length: tokens }, (_, t) => ({
    phase: 'decode',
    chat: 0,
    position: prompt + t,
    tokens: 1,
  }));
  if (prompt > 0) steps.unshift({ phase: 'prefill', chat: 0, position: 0, tokens: prompt });
  const ids: number[] = [];
  const weights: number[] = [];
  let last = Array.from({ length: L }, () => [0, 1, 2]);
  for (let t = 0; t < tokens + prompt; t++) {
    last = last.map((before) => {
      const row = new Set(before.filter(() => u() < 0.7));
      while (row.size < K) row.add(Math.floor(E * u() ** 2));
      ids.push(...row);
      weights.push(...Array.from(row, () => 1 / 16 + Math.floor(15 * u()) / 16));
      return [...row];
    });
  }
  return { model: MODEL, steps, ids: Uint16Array.from(ids), weights: Float32Array.from(weights), origins: null };
}

/** The records that running the trace would leave. */
function recordsOf({ steps, ids, weights }: Trace): StepRecord[] {
  let from = 0;
  return steps.map(({ phase, position, tokens }) => {
    const record = new StepRecord(L, { phase, position, tokens }, true);
    record.mode = 'optimistic';
    for (let layer = 0; layer < L; layer++) {
      const rowsAt = Array.from({ length: tokens }, (_, t) => ((from + t) * L + layer) * K);
      const all = Uint32Array.from(rowsAt.flatMap((at) => [...ids.subarray(at, at + K)]));
      const brought = distinct(all).map((expert) => ({ expert, origin: 'slot' as const, bytes: 0 }));
      if (phase === 'decode') {
        const at = rowsAt[0]!;
        record.layer(layer, { brought, ids: all, weights: weights!.slice(at, at + K) });
      } else {
        const rows = new Uint32Array(E);
        for (const id of all) rows[id]!++;
        record.layer(layer, { brought, rows });
      }
    }
    from += tokens;
    return record;
  });
}

function logOf(trace: Trace, mostTokens?: number): VisitLog {
  const log = new VisitLog(mostTokens);
  for (const record of recordsOf(trace)) log.add(record);
  return log;
}

const planOf = (arenas: readonly { readonly layers: readonly number[]; readonly slots: number }[]): Plan =>
  ({ arenas, slots: { count: arenas.reduce((n, a) => n + a.slots, 0), experts: L * E } }) as unknown as Plan;

describe('what is remembered', () => {
  it('is what a trace of the same tokens gives', () => {
    const trace = session(300);
    const want = visitsOf(trace);
    const got = logOf(trace).visits(MODEL);
    expect(got.layer).toEqual(want.layer);
    expect(got.step).toEqual(want.step);
    expect(got.start).toEqual(want.start);
    expect(got.isDecode).toEqual(want.isDecode);
    expect(got.experts).toEqual(want.experts);
    expect(got.decodeTokens).toBe(300);
    got.weights.forEach((share, i) => expect(share).toBeCloseTo(want.weights[i]!, 6));
  });

  it('has a prompt as one visit a layer, each expert once', () => {
    const visits = logOf(session(2, 40)).visits(MODEL);
    expect([...visits.isDecode]).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
    expect(visits.decodeTokens).toBe(2);
    const prompt = visits.experts.subarray(0, visits.start[1]);
    expect(new Set(prompt).size).toBe(prompt.length);
    expect(visits.weights.subarray(0, visits.start[1]).reduce((a, b) => a + b, 0)).toBe(40 * K);
  });

  it('is bounded: the newest tokens, a block more at most', () => {
    const trace = session(5000);
    const log = logOf(trace, 500);
    expect(log.tokens).toBeGreaterThanOrEqual(500);
    expect(log.tokens).toBeLessThan(500 + 2 * 128);
    const want = visitsOf(trace);
    const got = log.visits(MODEL);
    expect(got.experts).toEqual(want.experts.subarray(want.experts.length - got.experts.length));
    expect(got.start[0]).toBe(0);
    expect(got.start.at(-1)).toBe(got.experts.length);
    expect(got.step.at(-1)).toBe(log.tokens - 1);
  });

  it('is nothing before the first token', () => {
    const visits = new VisitLog().visits(MODEL);
    expect(visits.layer.length).toBe(0);
    expect([...visits.start]).toEqual([0]);
  });
});

describe('a report', () => {
  const visits = logOf(session(400, 20)).visits(MODEL);

  it('has the hit rates that replays have, and no policy above the best possible', async () => {
    const arenas = [{ layers: [0, 1, 2, 3], slots: 20 }];
    const report = await reportCache({ visits, plan: planOf(arenas), policy: 'lru' });
    expect(report).toMatchObject({ tokens: 400, slots: 20, experts: L * E, policy: 'lru' });
    expect(report.belady).toBe(replay(visits, { policy: 'belady', capacity: { slots: 20 } }).decodeHitRate);
    expect(report.policies.map((p) => p.name)).toEqual(POLICY_NAMES);
    for (const { name, hitRate, ofBelady } of report.policies) {
      expect(hitRate, name).toBe(replay(visits, { policy: name, capacity: { slots: 20 } }).decodeHitRate);
      expect(ofBelady, name).toBeCloseTo(hitRate / report.belady, 12);
      expect(hitRate, name).toBeGreaterThan(0);
      expect(hitRate, name).toBeLessThanOrEqual(report.belady);
    }
    expect(report.ofBelady).toBe(report.policies.find((p) => p.name === 'lru')!.ofBelady);
  });

  it('obeys arenas of unequal sizes', async () => {
    const small = [
      { layers: [0], slots: 3 },
      { layers: [1, 2, 3], slots: 36 },
    ];
    const report = await reportCache({ visits, plan: planOf(small), policy: 'next-use' });
    const whole = await reportCache({ visits, plan: planOf([{ layers: [0, 1, 2, 3], slots: 39 }]), policy: 'x' });
    expect(report.belady).toBeLessThan(whole.belady);
    // Three layers have room for all of their experts: only the first loses any that it had.
    const pooling = small.map(({ layers, slots }) => ({ layers, capacity: slots }));
    const { rereadRatio, decodeHitRate } = replay(visits, { policy: 'belady', capacity: { slots: 39 }, pooling });
    expect(decodeHitRate).toBe(report.belady);
    expect(rereadRatio).toBeGreaterThan(0);
    expect(whole.ofBelady).toBeNull();
  });

  it('gives other work its turn, and stops when asked to', async () => {
    const long = logOf(session(2000)).visits(MODEL);
    const plan = planOf([{ layers: [0, 1, 2, 3], slots: 20 }]);
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await reportCache({ visits: long, plan, policy: 'lru' });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(4); // one a replay at least
    const abort = new AbortController();
    setTimeout(() => abort.abort(new DOMException('enough', 'AbortError')), 1);
    await expect(reportCache({ visits: long, plan, policy: 'lru', signal: abort.signal })).rejects.toThrow('enough');
  });
});
