/** What steps used, added up: the record of a step, and the statistics over many. */
import { describe, expect, it } from 'vitest';
import { ExpertMonitor } from '../../../src/engine/expert-monitor.ts';
import type { StepEvent } from '../../../src/engine/expert-stats.ts';
import type { Plan } from '../../../src/engine/plan.ts';
import { StepRecord } from '../../../src/engine/step-record.ts';
import type { Brought } from '../../../src/moe/store.ts';
import { arenaShape, fakeStore, settled, type FakeStore } from '../../support/fake-store.ts';

const planOf = (count: number, experts: number): Plan =>
  ({ verdict: count < experts ? 'streams' : 'fits', slots: { count, experts, minimum: 3, bytesEach: 256 } }) as Plan;
const decode = { phase: 'decode', position: 5, tokens: 1 } as const;
const record = (layers: number, step: ConstructorParameters<typeof StepRecord>[1] = decode): StepRecord =>
  new StepRecord(layers, step, true);
const here = (...experts: number[]): Brought[] => experts.map((expert) => ({ expert, origin: 'slot', bytes: 0 }));
const from = (origin: Brought['origin'], bytes: number, ...experts: number[]): Brought[] =>
  experts.map((expert) => ({ expert, origin, bytes }));
const ids = (...values: number[]): Uint32Array => Uint32Array.from(values);
const weights = (count: number): Float32Array => new Float32Array(count).fill(1 / count);

describe('StepRecord', () => {
  it('counts bytes by tier, once, and layers that missed', () => {
    const r = record(3);
    r.layer(0, { brought: [...here(1), ...from('disk', 100, 2), ...from('network', 70, 3)] });
    r.layer(1, { brought: here(0, 1, 2) });
    r.layer(2, { brought: from('prefetched', 0, 4) });
    r.moved({ tier: 'disk', bytes: 30 });
    expect(r.bytes).toEqual({ memory: 0, disk: 130, network: 70 });
    expect(r.missedLayers).toBe(2);
    const event = r.event(false, []);
    expect(event.layers.map((l) => [l.needed, l.hits])).toEqual([
      [3, 1],
      [3, 3],
      [1, 0],
    ]);
    expect(event.layers.every((l) => l.ids === undefined && l.origins === undefined)).toBe(true);
  });

  it('an expert that was fetched before its layer ran again is no hit, and its bytes count once', () => {
    const r = record(2);
    r.early(1, [...from('disk', 100, 3), ...here(2)]);
    r.layer(1, { brought: here(2, 3), ids: ids(3, 2), weights: weights(2) });
    expect(r.bytes.disk).toBe(100);
    expect(r.missedLayers).toBe(1);
    expect(r.event(true, []).layers[1]).toMatchObject({ needed: 2, hits: 1, origins: ['disk', 'slot'] });
    // Of that layer only.
    r.layer(0, { brought: here(3) });
    expect(r.event(false, []).layers[0]).toMatchObject({ needed: 1, hits: 1 });
  });

  it('adds up the waves of a layer', () => {
    const r = record(1, { phase: 'prefill', position: 0, tokens: 7 });
    r.layer(0, { brought: here(0, 1) });
    r.layer(0, { brought: from('network', 50, 2, 3) });
    expect(r.event(true, []).layers[0]).toEqual({ needed: 4, hits: 2 });
    expect(r.bytes.network).toBe(100);
  });

  it('shows ids in rank order with their origins, when asked', () => {
    const r = record(1);
    r.layer(0, { brought: [...here(5), ...from('disk', 9, 1)], ids: ids(1, 5), weights: Float32Array.of(0.75, 0.25) });
    r.mode = 'lockstep';
    r.replays = 2;
    r.stallMs = 1.5;
    r.finish();
    const event = r.event(true, ['rounded']);
    expect(event).toMatchObject({ ...decode, mode: 'lockstep', replays: 2, stallMs: 1.5, approximations: ['rounded'] });
    expect(event.ms).toBeGreaterThanOrEqual(0);
    expect(event.layers[0]).toMatchObject({
      ids: ids(1, 5),
      weights: Float32Array.of(0.75, 0.25),
      origins: ['disk', 'slot'],
    });
    // An event stays as it was.
    r.moved({ tier: 'disk', bytes: 1 });
    expect(event.bytes.disk).toBe(9);
  });
});

