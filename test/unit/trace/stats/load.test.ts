import { describe, expect, it } from 'vitest';
import {
  balanceStats,
  countsFrom,
  countsOf,
  deviceBalance,
  distributionOf,
  gateOf,
  loadStats,
  meanOverLayers,
  popularityCurve,
  type LoadStats,
} from '../../../../src/trace/stats/index.ts';
import { InvalidRequest } from '../../../../src/errors.ts';
import type { Trace } from '../../../../src/trace/trace.ts';
import { traceOf } from '../../../support/traces.ts';

const valuesOf = ({ share, ...rest }: LoadStats): Record<string, number> => {
  expect(share.length).toBeGreaterThan(0);
  return Object.fromEntries(Object.entries(rest).map(([k, m]) => [k, Number(m.value.toFixed(12))]));
};
const round = (x: number): number => Number(x.toFixed(12));

describe('load by hand', () => {
  it('of 4, 2, 1 and 1 tokens', () => {
    const stats = loadStats(countsFrom([[4, 2, 1, 1]], 1), 0);
    expect([...stats.share]).toEqual([0.5, 0.25, 0.125, 0.125]);
    const cv2 = (4 + 0 + 1 + 1) / 4 / 4;
    expect(valuesOf(stats)).toEqual({
      cv: round(Math.sqrt(cv2)),
      cv2: round(cv2),
      maxVio: 1,
      entropy: 1.75 / 2,
      effective: round(2 ** 1.75),
      gini: 10 / 32,
      topQuarter: 0.5,
      unused: 0,
      rare: 0,
    });
  });

  it('of one expert for all', () => {
    const stats = loadStats(countsFrom([[0, 40, 0, 0]], 1), 0);
    expect(valuesOf(stats)).toMatchObject({ cv2: 3, maxVio: 3, entropy: 0, effective: 1, gini: 0.75, topQuarter: 1 });
    expect(valuesOf(stats)).toMatchObject({ unused: 0.75, rare: 0.75 });
    const rare = loadStats(countsFrom([[1, 79, 20, 20]], 1), 0);
    expect([rare.unused.value, rare.rare.value]).toEqual([0, 0.25]);
  });

  it('is even, by chance too, where every token takes every expert, or there is one', () => {
    for (const counts of [countsFrom([[9, 9, 9]], 3), countsFrom([[9]], 1)]) {
      const { cv, entropy, maxVio, gini } = loadStats(counts, 0);
      for (const m of [cv, maxVio, gini]) expect(m).toMatchObject({ value: 0, chance: { mean: 0, low: 0, high: 0 } });
      expect(entropy.value).toBeCloseTo(1, 12);
      expect(entropy.chance!.low).toBe(entropy.value);
    }
  });

  it('of no tokens is nothing, and has no band', () => {
    const stats = loadStats(countsFrom([[0, 0]], 1), 0);
    expect([...stats.share]).toEqual([0, 0]);
    expect(stats.entropy).toEqual({ value: 0, chance: null, n: 0 });
    expect(popularityCurve(countsFrom([[0, 0]], 1), 0)).toMatchObject({ chance: null });
    expect(loadStats(countsFrom([[1, 1]], 1), 0, { chance: false }).cv).toEqual({ value: 0, chance: null, n: 2 });
  });

  it('is averaged over layers as figures, not as counts', () => {
    const opposite = countsFrom(
      [
        [2, 0],
        [0, 2],
      ],
      1,
    );
    expect(meanOverLayers([0, 1].map((l) => loadStats(opposite, l).maxVio))).toBe(1);
    expect(meanOverLayers([loadStats(countsFrom([[0, 0]], 1), 0).cv])).toBe(0);
  });

  it('sorted', () => {
    const { order, share, lorenz } = popularityCurve(countsFrom([[1, 4, 1, 2]], 1), 0);
    expect([...order]).toEqual([1, 3, 0, 2]);
    expect([...share]).toEqual([0.5, 0.25, 0.125, 0.125]);
    expect([...lorenz]).toEqual([0, 0.125, 0.25, 0.5, 1]);
  });
});

