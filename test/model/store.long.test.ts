/** Models with fewer slots than experts: the same bits as with all, and what it takes to stay so. store-sizes.long.test.ts has every fixture. */
import { describe, expect, it } from 'vitest';
import { InvalidRequest, OutOfBudget, SourceError } from '../../src/errors.ts';
import type { StepEvent } from '../../src/engine/expert-stats.ts';
import type { Model } from '../../src/engine/model.ts';
import { PLACES } from '../../src/trace/places.ts';
import { prng } from '../../src/util/prng.ts';
import { memoryFolder } from '../../src/weights/records/memory-folder.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import type { ByteSource } from '../../src/weights/source.ts';
import { openModelGpu } from '../support/gpu.ts';
import { withByteTokens } from '../support/byte-tokens.ts';
import { thinned } from '../support/everyday.ts';
import { filesOf, fixturePath, withModel } from '../support/models.ts';
import { memorySource } from '../support/weights.ts';
import { draw, outcomeOf, promptOf } from '../support/outcome.ts';

const gpu = await openModelGpu();
const OLMOE = fixturePath('families/olmoe');
const QUIET = { collect: false } as const;

const resident = await withModel(gpu, OLMOE, { prefillChunk: 8 }, (model) => outcomeOf(model, 16));

/** Bytes of a folder, with a hand on every read of a weight. */
function watched(folder: string, onRead: (file: string, begin: number) => void | Promise<void>): ByteSource {
  const source = pathSource(folder);
  return {
    ...source,
    async *stream(file, begin, end, signal) {
      if (file.endsWith('.safetensors')) await onRead(file, begin);
      yield* source.stream(file, begin, end, signal);
    },
  };
}

describe('half of the experts on the GPU', () => {
  it.each(thinned(['optimistic', 'lockstep', 'auto'] as const, 2))('%s: the same bits', async (mode) => {
    const got = await withModel(gpu, OLMOE, { prefillChunk: 8, mode, expertsResident: 0.5 }, (m) => outcomeOf(m, 16));
    expect(got).toEqual(resident);
  });

  it('the same bits after experts leave at random, and over every policy', async () => {
    const u = prng(3);
    for (const policy of thinned(['next-use', 'lru', 'lfu', 'static-hot'], 4)) {
      const drawn = await withModel(gpu, OLMOE, { ...QUIET, expertsResident: 0.5, policy }, async (model) => {
        model.onStep(() => {
          const { layers } = model.expertStats()!;
          for (let i = 0; i < 3; i++) model.evict(Math.floor(u() * layers.length), Math.floor(u() * 8));
        });
        return draw(model, 16);
      });
      expect(drawn, policy).toEqual(await withModel(gpu, OLMOE, {}, (model) => draw(model, 16)));
    }
  });
});

it('auto leaves the optimistic mode where most tokens miss and a readback costs little', async () => {
  const events: StepEvent[] = [];
  await withModel(gpu, OLMOE, { ...QUIET, expertsResident: 0 }, async (model) => {
    model.onStep((event) => event.phase === 'decode' && events.push(event));
    await draw(model, 12);
  });
  expect(events[0]!.mode).toBe('optimistic');
  expect(events.at(-1)!.mode).toBe('lockstep');
});

/** What one decoded token costs, after a few. */
async function costOfToken(model: Model): Promise<{ cost: Record<string, number>; events: StepEvent[] }> {
  const events: StepEvent[] = [];
  model.onStep((event) => events.push(event));
  const tokens = model.generate({ ids: promptOf(model) }, { temperature: 0, ignoreEnd: true, maxTokens: 12 });
  for (let i = 0; i < 8; i++) await tokens.next();
  const before = model.counters;
  events.length = 0;
  await tokens.next();
  const after = model.counters;
  await tokens.return({} as never);
  const cost = Object.fromEntries(
    (Object.keys(before) as (keyof typeof before)[]).map((key) => [key, after[key] - before[key]]),
  );
  return { cost, events };
}

