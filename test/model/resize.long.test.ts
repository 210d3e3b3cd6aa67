/** Another budget between requests: the same answers with whatever the GPU has room for. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { loadOn } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import { OutOfBudget } from '../../src/errors.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import { openModelGpu } from '../support/gpu.ts';
import { fixturePath } from '../support/models.ts';

const gpu = await openModelGpu();
afterEach(() => void vi.restoreAllMocks());

interface Room {
  /** The largest arena that can be allocated. */
  arenaBytes: number;
}

/** On a GPU that has no room for larger arenas than `room` says. */
async function withRoom(room: Room, use: (model: Model) => Promise<void>): Promise<void> {
  const own = gpu.share();
  const inner = own.allocating.bind(own);
  own.allocating = (what, make) => {
    const bytes = Number(/^expert arena \d+ \((\d+) bytes\)$/.exec(what)?.[1] ?? 0);
    if (bytes > room.arenaBytes) throw new OutOfBudget(`The GPU has no room for ${what}`, { what });
    return inner(what, make);
  };
  const source = pathSource(fixturePath('families/olmoe'));
  const model = await loadOn(own, source, {
    contextLength: 64,
    prefillChunk: 16,
    collect: false,
    expertsResident: 0.5,
  });
  try {
    await use(model);
  } finally {
    await model.dispose();
  }
}

async function answer(model: Model): Promise<number[]> {
  const ids: number[] = [];
  for await (const { id } of model.generate(
    { ids: [1, 2, 3, 4, 5] },
    { temperature: 0, ignoreEnd: true, maxTokens: 8 },
  ))
    ids.push(id);
  return ids;
}

describe('setGpuBytes', () => {
  it('takes what there is when memory runs out, and the rest later', async () => {
    const room = { arenaBytes: Infinity };
    await withRoom(room, async (model) => {
      const want = await answer(model);
      const { fullBytes, minimumBytes, slots } = model.plan;
      room.arenaBytes = slots.bytesEach * 20;
      await model.setGpuBytes(fullBytes);
      const shrunk = model.plan.slots.count;
      expect(shrunk).toBeLessThanOrEqual(20);
      expect(shrunk).toBeGreaterThanOrEqual(slots.minimum);
      expect(model.plan.budgetBytes).toBe(fullBytes);
      expect(await answer(model)).toEqual(want);
      expect(model.gpuBytes.experts).toBe(shrunk * slots.bytesEach);
      // Not at every request, but after a while.
      room.arenaBytes = Infinity;
      expect(await answer(model)).toEqual(want);
      expect(model.plan.slots.count).toBe(shrunk);
      const now = performance.now.bind(performance);
      vi.spyOn(performance, 'now').mockImplementation(() => now() + 61_000);
      expect(await answer(model)).toEqual(want);
      expect(model.plan.slots.count).toBe(slots.experts);
      expect(model.plan.totalBytes).toBe(fullBytes);
      await model.setGpuBytes(minimumBytes);
      expect(model.plan.slots.count).toBe(slots.minimum);
      expect(await answer(model)).toEqual(want);
    });
  });

  it('too small a budget changes nothing', async () => {
    await withRoom({ arenaBytes: Infinity }, async (model) => {
      const want = await answer(model);
      const before = model.plan;
      const refused = model.setGpuBytes(before.minimumBytes - 1);
      await expect(refused).rejects.toThrow(OutOfBudget);
      expect(model.plan).toBe(before);
      expect(await answer(model)).toEqual(want);
    });
  });

  it('without room for the fewest slots, says so at each request, and works again when there is', async () => {
    const room = { arenaBytes: Infinity };
    await withRoom(room, async (model) => {
      const want = await answer(model);
      room.arenaBytes = 1;
      await expect(model.setGpuBytes(model.plan.fullBytes)).rejects.toThrow(OutOfBudget);
      await expect(answer(model)).rejects.toThrow(OutOfBudget);
      await expect(model.logits([1, 2])).rejects.toThrow(OutOfBudget);
      expect(model.gpuBytes.experts).toBe(0);
      room.arenaBytes = Infinity;
      expect(await answer(model)).toEqual(want);
      expect(model.plan.slots.count).toBe(model.plan.slots.experts);
    });
  });
});
