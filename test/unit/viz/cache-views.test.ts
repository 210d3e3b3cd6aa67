/** The views of memory, time and change: what they compute and tabulate, on cases counted by hand. */
import { describe, expect, it } from 'vitest';
import { replay } from '../../../src/trace/replay.ts';
import { ORIGINS, type Trace } from '../../../src/trace/trace.ts';
import { cacheSteps, isCacheRecorded, slotsOf } from '../../../src/viz/cache.ts';
import { chromeTrace } from '../../../src/viz/perfetto.ts';
import { cacheTimeline } from '../../../src/viz/views/cache-timeline.ts';
import { compare } from '../../../src/viz/views/compare.ts';
import { policies } from '../../../src/viz/views/policies.ts';
import { residency } from '../../../src/viz/views/residency.ts';
import { timeline } from '../../../src/viz/views/timeline.ts';
import { contextOf } from '../../support/viz-context.ts';
import { bareTrace, syntheticTrace } from '../../support/viz-traces.ts';

const origin = (name: (typeof ORIGINS)[number]): number => ORIGINS.indexOf(name);

/** A prompt of two tokens, then one; one layer of four experts, two a token. */
const recorded: Trace = {
  model: { name: 'by hand', layers: 1, experts: 4, topK: 2, expertBytes: [100] },
  steps: [
    { phase: 'prefill', chat: 0, position: 0, tokens: 2 },
    { phase: 'decode', chat: 0, position: 2, tokens: 1 },
  ],
  ids: Uint16Array.of(0, 1, 1, 2, 2, 3),
  weights: null,
  origins: Uint8Array.of(
    origin('slot'),
    origin('disk'),
    origin('disk'),
    origin('network'),
    origin('prefetched'),
    origin('memory'),
  ),
};

describe('the cache of a trace', () => {
  it('as recorded: each expert of a step once, bytes of what was not there', async () => {
    expect(isCacheRecorded(recorded)).toBe(true);
    const { isRecorded, needed, hits, prefetched, bytes } = await cacheSteps(recorded, { policy: 'lru', share: 0.5 });
    expect(isRecorded).toBe(true);
    expect([...needed]).toEqual([3, 2]);
    expect([...hits]).toEqual([1, 1]);
    expect([...prefetched]).toEqual([0, 1]);
    expect([...bytes]).toEqual([200, 100]);
  });

  it('else replayed: the sums are those of the replay', async () => {
    const trace = bareTrace();
    expect(isCacheRecorded(trace)).toBe(false);
    const steps = await cacheSteps(trace, { policy: 'lru', share: 0.5 });
    const whole = replay(trace, { policy: 'lru', capacity: { slots: slotsOf(trace, 0.5) } });
    expect(steps.isRecorded).toBe(false);
    expect(steps.hits.reduce((a, b) => a + b, 0)).toBe(whole.hits);
    expect(steps.needed.reduce((a, b) => a + b, 0)).toBe(whole.lookups);
    expect(steps.bytes.reduce((a, b) => a + b, 0)).toBe(whole.bytes);
  });

  it('is a table of every step that the selection leaves', async () => {
    const context = contextOf(cacheTimeline, recorded, { selection: { phase: 'decode' } });
    const data = await (cacheTimeline.compute(context) as Promise<never>);
    expect(cacheTimeline.table(data, context).rows).toEqual([[1, 'decode', 2, 2, 1, 1, 100, null]]);
  });
});

