/** The simulated gate: gradients against finite differences, capacities kept, and what each rule is known for. */
import { describe, expect, it } from 'vitest';
import { prng } from '../../../src/util/prng.ts';
import {
  capacityOf,
  forward,
  GATE_BATCH,
  GATE_EXPERTS,
  gradients,
  lossesOf,
  sampler,
  simulateGate,
  startGate,
  type Gate,
  type GateSettings,
} from '../../../src/viz/gate-simulation.ts';

const settings = (change: Partial<GateSettings> = {}): GateSettings => ({
  kind: 'top-2',
  capacityFactor: 1.25,
  balance: 0.01,
  zLoss: 0,
  seed: 1,
  steps: 300,
  ...change,
});

const late = (values: Float64Array): number => values.subarray(-75).reduce((a, b) => a + b, 0) / 75;

describe('gradients', () => {
  const asked = settings({ balance: 0.3, zLoss: 0.05 });
  const next = prng(3);
  const gate = startGate(next);
  const batch = sampler(next, false)();
  const whole = (g: Gate): number => {
    const losses = lossesOf(forward(g, batch, asked), batch);
    return losses.error + asked.balance * losses.balance + asked.zLoss * losses.zLoss;
  };
  const slopes = gradients(gate, batch, forward(gate, batch, asked), asked);

  it.each(['router', 'experts'] as const)('of the %s equal finite differences', (part) => {
    const step = 1e-6;
    gate[part].forEach((value, i) => {
      const moved = (by: number): number => {
        const values = gate[part].slice();
        values[i] = value + by;
        return whole({ ...gate, [part]: values });
      };
      expect((moved(step) - moved(-step)) / (2 * step)).toBeCloseTo(slopes[part][i]!, 6);
    });
  });
});

describe('a run', () => {
  it('is the same for the same seed, and another for another', () => {
    const run = simulateGate(settings());
    expect(simulateGate(settings())).toEqual(run);
    expect(simulateGate(settings({ seed: 2 })).error).not.toEqual(run.error);
  });

  it('learns', () => {
    const { error } = simulateGate(settings({ capacityFactor: 0 }));
    expect(late(error)).toBeLessThan(0.6 * error[0]!);
  });

  it.each(['top-1', 'top-2', 'noisy top-2'] as const)(
    '%s: the balance loss evens the load and saves tokens',
    (kind) => {
      const without = simulateGate(settings({ kind, balance: 0 }));
      const balanced = simulateGate(settings({ kind, balance: 0.5 }));
      expect(late(balanced.cv2)).toBeLessThan(late(without.cv2));
      expect(late(balanced.dropped)).toBeLessThan(late(without.dropped));
      expect(late(balanced.balance)).toBeLessThan(late(without.balance));
    },
  );

  it('drops nothing without a limit, and exactly what is over it with one', () => {
    expect(simulateGate(settings({ capacityFactor: 0 })).dropped.every((share) => share === 0)).toBe(true);
    const next = prng(5);
    const gate = startGate(next);
    const asked = settings({ capacityFactor: 0.5 });
    const pass = forward(gate, sampler(next, false)(), asked);
    const capacity = capacityOf(asked);
    let over = 0;
    pass.assigned.forEach((n, e) => {
      const served = pass.served.filter((_, i) => i % GATE_EXPERTS === e).reduce((a, b) => a + b, 0);
      expect(served).toBe(Math.min(n, capacity));
      over += Math.max(0, n - capacity);
    });
    expect(capacity).toBe(8);
    expect(over).toBeGreaterThan(0);
    expect(pass.dropped).toBe(over / (GATE_BATCH * 2));
  });

  it('expert choice is even by construction, and leaves some tokens alone', () => {
    const run = simulateGate(settings({ kind: 'expert choice', capacityFactor: 1 }));
    expect(run.cv2.every((value) => value === 0)).toBe(true);
    expect(late(run.dropped)).toBeGreaterThan(0);
    expect(late(run.dropped)).toBeLessThan(1);
  });
});
