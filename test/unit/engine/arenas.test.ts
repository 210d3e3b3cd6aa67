/** Arenas hold what they must: every layer once, within a binding, K + 1 slots at least, and what the budget pays for. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  arenaBytes,
  arenaSlots,
  fittingArenas,
  fullArenas,
  partialArenas,
  type Arena,
  type LayerSlots,
} from '../../../src/engine/arenas.ts';
import { OutOfBudget } from '../../../src/errors.ts';
import { sum } from '../../../src/util/math.ts';

const layer = (slotBytes: number, experts: number, topK: number): LayerSlots => ({
  label: `experts of ${slotBytes}`,
  slotBytes,
  experts,
  topK,
});
const same = (count: number, of: LayerSlots): LayerSlots[] => Array.from({ length: count }, () => of);
const expertBytes = (layers: readonly LayerSlots[]): number => sum(layers.map((l) => l.slotBytes * l.experts));

const anyLayer = fc
  .record({ slotBytes: fc.constantFrom(256, 512, 3072), experts: fc.integer({ min: 1, max: 40 }) })
  .chain(({ slotBytes, experts }) =>
    fc.integer({ min: 1, max: experts }).map((topK) => layer(slotBytes, experts, topK)),
  );
/** Any layers, with a binding that holds K + 1 slots of each. */
const anyModel = fc
  .tuple(fc.array(anyLayer, { minLength: 1, maxLength: 12 }), fc.integer({ min: 0, max: 200_000 }))
  .map(([layers, more]) => {
    const least = Math.max(...layers.map((l) => l.slotBytes)) * (Math.max(...layers.map((l) => l.topK)) + 1);
    return { layers, bindingBytes: least + more };
  });
/** As models are: layers of one slot size have as many experts each. */
const evenModel = fc
  .tuple(
    fc.array(fc.tuple(anyLayer, fc.integer({ min: 1, max: 8 })), { minLength: 1, maxLength: 3 }),
    fc.integer({ min: 0, max: 200_000 }),
  )
  .map(([kinds, more]) => {
    const layers = kinds.flatMap(([l, count], i) => same(count, { ...l, slotBytes: l.slotBytes + 256 * i * 16 }));
    const least = Math.max(...layers.map((l) => l.slotBytes * (l.topK + 1)));
    return { layers, bindingBytes: least + more };
  });
const anyShare = fc.double({ min: 0, max: 1, noNaN: true });

function wellFormed(arenas: readonly Arena[], layers: readonly LayerSlots[], bindingBytes: number): void {
  expect(arenas.flatMap((a) => a.layers).sort((a, b) => a - b)).toEqual([...layers.keys()]);
  for (const { layers: own, slotBytes, slots, bytes } of arenas) {
    const experts = sum(own.map((l) => layers[l]!.experts));
    const needed = Math.max(...own.map((l) => Math.min(layers[l]!.topK + 1, experts)));
    expect(own.every((l) => layers[l]!.slotBytes === slotBytes)).toBe(true);
    expect(bytes).toBe(slots * slotBytes);
    expect(bytes).toBeLessThanOrEqual(bindingBytes);
    expect(slots).toBeLessThanOrEqual(experts);
    expect(slots).toBeGreaterThanOrEqual(needed);
  }
}

describe('fullArenas', () => {
  it('gives every expert a slot, within bindings, or says that it cannot', () => {
    fc.assert(
      fc.property(anyModel, ({ layers, bindingBytes }) => {
        const arenas = fullArenas(layers, bindingBytes);
        const fits = layers.every((l) => l.slotBytes * l.experts <= bindingBytes);
        expect(arenas !== null).toBe(fits);
        if (!arenas) return;
        wellFormed(arenas, layers, bindingBytes);
        for (const a of arenas) expect(a.slots).toBe(sum(a.layers.map((l) => layers[l]!.experts)));
        expect(arenaBytes(arenas)).toBe(expertBytes(layers));
      }),
    );
  });

  it('takes as few as bindings allow', () => {
    const layers = same(6, layer(1000, 10, 2));
    expect(fullArenas(layers, 60_000)!.map((a) => a.layers)).toEqual([[0, 1, 2, 3, 4, 5]]);
    expect(fullArenas(layers, 59_999)!.map((a) => a.layers)).toEqual([[0, 1, 2, 3, 4], [5]]);
    expect(fullArenas(layers, 10_000)!.length).toBe(6);
    expect(fullArenas(layers, 9_999)).toBeNull();
    const mixed = [layer(1000, 10, 2), layer(500, 10, 2), layer(500, 10, 2), layer(1000, 10, 2)];
    expect(fullArenas(mixed, 60_000)!.map((a) => a.layers)).toEqual([[0], [1, 2], [3]]);
  });

  it('has nothing to do for a model without experts', () => {
    expect(fullArenas([], 1)).toEqual([]);
    expect(partialArenas([], 1, 0.5)).toEqual([]);
  });
});