describe('bias, constraint and top log-probabilities', () => {
  const request = {
    temperature: 1.3,
    seed: 4,
    repetitionPenalty: 1.4,
    presencePenalty: 0.5,
    topLogprobs: 4,
    logitBias: { 49: 2.5, 50: -100, 44: 1 },
    constraint: { schema: { type: 'array', items: { type: 'integer' }, minItems: 3 } },
    maxTokens: 24,
  } as const;
  const source = memorySource(withByteTokens(filesOf(OLMOE)));
  const drawn = (mode: 'optimistic' | 'lockstep', expertsResident: number): Promise<unknown> =>
    withModel(gpu, source, { ...QUIET, mode, expertsResident }, async (model) => {
      const tokens = [];
      let replays = 0;
      model.onStep((event) => void (replays += event.replays));
      for await (const { routing, ...token } of model.generate({ ids: promptOf(model) }, request))
        tokens.push({ ...token, experts: routing.map((r) => [...r.ids]) });
      if (mode === 'optimistic') expect(replays > 0).toBe(expertsResident < 1);
      return tokens;
    });

  it('are the same bits however often a token starts again', async () => {
    const want = (await drawn('optimistic', 1)) as { text: string; topLogprobs: unknown[] }[];
    expect(JSON.parse(want.map(({ text }) => text).join(''))).toHaveProperty('length');
    expect(want.every(({ topLogprobs }) => topLogprobs.length === 4)).toBe(true);
    for (const [mode, share] of [
      ['optimistic', 0],
      ['optimistic', 0.5],
      ['lockstep', 0],
    ] as const)
      expect(await drawn(mode, share), `${mode} ${share}`).toEqual(want);
  });
});

describe('what it costs', () => {
  it('resident is one submit, one readback, nothing created; optimistic without a miss costs the same', async () => {
    const all = await withModel(gpu, OLMOE, {}, costOfToken);
    expect(all.cost).toMatchObject({ submits: 1, readbacks: 1, buffersCreated: 0, bindGroupsCreated: 0 });
    const most = await withModel(gpu, OLMOE, { ...QUIET, mode: 'optimistic', expertsResident: 0.99 }, costOfToken);
    const [event] = most.events;
    expect(event).toMatchObject({ mode: 'optimistic', replays: 0, stallMs: 0 });
    for (const key of ['dispatches', 'submits', 'readbacks', 'passes', 'uploadBytes', 'buffersCreated'])
      expect(most.cost[key], key).toBe(all.cost[key]);
  });

  it.each(['optimistic', 'lockstep'] as const)(
    '%s creates no buffer after the first tokens, at any size',
    async (mode) => {
      for (const expertsResident of [0.75, 0.25, 0]) {
        const { cost } = await withModel(gpu, OLMOE, { ...QUIET, mode, expertsResident }, costOfToken);
        expect(cost.buffersCreated, `${expertsResident}`).toBe(0);
      }
    },
  );

  it('a prompt fetches each expert of a layer once a chunk', async () => {
    const reads: string[] = [];
    const source = watched(OLMOE, (file, begin) => void reads.push(`${file} ${begin}`));
    await withModel(gpu, source, { ...QUIET, expertsResident: 0, prefillChunk: 64 }, async (model) => {
      reads.length = 0;
      const events: StepEvent[] = [];
      model.onStep((event) => events.push(event));
      await draw(model, 1, promptOf(model, 40));
      const needed = events[0]!.layers.reduce((n, l) => n + l.needed, 0);
      expect(new Set(reads).size).toBe(reads.length);
      expect(reads.length).toBe(3 * needed); // gate, up, down
    });
  });
});

