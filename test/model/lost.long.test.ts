/** A device that is lost is replaced, and the answer is the one of an undisturbed run: tokens, log-probabilities, routing. */
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { load, type LoadOptions } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import type { RecoveryEvent } from '../../src/engine/recovery.ts';
import { DeviceLost, InvalidRequest, SourceError } from '../../src/errors.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import type { ByteSource } from '../../src/weights/source.ts';
import { LosableGpu, type Moment } from '../support/losable.ts';
import { openModelDawn } from '../support/gpu.ts';
import { fixturePath } from '../support/models.ts';

const gpu = new LosableGpu(await openModelDawn());
afterAll(() => gpu.dispose());
afterEach(() => gpu.reset());

const FIXTURE = fixturePath('families/olmoe');
const PROMPT = Array.from({ length: 21 }, (_, i) => (37 * i + 5) % 256);
const CHUNK = 8;
const TOKENS = 3;
/** Penalties, so that token counts matter; a temperature, so that the seed does. */
const SAMPLING = { temperature: 0.8, seed: 7, repetitionPenalty: 1.2, frequencyPenalty: 0.3, ignoreEnd: true };

const open = (options: LoadOptions = {}): Promise<Model> =>
  load(pathSource(FIXTURE), {
    gpu: gpu.asGpu,
    kernels: 'gpu',
    defaultLimits: true,
    contextLength: 64,
    prefillChunk: CHUNK,
    collect: false,
    ...options,
  });

interface Answer {
  readonly tokens: readonly unknown[];
  readonly summary: { readonly finishReason: string; readonly cachedTokens: number };
}

/** @param each called with the number of tokens so far, before the next is asked for */
async function ask(model: Model, prompt: readonly number[], each?: (tokens: number) => void): Promise<Answer> {
  const tokens: unknown[] = [];
  const running = model.generate({ ids: prompt }, { ...SAMPLING, maxTokens: TOKENS });
  for (;;) {
    const { done, value } = await running.next();
    if (done) {
      const { finishReason, cachedTokens } = value;
      return { tokens, summary: { finishReason, cachedTokens } };
    }
    const { id, logprob, routing } = value;
    tokens.push({ id, logprob, routing: routing.map((r) => [[...r.ids], [...r.weights]]) });
    each?.(tokens.length);
  }
}

/** Two turns, the second of which goes on from the middle of the first one's chunks. */
async function talk(model: Model, each?: (turn: number, tokens: number) => void): Promise<Answer[]> {
  const first = await ask(model, PROMPT, (n) => each?.(0, n));
  const second = await ask(model, [...PROMPT.slice(0, 13), 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], (n) => each?.(1, n));
  return [first, second];
}

const HOMES: [string, LoadOptions, { readonly tokens: number[]; readonly parts: number[] }][] = [
  ['all experts on the GPU', {}, { tokens: [1, 2, 3], parts: [0, 1 / 2, 1] }],
  ['keys and values in int8', { kv: 'int8' }, { tokens: [2], parts: [] }],
  ['the fewest, optimistic', { expertsResident: 0, mode: 'optimistic' }, { tokens: [2], parts: [1 / 2] }],
  ['the fewest, lockstep', { expertsResident: 0, mode: 'lockstep' }, { tokens: [2], parts: [1 / 2] }],
  ['kept in memory', { expertsResident: 0.5, hostBytes: 2 ** 20, collect: true }, { tokens: [2], parts: [1 / 2] }],
];

async function withModel<T>(
  options: LoadOptions,
  use: (model: Model, events: RecoveryEvent[]) => Promise<T>,
): Promise<T> {
  const model = await open(options);
  const events: RecoveryEvent[] = [];
  model.onRecovery((event) => events.push(event));
  try {
    return await use(model, events);
  } finally {
    await model.dispose();
  }
}