describe('partialArenas', () => {
  it('is well formed for any layers at any share', () => {
    fc.assert(
      fc.property(anyModel, anyShare, ({ layers, bindingBytes }, share) => {
        wellFormed(partialArenas(layers, bindingBytes, share), layers, bindingBytes);
      }),
      { numRuns: 500 },
    );
  });

  it('is the same for the same question', () => {
    fc.assert(
      fc.property(anyModel, anyShare, ({ layers, bindingBytes }, share) => {
        expect(partialArenas(layers, bindingBytes, share)).toEqual(partialArenas(layers, bindingBytes, share));
      }),
    );
  });

  it('takes no more than the share where that is more than the fewest that work', () => {
    fc.assert(
      fc.property(anyModel, anyShare, ({ layers, bindingBytes }, share) => {
        const least = arenaSlots(partialArenas(layers, bindingBytes, 0));
        const sizes = new Set(layers.map((l) => l.slotBytes)).size;
        const slots = arenaSlots(partialArenas(layers, bindingBytes, share));
        const all = sum(layers.map((l) => l.experts));
        if (sizes === 1) expect(slots).toBeLessThanOrEqual(Math.max(least, Math.floor(all * share)));
        expect(slots).toBeLessThanOrEqual(least + all * share);
      }),
      { numRuns: 500 },
    );
  });

  it('grows with the share', () => {
    fc.assert(
      fc.property(evenModel, anyShare, anyShare, ({ layers, bindingBytes }, a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)].map((s) => partialArenas(layers, bindingBytes, s));
        expect(arenaSlots(less!)).toBeLessThanOrEqual(arenaSlots(more!));
        expect(arenaBytes(less!)).toBeLessThanOrEqual(arenaBytes(more!));
      }),
      { numRuns: 1000 },
    );
  });

  it('is exactly the share where bindings are large', () => {
    const layers = same(16, layer(1000, 64, 8));
    for (const share of [0.02, 0.1, 0.25, 0.5, 0.99]) {
      const arenas = partialArenas(layers, 2 ** 31, share);
      expect(arenas.length).toBe(1);
      expect(arenaSlots(arenas)).toBe(Math.floor(16 * 64 * share));
    }
  });

  it('loses no slot to uneven groups', () => {
    // 3 layers in 2 arenas of 10 slots at most: a share each by layers would be 6 and 13.
    const arenas = partialArenas(same(3, layer(100, 16, 2)), 1000, 20 / 48);
    expect(arenas.map((a) => a.slots)).toEqual([10, 10]);
    // And gains none: 1 layer of 3 would get the fewest, 5, and the others 7.
    const few = partialArenas(same(3, layer(100, 16, 4)), 900, 11 / 48);
    expect(arenaSlots(few)).toBe(11);
  });

  it('is K + 1 slots of each size at share 0', () => {
    fc.assert(
      fc.property(anyModel, ({ layers, bindingBytes }) => {
        const arenas = partialArenas(layers, bindingBytes, 0);
        const sizes = [...new Set(layers.map((l) => l.slotBytes))];
        expect(arenas.length).toBe(sizes.length);
        for (const { slotBytes, slots } of arenas) {
          const own = layers.filter((l) => l.slotBytes === slotBytes);
          const least = Math.min(Math.max(...own.map((l) => l.topK)) + 1, sum(own.map((l) => l.experts)));
          expect(slots).toBe(least);
        }
      }),
    );
  });

  it('splits a layer that exceeds a binding off what others have', () => {
    const layers = same(4, layer(1000, 64, 8)); // a layer takes 64,000
    const arenas = partialArenas(layers, 40_000, 1);
    expect(arenas.map((a) => [a.layers, a.slots])).toEqual([0, 1, 2, 3].map((l) => [[l], 40]));
  });

  it('refuses a binding that does not hold K + 1 slots, and names what it is', () => {
    const layers = [layer(100, 64, 8), layer(1000, 64, 8)];
    expect(arenaSlots(partialArenas(layers, 9000, 0))).toBe(18);
    for (const share of [0, 0.5, 1]) {
      let error: unknown;
      try {
        partialArenas(layers, 8999, share);
      } catch (e) {
        error = e;
      }
      expect(error).toBeInstanceOf(OutOfBudget);
      expect((error as OutOfBudget).message).toContain('9 of the experts of 1000 take 9000 bytes');
      expect((error as OutOfBudget).details).toMatchObject({ bytes: 9000, bindingBytes: 8999 });
    }
  });
});

describe('fittingArenas', () => {
  it('never exceeds the bytes, unless the fewest slots do', () => {
    fc.assert(
      fc.property(anyModel, fc.double({ min: -0.5, max: 1.5, noNaN: true }), ({ layers, bindingBytes }, part) => {
        const bytes = Math.floor(part * expertBytes(layers));
        const arenas = fittingArenas(layers, bindingBytes, bytes);
        wellFormed(arenas, layers, bindingBytes);
        const least = partialArenas(layers, bindingBytes, 0);
        if (arenaBytes(least) > bytes) expect(arenas).toEqual(least);
        else expect(arenaBytes(arenas)).toBeLessThanOrEqual(bytes);
      }),
      { numRuns: 500 },
    );
  });

  it('leaves less than a slot of each size unused', () => {
    fc.assert(
      fc.property(evenModel, fc.double({ min: 0, max: 1, noNaN: true }), ({ layers }, part) => {
        const bindingBytes = expertBytes(layers);
        const bytes = Math.floor(part * expertBytes(layers));
        const arenas = fittingArenas(layers, bindingBytes, bytes);
        if (arenaBytes(arenas) > bytes) return; // the fewest
        const slack = sum([...new Set(layers.map((l) => l.slotBytes))]);
        expect(arenaBytes(arenas)).toBeGreaterThan(bytes - slack - 1);
      }),
      { numRuns: 500 },
    );
  });

  it('takes from the layers of other sizes what the fewest slots need', () => {
    // By their share of 55 bytes, the small ones would get 50 slots; 5 large ones need 50 bytes of it.
    const layers = [layer(10, 8, 4), layer(1, 1000, 4)];
    expect(fittingArenas(layers, 1e6, 55).map((a) => a.slots)).toEqual([5, 5]);
    expect(fittingArenas(layers, 1e6, 60).map((a) => a.slots)).toEqual([5, 10]);
  });
});