describe('when something stops a token', () => {
  it('a failed fetch throws its error, and the next token goes on', async () => {
    let broken = false;
    const source = watched(OLMOE, () => {
      if (broken) throw new SourceError('the line is dead', {});
    });
    await withModel(gpu, source, { ...QUIET, expertsResident: 0.25 }, async (model) => {
      const prompt = promptOf(model);
      await draw(model, 2, prompt);
      broken = true;
      const other = prompt.map((id) => (id + 7) % model.config.vocab);
      await expect(draw(model, 16, other)).rejects.toThrow(/the line is dead/);
      broken = false;
      const want = await withModel(gpu, OLMOE, {}, (m) => draw(m, 16, other));
      expect(await draw(model, 16, other)).toEqual(want);
      expect(await draw(model, 16, prompt)).toEqual(await withModel(gpu, OLMOE, {}, (m) => draw(m, 16, prompt)));
    });
  });

  it('an abort in the middle ends the answer, and the next is right', async () => {
    const u = prng(11);
    let stop: (() => void) | undefined;
    const source = watched(OLMOE, () => void (u() < 0.1 && stop?.()));
    await withModel(gpu, source, { ...QUIET, expertsResident: 0.25 }, async (model) => {
      const prompt = promptOf(model);
      const want = await withModel(gpu, OLMOE, {}, (m) => draw(m, 8, prompt));
      for (let round = 0; round < 6; round++) {
        const controller = new AbortController();
        stop = () => controller.abort(new Error('enough'));
        const other = prompt.map((id) => (id + 13 * round + 1) % model.config.vocab);
        const tokens = model.generate({ ids: other }, { temperature: 0, ignoreEnd: true, signal: controller.signal });
        for (;;) {
          const next = await tokens.next();
          if (next.done) break;
        }
        stop = undefined;
        expect(await draw(model, 8, prompt)).toEqual(want);
      }
    });
  });
});

describe('the budget', () => {
  it('changes between requests; answers stay', async () => {
    await withModel(gpu, OLMOE, {}, async (model) => {
      const { fullBytes, minimumBytes } = model.plan;
      await draw(model, 8);
      const want = await draw(model, 8); // most of the prompt is cached, as below
      for (const bytes of [minimumBytes, (minimumBytes + fullBytes) / 2, fullBytes]) {
        await model.setGpuBytes(bytes);
        expect(model.gpuBytes.experts).toBe(model.plan.bytes.experts);
        expect(model.plan.totalBytes).toBeLessThanOrEqual(bytes);
        expect(await draw(model, 8)).toEqual(want);
      }
      await model.settled();
      expect(model.expertStats()!.mode).toBe('resident');
    });
  });

  it('is refused when nothing fits, and nothing changes', async () => {
    await withModel(gpu, OLMOE, {}, async (model) => {
      await draw(model, 4); // a prompt whose keys are in the cache runs its last token alone, which rounds otherwise
      const want = await draw(model, 4);
      await expect(model.setGpuBytes(model.plan.minimumBytes - 1)).rejects.toThrow(OutOfBudget);
      await expect(model.setGpuBytes(NaN)).rejects.toThrow(InvalidRequest);
      expect(model.expertStats()!.mode).toBe('resident');
      expect(await draw(model, 4)).toEqual(want);
    });
  });
});

describe('records', () => {
  it('serve the second start: no weight is read, the bits are the same, popular experts come first', async () => {
    const storage = { root: memoryFolder() };
    const reads: string[] = [];
    const source = (): ByteSource => watched(OLMOE, (file) => void reads.push(file));
    const options = { storage, start: 'early' as const, prefillChunk: 8 };
    const first = await withModel(gpu, source(), options, async (model) => {
      const outcome = await outcomeOf(model, 16);
      await model.settled();
      expect(model.kept).toMatchObject({ isComplete: true });
      expect(model.expertStats()!.storage).toEqual({ kind: 'memory', note: null });
      return outcome;
    });
    expect(first).toEqual(resident);
    const headers = reads.length;
    reads.length = 0;
    for (const expertsResident of [1, 0.5, 0]) {
      const again = await withModel(gpu, source(), { ...options, expertsResident }, (model) => outcomeOf(model, 16));
      expect(again).toEqual(resident);
    }
    expect(reads.length).toBeLessThan(headers); // headers only
    expect(new Set(reads).size).toBeLessThanOrEqual(2);
  });

  it('that are damaged are fetched anew', async () => {
    const root = memoryFolder();
    await withModel(gpu, OLMOE, { storage: { root } }, (model) => model.settled());
    const [folder] = await root.folders();
    const inside = await root.folder(folder!);
    for (const { name, bytes } of await inside.list()) {
      if (!name.endsWith('.records')) continue;
      const file = (await inside.open(name))!;
      for (let at = 100; at < bytes; at += 4096) await file.write(Uint8Array.of(0xa5), at);
      await file.flush();
      await file.close();
    }
    const got = await withModel(gpu, OLMOE, { storage: { root }, expertsResident: 0.5, prefillChunk: 8 }, (model) =>
      outcomeOf(model, 16),
    );
    expect(got).toEqual(resident);
  });
});

