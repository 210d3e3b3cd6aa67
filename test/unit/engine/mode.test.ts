import { describe, expect, it } from 'vitest';
import { ModePicker, type TokenCost } from '../../../src/engine/mode.ts';

const LAYERS = 20;

/** What a token costs on a device: `compute` ms for all layers, `sync` for each submit with its readback. */
function costOf(
  mode: 'optimistic' | 'lockstep',
  { compute, sync, missed }: { compute: number; sync: number; missed: number },
  stallMs = 0,
): TokenCost {
  const replays = mode === 'optimistic' ? Math.round(0.35 * missed) : 0;
  const ms = mode === 'lockstep' ? compute + (LAYERS + 1) * sync : compute * (1 + 0.6 * replays) + (1 + replays) * sync;
  return { mode, ms: ms + stallMs, stallMs, replays, missedLayers: missed };
}

/** Runs tokens on it. @returns how many of the last `count` were optimistic */
function run(
  picker: ModePicker,
  device: { compute: number; sync: number; missed: number },
  tokens: number,
  stallMs = 0,
): string[] {
  return Array.from({ length: tokens }, () => {
    const mode = picker.pick();
    picker.learn(costOf(mode, device, stallMs));
    return mode;
  });
}
const share = (picks: readonly string[], mode: string): number => picks.filter((p) => p === mode).length / picks.length;

describe('ModePicker', () => {
  it('does what it is told, whatever it learns', () => {
    const dear = { compute: 100, sync: 0.01, missed: LAYERS };
    const cheap = { compute: 1, sync: 10, missed: 0 };
    for (const device of [dear, cheap]) {
      expect(new Set(run(new ModePicker(LAYERS, 'optimistic', device.sync), device, 200))).toEqual(
        new Set(['optimistic']),
      );
      expect(new Set(run(new ModePicker(LAYERS, 'resident', device.sync), device, 200))).toEqual(
        new Set(['optimistic']),
      );
      expect(new Set(run(new ModePicker(LAYERS, 'lockstep', device.sync), device, 200))).toEqual(new Set(['lockstep']));
    }
  });

  it('begins with optimistic, and knows what a sync costs', () => {
    const picker = new ModePicker(LAYERS, 'auto', 2);
    expect(picker.pick()).toBe('optimistic');
    expect(picker.syncMs).toBe(2);
  });

  it('is optimistic when few layers miss', () => {
    expect(
      share(run(new ModePicker(LAYERS, 'auto', 1), { compute: 5, sync: 1, missed: 1 }, 256), 'optimistic'),
    ).toBeGreaterThan(0.97);
  });

  it('goes in lockstep when most layers miss and a sync is cheap', () => {
    const picks = run(new ModePicker(LAYERS, 'auto', 0.05), { compute: 20, sync: 0.05, missed: LAYERS }, 256);
    expect(share(picks.slice(16), 'lockstep')).toBeGreaterThan(0.97);
  });

  it('changes its mind when the routing does', () => {
    const picker = new ModePicker(LAYERS, 'auto', 0.2);
    const calm = { compute: 10, sync: 0.2, missed: 0 };
    const wild = { compute: 10, sync: 0.2, missed: LAYERS };
    expect(share(run(picker, calm, 100), 'optimistic')).toBeGreaterThan(0.97);
    expect(share(run(picker, wild, 100).slice(-50), 'lockstep')).toBeGreaterThan(0.95);
    // From lockstep as well: there it counts the layers that missed.
    expect(share(run(picker, calm, 150).slice(-50), 'optimistic')).toBeGreaterThan(0.95);
  });

  it('tries the other mode once in 64 tokens', () => {
    for (const [device, rare] of [
      [{ compute: 5, sync: 1, missed: 0 }, 'lockstep'],
      [{ compute: 20, sync: 0.05, missed: LAYERS }, 'optimistic'],
    ] as const) {
      const picker = new ModePicker(LAYERS, 'auto', device.sync);
      run(picker, device, 64);
      const picks = run(picker, device, 640);
      expect(picks.filter((p) => p === rare).length).toBe(10);
    }
  });

  it('counts no waiting for experts: that is the same in both', () => {
    const device = { compute: 5, sync: 1, missed: 1 };
    const [with1000, without] = [new ModePicker(LAYERS, 'auto', 1), new ModePicker(LAYERS, 'auto', 1)];
    run(with1000, device, 50, 1000);
    run(without, device, 50);
    for (const mode of ['optimistic', 'lockstep'] as const)
      expect(with1000.estimate(mode)).toBeCloseTo(without.estimate(mode), 9);
  });

  it('estimates what a token really costs, in the mode that it does not use as well', () => {
    const device = { compute: 8, sync: 0.5, missed: 0 };
    const picker = new ModePicker(LAYERS, 'optimistic', device.sync);
    run(picker, device, 100);
    expect(picker.estimate('optimistic')).toBeCloseTo(8.5, 6);
    expect(picker.estimate('lockstep')).toBeCloseTo(8 + 21 * 0.5, 6);
  });

  it('takes no time below zero from a clock that is too coarse', () => {
    const picker = new ModePicker(LAYERS, 'auto', 5);
    picker.learn({ mode: 'lockstep', ms: 1, stallMs: 2, replays: 0, missedLayers: 0 });
    expect(picker.estimate('optimistic')).toBe(5);
  });
});