describe.each(HOMES)('%s', (_, options, { tokens: losses, parts }) => {
  let want: Answer[];
  it('undisturbed', async () => {
    want = await withModel(options, (model) => talk(model));
    expect(want[0]!.summary).toEqual({ finishReason: 'length', cachedTokens: 0 });
    expect(want[1]!.summary.cachedTokens).toBe(13);
  });

  it.each(losses)('lost after token %i of both turns', async (token) => {
    await withModel(options, async (model, events) => {
      const got = await talk(model, (_, tokens) => {
        if (tokens === token) gpu.last.lose();
      });
      expect(got).toEqual(want);
      await vi.waitFor(() => expect(events).toHaveLength(6), { timeout: 20_000 });
      expect(events.map((e) => e.phase)).toEqual(Array(2).fill(['lost', 'rebuilding', 'recovered']).flat());
      expect(events.map((e) => e.attempt)).toEqual(Array(6).fill(1));
      expect(gpu.devices).toHaveLength(3);
    });
  });

  it('lost at submits of a prompt', async () => {
    const submits = await withModel(options, async (model) => {
      let count = 0;
      gpu.onMoment = (_, moment) => void (moment === 'submit' && count++);
      await ask(model, PROMPT, () => (gpu.onMoment = () => undefined));
      return count;
    });
    for (const part of parts) {
      let left = Math.max(1, Math.round(part * submits));
      await withModel(options, async (model, events) => {
        gpu.onMoment = (device, moment) => void (moment === 'submit' && --left === 0 && device.lose());
        expect(await ask(model, PROMPT)).toEqual(want[0]);
        expect(events.filter((e) => e.phase === 'recovered')).toHaveLength(1);
      });
    }
  });

  it('lost while nothing runs, in logits and in setGpuBytes', async () => {
    const run = (model: Model, disturb: (moment: Moment) => Promise<void>): Promise<unknown> =>
      (async () => {
        const { minimumBytes, slots } = model.plan;
        await disturb('mapAsync');
        const { logits } = await model.logits(PROMPT);
        await disturb('createBuffer');
        await model.setGpuBytes(minimumBytes + 3 * slots.bytesEach);
        expect(model.plan.slots.count).toBe(slots.minimum + 3);
        return [logits, await ask(model, PROMPT), model.plan.slots];
      })();
    const undisturbed = await withModel(options, (model) => run(model, async () => undefined));
    await withModel(options, async (model, events) => {
      const recovered = (): Promise<void> =>
        vi.waitFor(() => expect(events.at(-1)?.phase).toBe('recovered'), { timeout: 20_000 });
      const disturbed = await run(model, async (moment) => {
        gpu.last.lose();
        await recovered();
        const { index } = gpu.last;
        gpu.onMoment = (device, kind) => void (kind === moment && device.index === index && device.lose());
      });
      expect(disturbed).toEqual(undisturbed);
      expect(gpu.devices).toHaveLength(5);
    });
  });
});