describe('balance by hand', () => {
  const ids = traceOf([[[0]], [[0]], [[1]], [[0]]], 2);
  const trace: Trace = {
    ...ids,
    steps: ids.steps.map((s, t) => ({ ...s, chat: t < 3 ? 0 : 1 })),
    weights: Float32Array.from([0.75, 0.5, 0.5, 0.75]),
    logits: Float32Array.from([Math.log(3), 0, 0, 0, 0, Math.log(3), Math.log(3), 0]),
    scoring: 'softmax',
  };

  it('of four tokens and two experts', () => {
    const { switchLoss, sequence, importanceCv2, loadCv2, zLoss, maxVio } = balanceStats(trace, 0);
    // f = 3/4, 1/4; P = (3/4 + 1/2 + 1/4 + 3/4) / 4 = 9/16.
    expect(switchLoss!.value).toBeCloseTo(2 * ((3 / 4) * (9 / 16) + (1 / 4) * (7 / 16)), 7);
    // The first chat: f = 2/3, P = 1/2, so 1; the second: f = 1, P = 3/4.
    expect(sequence).toMatchObject({ value: expect.closeTo((1 + 1.5) / 2, 7) as number, n: 2 });
    expect(importanceCv2!.value).toBeCloseTo((0.75 / 1.25) ** 2, 12);
    // Each weight goes to either expert: Σ (w² / 2 - w² / 4) over the squared mean.
    expect(importanceCv2!.chance!.mean).toBeCloseTo(1.625 / 4 / 1.25 ** 2, 12);
    expect(loadCv2.value).toBe(0.25);
    expect(maxVio.value).toBe(0.5);
    const z = (3 * Math.log(4) ** 2 + Math.log(2) ** 2) / 4;
    expect(zLoss).toMatchObject({ value: expect.closeTo(z, 6) as number, chance: null, n: 4 });
    const bare = balanceStats({ ...trace, weights: null, logits: null }, 0);
    expect(bare).toMatchObject({ switchLoss: null, sequence: null, importanceCv2: null, zLoss: null });
  });

  it('of devices', () => {
    const counts = countsFrom([[3, 1, 2, 0]], 1);
    expect(deviceBalance(counts, 0, 2).value).toBeCloseTo(1 / 3, 12);
    expect(deviceBalance(counts, 0, 1)).toMatchObject({ value: 0, chance: { high: 0 } });
    for (const devices of [3, 0, 1.5]) expect(() => deviceBalance(counts, 0, devices)).toThrow(InvalidRequest);
  });

  it('of gates', () => {
    const { entropy, margin, topShare } = gateOf(trace, 0);
    expect(entropy![1]).toBeCloseTo(1, 12);
    expect(entropy![0]).toBeCloseTo((2 - 0.75 * Math.log2(3)) / 1, 6);
    [0.5, 0, 0.5, 0.5].forEach((m, t) => expect(margin![t]).toBeCloseTo(m, 6));
    expect([...topShare!]).toEqual([1, 1, 1, 1]);
    // Against the probabilities: something else chose.
    const against = { ...trace, ids: Uint16Array.from([1, 0, 1, 0]) };
    expect(gateOf(against, 0).margin![0]).toBeCloseTo(-0.5, 6);
    expect(distributionOf(Float64Array.from([4, NaN, 0, 1, 2, 3]))).toEqual({
      n: 5,
      mean: 2,
      quantiles: [0.2, 1, 2, 3, 3.8],
    });
    expect(distributionOf(Float64Array.from([NaN]))).toBeNull();
  });
});

it('load of all layers of 100,000 tokens of a large model takes well under a second of work', () => {
  const [layers, experts, topK, tokens] = [48, 128, 8, 100_000];
  const ids = new Uint16Array(tokens * layers * topK);
  for (let i = 0; i < ids.length; i++) ids[i] = ((i >> 3) * 7 + (i & 7) * 16) % experts;
  const trace: Trace = {
    model: { name: 'large', layers, experts, topK, expertBytes: Array<number>(layers).fill(1) },
    steps: [{ phase: 'prefill', chat: 0, position: 0, tokens }],
    ids,
    weights: null,
    origins: null,
  };
  const times = [0, 1].map(() => {
    const start = process.cpuUsage();
    const counts = countsOf(trace);
    for (let l = 0; l < layers; l++) loadStats(counts, l);
    return process.cpuUsage(start).user / 1000;
  });
  expect(Math.min(...times)).toBeLessThan(1000);
});