describe('ExpertMonitor', () => {
  const monitorOf = (fake: FakeStore, slots: number, more: string[] = [], note: () => string | null = () => null) =>
    new ExpertMonitor(fake.store, planOf(slots, fake.store.total), { kind: 'path', note: 'opened so' }, more, note);
  const make = (slots = 4): { fake: FakeStore; monitor: ExpertMonitor } => {
    const fake = fakeStore([8, 8], [arenaShape([0, 1], slots)]);
    return { fake, monitor: monitorOf(fake, slots) };
  };

  it('knows nothing before the first step', () => {
    const { monitor } = make();
    const s = monitor.stats();
    expect(s).toMatchObject({ mode: 'optimistic', slots: 4, experts: 16, resident: 0, slotBytes: 256, steps: 0 });
    expect([s.hitRate, s.recentHitRate, s.download]).toEqual([null, null, null]);
    expect(s.layers.map((l) => [l.experts, l.hitRate, l.overlap, l.prediction])).toEqual([
      [8, 0, 0, null],
      [8, 0, 0, null],
    ]);
    expect(s.bytes).toEqual({ memory: 0, disk: 0, network: 0 });
  });

  it('counts hits among distinct experts, prompts and tokens, by layer and in all', () => {
    const { monitor } = make();
    const prompt = record(2, { phase: 'prefill', position: 0, tokens: 5 });
    prompt.layer(0, { brought: from('disk', 10, 0, 1, 2, 3) });
    prompt.layer(1, { brought: [...here(0), ...from('disk', 10, 1)] });
    prompt.mode = 'lockstep';
    monitor.add(prompt);
    expect(monitor.stats().recentHitRate).toBeNull(); // of tokens
    const token = record(2);
    token.layer(0, { brought: here(0, 1), ids: ids(0, 1), weights: weights(2) });
    token.layer(1, { brought: [...here(0), ...from('prefetched', 0, 5)], ids: ids(5, 0), weights: weights(2) });
    token.mode = 'optimistic';
    token.replays = 1;
    token.stallMs = 3;
    monitor.add(token);
    const s = monitor.stats();
    expect(s.hitRate).toBeCloseTo(4 / 10, 12);
    expect(s.recentHitRate).toBeCloseTo(3 / 4, 12);
    expect(s.layers.map((l) => l.hitRate)).toEqual([2 / 6, 2 / 4]);
    expect(s).toMatchObject({ steps: 2, replays: 1, stallMs: 3, mode: 'optimistic', bytes: { disk: 50 } });
  });

  it('"recent" is the last 64 tokens', () => {
    const { monitor } = make();
    const token = (brought: Brought[]): void => {
      const r = record(2);
      r.layer(0, { brought });
      monitor.add(r);
    };
    for (let i = 0; i < 100; i++) token(from('disk', 1, 0));
    expect(monitor.stats().recentHitRate).toBe(0);
    for (let i = 0; i < 16; i++) token(here(0));
    expect(monitor.stats().recentHitRate).toBeCloseTo(16 / 64, 12);
    for (let i = 0; i < 48; i++) token(here(0));
    expect(monitor.stats().recentHitRate).toBe(1);
    expect(monitor.stats().hitRate).toBeCloseTo(64 / 164, 12);
  });

  it('overlap is what neighbouring tokens have in common', () => {
    const { monitor } = make();
    for (const chosen of [ids(1, 2), ids(2, 3), ids(4, 5), ids(5, 4)]) {
      const r = record(2);
      r.layer(0, { brought: here(...chosen), ids: chosen, weights: weights(2) });
      monitor.add(r);
    }
    expect(monitor.stats().layers.map((l) => l.overlap)).toEqual([3 / 6, 0]);
  });

  it('judges predictions: among the best K, among all named, and how many of those were used', () => {
    const { monitor } = make();
    const token = (used: Uint32Array, predicted: Uint32Array | null): void => {
      const r = record(2);
      if (predicted) r.predict(1, predicted);
      r.layer(1, { brought: here(...used), ids: used, weights: weights(used.length) });
      monitor.add(r);
    };
    token(ids(1, 2), ids(2, 7, 1, 0)); // one among the best 2, both among 4
    token(ids(3, 4), ids(4, 3, 5, 6)); // both, in another order
    token(ids(5, 6), null); // no prediction counts for nothing
    token(ids(5, 6), ids());
    const [first, second] = monitor.stats().layers;
    expect(first!.prediction).toBeNull();
    expect(second!.prediction).toEqual({ tokens: 2, recall: 3 / 4, wideRecall: 1, widePrecision: 4 / 8 });
  });

  it('shows who is there now, and what more slots would bring', async () => {
    const { fake, monitor } = make(4);
    const bring = async (layer: number, expert: number): Promise<void> => {
      const work = fake.store.bring(layer, [expert], { atLayer: layer, isKept: () => false });
      await settled();
      for (const f of fake.fetches.open) await f.arrive();
      await work;
    };
    for (let e = 0; e < 5; e++) await bring(1, e);
    const s = monitor.stats();
    expect(s.layers.map((l) => l.resident)).toEqual([0, 4]);
    expect(s.resident).toBe(4);
    expect(s.ghost.map((g) => g.moreSlots)).toEqual([3, 6, 9, 12]);
    expect(s.ghost.every((g) => g.gain === 0)).toBe(true);
    await bring(1, 0); // the one that left last: one more slot would have kept it
    expect(monitor.stats().ghost[0]!.gain).toBeCloseTo(1 / 6, 12);
    monitor.replanned(planOf(16, 16));
    expect(monitor.stats()).toMatchObject({ slots: 16, ghost: [] });
  });

  it('is resident when all are there, whatever the last step was', async () => {
    const fake = fakeStore([2], [arenaShape([0], 2)], { turns: () => 0 });
    const monitor = monitorOf(fake, 2);
    expect(monitor.isWatched()).toBe(true); // not complete
    await fake.store.bring(0, [0, 1], { atLayer: 0, isKept: () => false });
    const r = record(1);
    r.mode = 'lockstep';
    monitor.add(r);
    expect(monitor.stats().mode).toBe('resident');
    expect(monitor.isWatched()).toBe(false);
    const stop = monitor.listen(() => undefined, 'counts');
    expect(monitor.isWatched()).toBe(true);
    stop();
    expect(monitor.isWatched()).toBe(false);
  });

  it('tells listeners what they asked for, until they stop', () => {
    const fake = fakeStore([8], [arenaShape([0], 4)]);
    const monitor = monitorOf(fake, 4, ['rounded']);
    const [counts, all]: StepEvent[][] = [[], []];
    const stop = monitor.listen((e) => counts!.push(e), 'counts');
    monitor.listen((e) => all!.push(e), 'ids');
    const r = record(1);
    r.layer(0, { brought: here(1), ids: ids(1), weights: weights(1) });
    monitor.add(r);
    stop();
    monitor.add(r);
    expect([counts!.length, all!.length]).toEqual([1, 2]);
    expect(counts![0]!.layers[0]!.ids).toBeUndefined();
    expect(all![0]!.layers[0]!.ids).toEqual(ids(1));
    expect(counts![0]!.approximations).toEqual(['rounded']);
    expect(monitor.stats().approximations).toEqual(['rounded']);
  });

  it('a note that came up later takes the place of the first', () => {
    const fake = fakeStore([8], [arenaShape([0], 4)]);
    let note: string | null = null;
    const monitor = monitorOf(fake, 4, [], () => note);
    expect(monitor.stats().storage).toEqual({ kind: 'path', note: 'opened so' });
    note = 'the disk is full';
    expect(monitor.stats().storage).toEqual({ kind: 'path', note: 'the disk is full' });
  });
});
