import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Residency } from '../../../src/moe/residency.ts';
import type { ResidencyPolicy } from '../../../src/policy/policy.ts';
import { InvariantError } from '../../../src/util/assert.ts';

/** Staleness as given, by `layer expert`; 0 for all others. */
const ranked = (staleness: Readonly<Record<string, number>> = {}): ResidencyPolicy => ({
  name: 'ranked',
  visit: () => undefined,
  staleness: (layer, expert) => staleness[`${layer} ${expert}`] ?? 0,
  popularity: () => 0,
  warm: () => undefined,
});
const none = (): boolean => false;
const fill = (r: Residency, layer: number, experts: readonly number[]): void => {
  for (const e of experts) {
    r.claim(layer, e, layer, none);
    r.settle(layer, e);
  }
};

describe('claim', () => {
  it('takes free slots first, the lowest', () => {
    const r = new Residency({ experts: [4], arenas: [{ layers: [0], slots: 3 }] }, ranked());
    expect([2, 0, 3].map((e) => r.claim(0, e, 0, none))).toEqual([0, 1, 2].map((slot) => ({ slot, evicted: null })));
    r.release(0, 0);
    expect(r.claim(0, 1, 0, none)).toEqual({ slot: 1, evicted: null });
  });

  it('takes the slot of the stalest that may leave', () => {
    const r = new Residency(
      { experts: [5], arenas: [{ layers: [0], slots: 3 }] },
      ranked({ '0 0': 1, '0 1': 3, '0 2': 2 }),
    );
    fill(r, 0, [0, 1, 2]);
    expect(r.claim(0, 3, 0, (_, e) => e === 1)).toEqual({ slot: 2, evicted: { layer: 0, expert: 2 } });
    r.settle(0, 3);
    expect(r.claim(0, 4, 0, none)).toEqual({ slot: 1, evicted: { layer: 0, expert: 1 } });
    expect([0, 1, 2, 3].map((e) => r.has(0, e))).toEqual([true, false, false, true]);
  });

  it('decides ties by the lower layer, then the lower expert, whatever slots they have', () => {
    const r = new Residency({ experts: [4, 4], arenas: [{ layers: [0, 1], slots: 4 }] }, ranked());
    fill(r, 1, [0, 3]);
    fill(r, 0, [3, 2]);
    const leave = (expert: number): unknown => {
      const claim = r.claim(1, expert, 1, none);
      return claim!.evicted;
    };
    expect(leave(1)).toEqual({ layer: 0, expert: 2 });
    expect(leave(2)).toEqual({ layer: 0, expert: 3 });
  });

  it('tells the policy which layer runs', () => {
    const seen: number[][] = [];
    const policy = { ...ranked(), staleness: (...args: number[]) => (seen.push(args), 0) } as ResidencyPolicy;
    const r = new Residency({ experts: [2, 2], arenas: [{ layers: [0, 1], slots: 1 }] }, policy);
    fill(r, 1, [1]);
    r.claim(0, 0, 7, none);
    expect(seen).toEqual([[1, 1, 7]]);
  });

  it('evicts nobody who is still loading or kept', () => {
    const r = new Residency({ experts: [4], arenas: [{ layers: [0], slots: 2 }] }, ranked({ '0 0': 9 }));
    r.claim(0, 0, 0, none);
    fill(r, 0, [1]);
    expect(r.claim(0, 2, 0, (_, e) => e === 1)).toBeNull();
    expect([r.isLoading(0, 0), r.has(0, 1), r.isLoading(0, 2), r.ready]).toEqual([true, true, false, 1]);
    expect(r.claim(0, 2, 0, none)).toEqual({ slot: 1, evicted: { layer: 0, expert: 1 } });
  });

  it('never crosses arenas', () => {
    const arenas = [
      { layers: [0], slots: 1 },
      { layers: [1], slots: 1 },
    ];
    const r = new Residency({ experts: [3, 3], arenas }, ranked({ '0 0': 9 }));
    fill(r, 0, [0]);
    fill(r, 1, [0]);
    expect(r.claim(1, 1, 1, none)!.evicted).toEqual({ layer: 1, expert: 0 });
    expect([r.slotsOf(0), r.slotsOf(1)]).toEqual([1, 1]);
  });

  it('is for experts that have none', () => {
    const r = new Residency({ experts: [2], arenas: [{ layers: [0], slots: 2 }] }, ranked());
    r.claim(0, 0, 0, none);
    expect(() => r.claim(0, 0, 0, none)).toThrow(InvariantError);
    r.settle(0, 0);
    expect(() => r.claim(0, 0, 0, none)).toThrow(InvariantError);
    expect(() => r.settle(0, 0)).toThrow(InvariantError);
    expect(() => r.settle(0, 1)).toThrow(InvariantError);
  });
});