describe('a loss', () => {
  it.each(['createBuffer', 'submit', 'pipeline', 'mapAsync'] as const)(
    'at a %s of loading: it loads',
    async (moment) => {
      const want = await withModel({}, (model) => ask(model, PROMPT));
      gpu.reset();
      gpu.onMoment = (device, kind, count) =>
        void (kind === moment && count === 3 && device.index === 0 && device.lose());
      expect(await withModel({}, (model) => ask(model, PROMPT))).toEqual(want);
      expect(gpu.devices).toHaveLength(2);
    },
  );

  it('twice while loading ends it, and leaves nothing', async () => {
    gpu.onMoment = (device, kind, count) => void (kind === 'submit' && count === 2 && device.lose());
    await expect(open()).rejects.toThrow(DeviceLost);
    expect(gpu.devices.map((d) => d.isLost)).toEqual([true, true]);
  });

  it('lets requests behind it wait', async () => {
    const want = await withModel({}, async (model) => [await ask(model, PROMPT), await ask(model, [1, 2, 3])]);
    await withModel({}, async (model) => {
      const asked = [ask(model, PROMPT, (n) => void (n === 2 && gpu.last.lose())), ask(model, [1, 2, 3])];
      expect(await Promise.all(asked)).toEqual(want);
    });
  });

  it('lets requests that run at once go on', async () => {
    const together = { requests: { inFlight: 2 } };
    const prompts = [PROMPT, [1, 2, 3], PROMPT.slice(4)];
    const tokensOf = (answers: Answer[]): unknown => answers.map(({ tokens }) => tokens);
    const want = await withModel(together, async (model) => Promise.all(prompts.map((p) => ask(model, p))));
    await withModel(together, async (model, events) => {
      const lose = (n: number): void => void (n === 2 && gpu.last.lose());
      const got = await Promise.all(prompts.map((p, i) => ask(model, p, i === 0 ? lose : undefined)));
      expect(tokensOf(got)).toEqual(tokensOf(want));
      expect(events.map((e) => e.phase)).toEqual(['lost', 'rebuilding', 'recovered']);
    });
  });

  it('three times in a row ends in a clear state', async () => {
    await withModel({}, async (model, events) => {
      const lost = vi.fn();
      void model.lost.then(lost);
      gpu.onMoment = (device, kind, count) =>
        void (kind === 'submit' && count === 3 && device.index > 0 && device.lose());
      const running = ask(model, PROMPT, () => gpu.last.lose());
      await expect(running).rejects.toThrow(/3 times in a row: reload the page/);
      expect(events.map((e) => `${e.phase} ${e.attempt}`)).toEqual([
        'lost 1',
        'rebuilding 1',
        'lost 2',
        'rebuilding 2',
        'lost 3',
        'gave-up 3',
      ]);
      expect(events.at(-1)!.ms).toBeGreaterThan(2200);
      for (const call of [() => ask(model, PROMPT), () => model.logits(PROMPT), () => model.setGpuBytes(1e9)]) {
        const error = await call().catch((e: unknown) => e);
        expect(error).toBeInstanceOf(DeviceLost);
        expect((error as DeviceLost).details).toMatchObject({ losses: 3, reason: 'unknown' });
      }
      expect(lost).toHaveBeenCalledOnce();
      expect(gpu.devices).toHaveLength(3);
    });
  });

  it('counts a missing adapter, and recovers when there is one', async () => {
    await withModel({}, async (model, events) => {
      const want = await ask(model, PROMPT);
      gpu.refuses = (request) => request === 1;
      gpu.last.lose();
      expect((await ask(model, PROMPT)).tokens).toHaveLength(want.tokens.length);
      expect(events.map((e) => `${e.phase} ${e.attempt}`)).toEqual([
        'lost 1',
        'rebuilding 1',
        'lost 2',
        'rebuilding 2',
        'recovered 2',
      ]);
      // A request has finished: the next loss is a first one.
      gpu.last.lose();
      await vi.waitFor(() => expect(events.at(-1)).toMatchObject({ phase: 'recovered', attempt: 1 }), {
        timeout: 20_000,
      });
    });
  });

  it('can be left waiting: stop, and dispose', async () => {
    await withModel({}, async (model) => {
      const stop = new AbortController();
      model.onRecovery(({ phase }) => phase === 'rebuilding' && stop.abort());
      const running = model.generate({ ids: PROMPT }, { ...SAMPLING, maxTokens: 8, signal: stop.signal });
      await running.next();
      gpu.last.lose();
      expect((await running.next()).value).toMatchObject({ finishReason: 'abort', generatedTokens: 1 });
      const refused = expect(model.generate({ ids: PROMPT }, SAMPLING).next()).rejects.toThrow(InvalidRequest);
      await model.dispose();
      await refused;
      // The new device's compilers end before it goes: see Gpu.dispose.
      await vi.waitFor(() => expect(gpu.devices.every((d) => d.isLost)).toBe(true), { timeout: 60_000 });
      await model.lost;
    });
  });

  it('that weights cannot be read after fails the request, and the next one tries again', async () => {
    const inner = pathSource(FIXTURE);
    let isGone = false;
    const source: ByteSource = {
      ...inner,
      label: inner.label,
      size: (...args) => inner.size(...args),
      stream: (...args) => {
        if (isGone) throw new SourceError('the disk is gone');
        return inner.stream(...args);
      },
    };
    const model = await load(source, {
      gpu: gpu.asGpu,
      kernels: 'gpu',
      defaultLimits: true,
      contextLength: 64,
      prefillChunk: CHUNK,
    });
    const want = await ask(model, PROMPT);
    const events: string[] = [];
    model.onRecovery(({ phase }) => events.push(phase));
    isGone = true;
    gpu.last.lose();
    await expect(ask(model, PROMPT)).rejects.toThrow('the disk is gone');
    isGone = false;
    expect((await ask(model, [...PROMPT])).tokens).toHaveLength(want.tokens.length);
    expect(events).toEqual(['lost', 'rebuilding', 'failed', 'lost', 'rebuilding', 'recovered']);
    await model.dispose();
  });
});
