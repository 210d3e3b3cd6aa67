/** The GPU has no room for one of the buffers, whichever: the model runs with less, or says so, what would fit, and leaves nothing behind. */
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { load, type LoadOptions } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import { OutOfBudget } from '../../src/errors.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import { openModelDawn } from '../support/gpu.ts';
import { LosableGpu } from '../support/losable.ts';
import { fixturePath } from '../support/models.ts';
import { draw } from '../support/outcome.ts';

const gpu = new LosableGpu(await openModelDawn());
afterAll(() => gpu.dispose());
afterEach(() => gpu.reset());

const TOKENS = 3;
/** With everything that may make a buffer: experts in slots, quantised as they come, kept in memory. */
const OPTIONS: LoadOptions = {
  gpu: gpu.asGpu,
  kernels: 'gpu',
  defaultLimits: true,
  contextLength: 64,
  prefillChunk: 8,
  collect: false,
  expertsResident: 0.5,
  weights: 'q8',
  hostBytes: 2 ** 20,
};
const open = (options: LoadOptions = {}): Promise<Model> =>
  load(pathSource(fixturePath('families/olmoe')), { ...OPTIONS, ...options });

const refusalOf = (work: Promise<unknown>): Promise<OutOfBudget | null> =>
  work.then(
    () => null,
    (error: unknown) => {
      expect(error).toBeInstanceOf(OutOfBudget);
      return error as OutOfBudget;
    },
  );

/** Whatever happens, a failed allocation must not go by unheard. */
const unheard = (): string[] => gpu.devices.flatMap((d) => d.unheard);

it('at any buffer of a load', async () => {
  const model = await open();
  const want = await draw(model, TOKENS);
  const all = model.counters.buffersCreated;
  const { count } = model.plan.slots;
  await model.dispose();
  expect(all).toBeGreaterThan(50);
  let worked = 0;
  for (let n = 1; n <= all; n++) {
    gpu.reset();
    gpu.refusesBuffer = (_, at) => at === n;
    let loaded: Model | undefined;
    const refusal = await refusalOf(open().then((m) => (loaded = m)));
    if (loaded) {
      worked++;
      if (loaded.plan.slots.count === count) await refusalOf(draw(loaded, TOKENS)); // made at its first use
      expect(await draw(loaded, TOKENS), `buffer ${n}`).toEqual(want);
      await loaded.dispose();
    } else {
      const { what, allocatedBytes, suggestedGpuBytes } = refusal!.details;
      expect(what).toBeTruthy();
      expect(suggestedGpuBytes === null || suggestedGpuBytes === allocatedBytes).toBe(true);
    }
    expect(gpu.last.live.size, `buffers left by buffer ${n}`).toBe(0);
  }
  expect(unheard()).toEqual([]);
  expect(worked).toBeGreaterThanOrEqual(2);
});

it('at any buffer of what comes later', async () => {
  const model = await open();
  const want = await draw(model, TOKENS);
  const logits = await model.logits([1, 2, 3], { hidden: true });
  const { fullBytes, minimumBytes, slots } = model.plan;
  let base = model.counters.buffersCreated;
  const steps = async (): Promise<number> => {
    base = model.counters.buffersCreated;
    await model.setGpuBytes(fullBytes);
    await model.logits([1, 2, 3], { hidden: true });
    await model.setGpuBytes((fullBytes + minimumBytes) / 2);
    return model.counters.buffersCreated - base;
  };
  const made = await steps();
  const before = model.plan.slots.count;
  const held = { ...model.gpuBytes, buffers: gpu.last.live.size };
  for (let n = 1; n <= made; n++) {
    base = model.counters.buffersCreated;
    gpu.refusesBuffer = (_, at) => at === base + n;
    const refusal = await refusalOf(steps());
    gpu.refusesBuffer = () => false;
    expect(model.plan.slots.count, `after buffer ${n}`).toBeGreaterThanOrEqual(before);
    if (refusal) expect(refusal.details).toHaveProperty('suggestedGpuBytes');
    expect(await model.logits([1, 2, 3], { hidden: true })).toEqual(logits);
    expect(await draw(model, TOKENS)).toEqual(want);
    await model.setGpuBytes((fullBytes + minimumBytes) / 2);
    expect({ ...model.gpuBytes, buffers: gpu.last.live.size }, `held after buffer ${n}`).toEqual(held);
  }
  expect(slots.count).toBeGreaterThan(slots.minimum);
  expect(unheard()).toEqual([]);
  await model.dispose();
  expect(gpu.last.live.size).toBe(0);
});

it('when the slots do not grow, those that there were come back', async () => {
  const model = await open();
  const { fullBytes, slots } = model.plan;
  const { experts } = model.gpuBytes;
  gpu.refusesBuffer = (_device, _count, bytes) => bytes > experts;
  await model.setGpuBytes(fullBytes);
  expect(model.plan.slots.count).toBe(slots.count);
  expect(model.gpuBytes.experts).toBe(experts);
  expect(model.plan.budgetBytes).toBe(fullBytes);
  await model.dispose();
});

describe('what is suggested', () => {
  it.each([
    ['a shorter context', 512, 0],
    ['fewer bits', 64, 0.5],
  ])('is %s, and loads', async (_, contextLength, share) => {
    const options = { contextLength, weights: 'as-is', expertsResident: undefined } as const;
    const model = await open(options);
    const { minimumBytes, bytes } = model.plan;
    await model.dispose();
    const less = share === 0 ? bytes.kv / 4 : bytes.weights * 0.3;
    const refusal = await refusalOf(open({ ...options, gpuBytes: minimumBytes - less }));
    const { suggested } = refusal!.details as { suggested: LoadOptions };
    const smaller = await open({ ...options, ...suggested });
    expect(smaller.plan.totalBytes).toBeLessThanOrEqual(minimumBytes - less);
    const { contextLength: tokens, precision } = smaller.plan;
    expect([tokens, precision]).toEqual(share === 0 ? [256, 'as-is'] : [64, expect.stringMatching(/^q[48]$/)]);
    await smaller.dispose();
  });
});