describe('what is there', () => {
  it('counts only what has arrived', () => {
    const r = new Residency({ experts: [3, 2], arenas: [{ layers: [0, 1], slots: 4 }] }, ranked());
    const claim = r.claim(0, 1, 0, none)!;
    expect([r.slotOf(0, 1), r.has(0, 1), r.isLoading(0, 1), r.ready, r.readyOf(0)]).toEqual([null, false, true, 0, 0]);
    expect(r.settle(0, 1)).toBe(claim.slot);
    expect([r.slotOf(0, 1), r.has(0, 1), r.isLoading(0, 1), r.ready, r.readyOf(0)]).toEqual([
      claim.slot,
      true,
      false,
      1,
      1,
    ]);
    fill(r, 1, [0]);
    expect([r.ready, r.readyOf(0), r.readyOf(1)]).toEqual([2, 1, 1]);
  });

  it('a released expert is gone, loading or not; releasing what is not there does nothing', () => {
    const r = new Residency({ experts: [3], arenas: [{ layers: [0], slots: 2 }] }, ranked());
    fill(r, 0, [0]);
    r.claim(0, 1, 0, none);
    for (const e of [0, 1, 2, 0]) r.release(0, e);
    expect([r.ready, r.has(0, 0), r.isLoading(0, 1)]).toEqual([0, false, false]);
    expect(r.claim(0, 2, 0, none)).toEqual({ slot: 0, evicted: null });
  });

  it('a snapshot stays as it was', () => {
    const r = new Residency({ experts: [2, 2], arenas: [{ layers: [0, 1], slots: 1 }] }, ranked());
    fill(r, 1, [0]);
    const before = r.snapshot();
    fill(r, 1, [1]);
    expect([0, 1].map((e) => r.inSnapshot(before, 1, e))).toEqual([true, false]);
    expect([0, 1].map((e) => r.inSnapshot(r.snapshot(), 1, e))).toEqual([false, true]);
    expect(r.inSnapshot(before, 0, 0)).toBe(false);
  });

  it('reset empties it, in other arenas', () => {
    const r = new Residency({ experts: [2, 2], arenas: [{ layers: [0, 1], slots: 3 }] }, ranked());
    fill(r, 0, [0, 1]);
    r.claim(1, 0, 1, none);
    r.reset([
      { layers: [0], slots: 1 },
      { layers: [1], slots: 2 },
    ]);
    expect([r.ready, r.has(0, 0), r.isLoading(1, 0), r.slotsOf(0), r.slotsOf(1)]).toEqual([0, false, false, 1, 2]);
    expect(r.claim(1, 0, 1, none)).toEqual({ slot: 0, evicted: null });
  });
});

it('stays consistent whatever is asked of it', () => {
  const step = fc.record({
    layer: fc.nat(2),
    expert: fc.nat(5),
    what: fc.constantFrom('claim', 'settle', 'release'),
    kept: fc.nat(63),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const arenas = [
        { layers: [0, 2], slots: 5 },
        { layers: [1], slots: 2 },
      ];
      const r = new Residency({ experts: [6, 6, 6], arenas }, ranked({ '0 3': 2, '2 1': 1 }));
      const slots = new Map<string, { slot: number; arena: number; ready: boolean }>();
      for (const { layer, expert, what, kept } of steps) {
        const key = `${layer} ${expert}`;
        const arena = layer === 1 ? 1 : 0;
        const mine = slots.get(key);
        if (what === 'claim' && !mine) {
          const isKept = (_: number, e: number): boolean => (kept & (1 << e)) !== 0;
          const claim = r.claim(layer, expert, layer, isKept);
          if (!claim) continue;
          if (claim.evicted) {
            const gone = `${claim.evicted.layer} ${claim.evicted.expert}`;
            expect(slots.get(gone)).toEqual({ slot: claim.slot, arena, ready: true });
            expect(isKept(0, claim.evicted.expert)).toBe(false);
            slots.delete(gone);
          }
          for (const other of slots.values()) expect(other.slot === claim.slot && other.arena === arena).toBe(false);
          expect(claim.slot).toBeLessThan(r.slotsOf(layer));
          slots.set(key, { slot: claim.slot, arena, ready: false });
        } else if (what === 'settle' && mine && !mine.ready) {
          expect(r.settle(layer, expert)).toBe(mine.slot);
          slots.set(key, { ...mine, ready: true });
        } else if (what === 'release') {
          r.release(layer, expert);
          slots.delete(key);
        }
        expect(r.ready).toBe([...slots.values()].filter((s) => s.ready).length);
        for (let l = 0; l < 3; l++)
          for (let e = 0; e < 6; e++) {
            const s = slots.get(`${l} ${e}`);
            expect(r.slotOf(l, e)).toBe(s?.ready ? s.slot : null);
            expect(r.isLoading(l, e)).toBe(s !== undefined && !s.ready);
          }
      }
    }),
    { numRuns: 60 },
  );
});