describe('residency', () => {
  it('up to the selected token: what a replay holds then, and since when', async () => {
    const trace: Trace = { ...recorded, origins: null };
    const context = contextOf(residency, trace, { state: { policy: 'lru', share: 0.5 }, selection: { token: 2 } });
    const data = await (residency.compute(context) as Promise<never>);
    expect(residency.table(data, context).rows).toEqual([
      [0, 0, 'on disk', 1],
      [0, 1, 'on disk', 1],
      [0, 2, 'on the card', 0],
      [0, 3, 'on the card', 0],
    ]);
  });

  it('a live engine’s own word comes first', () => {
    const live = { state: Uint8Array.of(0, 1, 2, 4) };
    const context = contextOf(residency, recorded, { extra: { residency: live } });
    const data = residency.compute(context) as never;
    expect(residency.table(data, context).rows.map(([, , place]) => place)).toEqual([
      'not kept',
      'on disk',
      'in memory',
      'on the card',
    ]);
    expect(residency.provenance!(contextOf(residency, recorded))?.kind).toBe('simulation');
  });
});

describe('rules', () => {
  it('give what replay gives, and end complete', async () => {
    const trace = bareTrace();
    const context = contextOf(policies, trace);
    let data: never | null = null;
    let parts = 0;
    for await (const part of policies.compute(context) as AsyncIterable<never>) {
      data = part;
      parts++;
    }
    const { rows } = policies.table(data!, context);
    expect(parts).toBeGreaterThan(1);
    expect(rows).toHaveLength(35);
    for (const [rule, , slots, decode] of rows)
      expect(decode).toBe(replay(trace, { policy: String(rule), capacity: { slots: Number(slots) } }).decodeHitRate);
  });
});

describe('comparison', () => {
  it('of a trace with itself: everything in common, no difference', () => {
    const trace = syntheticTrace();
    const context = { ...contextOf(compare, trace), other: trace };
    const data = compare.compute(context) as never;
    for (const [, , first, second, z, common] of compare.table(data, context).rows) {
      expect(first).toBe(second);
      expect(z).toBe(0);
      expect(common).toBe(1);
    }
    expect(compare.summary(data, context)).toContain('The first 216 tokens are the same.');
    // What is chosen beside the second trace is taken.
    const phases = { ...context, state: { with: 'phases' } };
    expect(compare.summary(compare.compute(phases) as never, phases)).toMatch(/^prompt: .* answer: /);
  });

  it('of models of other shapes: the evenness of both', () => {
    const [trace, other] = [syntheticTrace(), syntheticTrace({ layers: 3, experts: 16 })];
    const context = { ...contextOf(compare, trace), other };
    const { columns, rows } = compare.table(compare.compute(context) as never, context);
    expect(columns).toContain('CV');
    expect(rows).toHaveLength(7);
  });

  it('has something to say where there is nothing to compare with', () => {
    const one: Trace = { ...recorded, steps: recorded.steps.slice(1), ids: recorded.ids.slice(4), origins: null };
    expect(compare.lacks!(one, contextOf(compare, one))).toMatch(/cannot be compared/);
  });
});

describe('time', () => {
  const timed: Trace = {
    ...recorded,
    timing: {
      ms: Float32Array.of(8, 5),
      stallMs: Float32Array.of(2, 0),
      diskBytes: Float64Array.of(300, 0),
      networkBytes: Float64Array.of(100, 0),
    },
  };

  it('is by token, prompt and answer apart', () => {
    const context = contextOf(timeline, timed);
    const data = timeline.compute(context) as never;
    expect(timeline.table(data, context).rows).toEqual([
      ['prefill', 0, 2, 4, 1, 200],
      ['decode', 1, 1, 5, 0, 0],
    ]);
    expect(timeline.lacks!(recorded, context)).toMatch(/no times/);
  });

  it('goes to Perfetto as complete events that follow each other, without a word of the text', () => {
    const { traceEvents } = JSON.parse(chromeTrace({ ...timed, texts: ['secret', 'b', 'c'] })) as {
      traceEvents: { ph: string; name: string; ts?: number; dur?: number }[];
    };
    expect(traceEvents.filter(({ ph }) => ph === 'X').map(({ name, ts, dur }) => [name, ts, dur])).toEqual([
      ['prefill 0', 0, 8000],
      ['waiting', 0, 2000],
      ['decode 2', 8000, 5000],
    ]);
    expect(JSON.stringify(traceEvents)).not.toContain('secret');
  });
});