describe('where every expert is', () => {
  const placesOf = (model: Model): string[] => model.expertPlaces().flatMap((of) => [...of].map((p) => PLACES[p]!));
  const counted = (places: readonly string[]): Record<string, number> =>
    Object.fromEntries(PLACES.map((place) => [place, places.filter((p) => p === place).length]));

  it('is told as they come and leave', async () => {
    await withModel(gpu, OLMOE, { ...QUIET, expertsResident: 0.5 }, async (model) => {
      const { slots, experts } = model.expertStats()!;
      await draw(model, 8);
      const { resident } = model.expertStats()!;
      expect(counted(placesOf(model))).toMatchObject({ 'on the card': resident, 'on disk': experts - resident });
      expect(resident).toBeLessThanOrEqual(slots);
      const [first] = model.expertPlaces();
      const there = first!.findIndex((place) => PLACES[place] === 'on the card');
      model.evict(0, there);
      expect(PLACES[model.expertPlaces()[0]![there]!]).toBe('on disk'); // the checkpoint is a folder
    });
  });

  it('tells apart what is kept, what is not, and what is on its way', async () => {
    const storage = { root: memoryFolder() };
    const far: ByteSource = { ...watched(OLMOE, () => undefined), origin: 'network' };
    const start = { ...QUIET, expertsResident: 0 };
    const placesAtStart = (source: ByteSource, options: object): Promise<Set<string>> =>
      withModel(gpu, source, { ...start, ...options }, (model) => Promise.resolve(new Set(placesOf(model))));
    expect(await placesAtStart(far, {})).toEqual(new Set(['not kept']));
    await withModel(gpu, far, { storage }, (model) => model.settled());
    expect(await placesAtStart(far, { storage })).toEqual(new Set(['on disk']));
    let seen: Record<string, number> = {};
    let loaded: Model | null = null;
    const source = watched(OLMOE, () => void (loaded && (seen = counted(placesOf(loaded)))));
    await withModel(gpu, source, { ...QUIET, expertsResident: 0.25 }, async (model) => {
      loaded = model;
      expect(counted(placesOf(model)).loading).toBe(0);
      await draw(model, 4);
      loaded = null;
    });
    expect(seen.loading).toBeGreaterThan(0);
  });
});

it('statistics add up', async () => {
  await withModel(gpu, OLMOE, { ...QUIET, expertsResident: 0.5 }, async (model) => {
    const events: StepEvent[] = [];
    model.onStep((event) => events.push(event), 'ids');
    await draw(model, 16);
    const stats = model.expertStats()!;
    const needed = events.flatMap((e) => e.layers).reduce((n, l) => n + l.needed, 0);
    const hits = events.flatMap((e) => e.layers).reduce((n, l) => n + l.hits, 0);
    expect(stats.hitRate).toBeCloseTo(hits / needed, 12);
    expect(stats.bytes.disk).toBeCloseTo(
      events.reduce((n, e) => n + e.bytes.disk, 0),
      3,
    );
    // A guess that was given up, or is on its way, has taken a slot that holds nothing yet.
    expect(stats.layers.reduce((n, layer) => n + layer.resident, 0)).toBe(stats.resident);
    expect(stats.resident).toBeLessThanOrEqual(stats.slots);
    expect(stats.resident).toBeGreaterThanOrEqual(stats.slots - (stats.prefetch.issued - stats.prefetch.useful));
    for (const { layers, phase } of events) {
      if (phase === 'prefill') continue;
      for (const { ids, origins } of layers) expect(origins).toHaveLength(ids!.length);
    }
    expect(stats.ghost.at(-1)!.moreSlots).toBe(stats.experts - stats.slots);
  });
});
