import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  expectedHitRate,
  predict,
  TYPICAL_HARDWARE,
  type Hardware,
  type TokenWork,
} from '../../../src/engine/predict.ts';

const work: TokenWork = {
  layers: 10,
  moe: Array.from({ length: 10 }, () => ({ topK: 4, experts: 64, slotBytes: 1e6 })),
  denseBytes: 100e6,
  share: 1,
};
const share = fc.double({ min: 0, max: 1, noNaN: true });

describe('expectedHitRate', () => {
  it('is nothing for no slots, all for all, and never falls', () => {
    expect(expectedHitRate(0, 0.1)).toBe(0);
    expect(expectedHitRate(1, 0.1)).toBe(1);
    expect(expectedHitRate(1.5, 0.1)).toBe(1);
    fc.assert(
      fc.property(share, share, (a, b) => {
        const [less, more] = [expectedHitRate(Math.min(a, b), 0.1), expectedHitRate(Math.max(a, b), 0.1)];
        expect(less).toBeLessThanOrEqual(more);
        expect(less).toBeGreaterThanOrEqual(Math.min(a, b) - 1e-12); // no worse than chance
        expect(more).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('is within 4 points of what the default policy reached on two very different models (docs/policies.md)', () => {
    const qwen = [0.416, 0.595, 0.79, 0.915, 0.966];
    [0.05, 0.1, 0.2, 0.33, 0.5].forEach((s, i) => {
      expect(Math.abs(expectedHitRate(s, 6 / 128) - qwen[i]!)).toBeLessThan(0.04);
    });
    const shipped = [0.282, 0.449, 0.638, 0.858];
    [0.2, 0.33, 0.5, 0.75].forEach((s, i) => {
      expect(Math.abs(expectedHitRate(s, 8 / 16) - shipped[i]!)).toBeLessThan(0.04);
    });
  });
});

describe('predict', () => {
  it('is the arithmetic that it says, when all is there', () => {
    const { mode, seconds } = predict(work, TYPICAL_HARDWARE);
    expect(mode).toBe('resident');
    // 140 MB at 200 GB/s, 80 dispatches of 10 us, one sync of 0.5 ms
    expect(seconds).toBeCloseTo(0.7e-3 + 0.8e-3 + 0.5e-3, 12);
  });

  it('adds what has to be fetched, at the speed of the link', () => {
    const half = { ...work, share: 0.5 };
    const slow = predict(half, { ...TYPICAL_HARDWARE, fetchBytesPerSecond: 1e9 });
    const fast = predict(half, { ...TYPICAL_HARDWARE, fetchBytesPerSecond: 2e9 });
    const missed = 1 - expectedHitRate(0.5, 4 / 64); // of 40 MB
    expect(slow.seconds - fast.seconds).toBeCloseTo(missed * 40e6 * (1 / 1e9 - 1 / 2e9), 9);
  });

  it('picks lockstep when a sync costs next to nothing, optimistic when it costs much and few layers miss', () => {
    const cheap: Hardware = { ...TYPICAL_HARDWARE, syncSeconds: 1e-6 };
    const dear: Hardware = { ...TYPICAL_HARDWARE, syncSeconds: 5e-3 };
    expect(predict({ ...work, share: 0.1 }, cheap).mode).toBe('lockstep');
    expect(predict({ ...work, share: 0.9 }, dear).mode).toBe('optimistic');
  });

  it('names the cheaper mode: never dearer than a sync a layer', () => {
    fc.assert(
      fc.property(share, fc.double({ min: 1e-6, max: 1e-2, noNaN: true }), (s, syncSeconds) => {
        fc.pre(s < 1);
        const hardware = { ...TYPICAL_HARDWARE, syncSeconds, fetchBytesPerSecond: Infinity };
        const resident = predict(work, hardware).seconds;
        const { mode, seconds } = predict({ ...work, share: s }, hardware);
        const lockstep = resident + 10 * syncSeconds;
        expect(seconds).toBeLessThanOrEqual(lockstep + 1e-12);
        if (mode === 'lockstep') expect(seconds).toBeCloseTo(lockstep, 12);
        expect(seconds).toBeGreaterThanOrEqual(resident - 1e-12);
      }),
    );
  });

  it('more slots are never slower', () => {
    fc.assert(
      fc.property(share, share, (a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        const time = (s: number): number => predict({ ...work, share: s }, TYPICAL_HARDWARE).seconds;
        expect(time(more)).toBeLessThanOrEqual(time(less) + 1e-12);
      }),
    );
  });

  it('a model without experts is resident', () => {
    expect(predict({ ...work, moe: [], share: 1 }, TYPICAL_HARDWARE).mode).toBe('resident');
  });
});
