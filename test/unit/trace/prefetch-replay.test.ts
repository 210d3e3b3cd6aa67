import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidRequest } from '../../../src/errors.ts';
import { replayPrefetch, type PrefetchOptions, type PrefetchResult } from '../../../src/trace/prefetch-replay.ts';
import { replay } from '../../../src/trace/replay.ts';
import { visitsOf } from '../../../src/trace/visits.ts';
import { anyTrace, cyclicTrace, loadTrace } from '../../support/traces.ts';

const gptoss = visitsOf(loadTrace('gptoss'));
const tenth = { slots: Math.round((gptoss.model.layers * gptoss.model.experts) / 10) };
const run = (options: Partial<PrefetchOptions>): PrefetchResult =>
  replayPrefetch(gptoss, {
    policy: 'next-use',
    capacity: tenth,
    link: 4,
    guess: { recall: 0.85 },
    governor: 'always',
    ...options,
  });

describe('prefetch replay', () => {
  it('without guesses loads and waits for what the plain replay misses', () => {
    fc.assert(
      fc.property(anyTrace, fc.integer({ min: 1, max: 30 }), (trace, slots) => {
        const common = { policy: 'next-use', capacity: { slots } };
        const plain = replay(trace, common);
        const found = replayPrefetch(trace, { ...common, link: 2, guess: { recall: 1 }, governor: 'never' });
        expect(found.loads).toBeCloseTo(plain.decodeLoadsPerToken, 9);
        expect(found.stalls).toBeCloseTo(plain.decodeLoadsPerToken, 9);
        expect(found.bytes).toBeCloseTo(plain.decodeBytesPerToken, 6);
        // A link of twice the demand carries a token's loads in half the time that it computes.
        if (plain.decodeLoadsPerToken) expect(found.stallTime).toBeCloseTo(trace.model.layers / 2, 9);
      }),
    );
  });

  it('with all guesses right and a link without limits, no layer waits, for the same loads or a few more', () => {
    const found = run({ link: Infinity, guess: { recall: 1 } });
    const first = 1 / 64; // no layer before a token's first visit after the prompt has guessed for it
    expect(found.stalls).toBeLessThan(gptoss.model.topK * first + 1e-9);
    expect(found.stallTime).toBe(0);
    expect(found.usefulRatio).toBe(1);
    const demand = run({ governor: 'never' });
    expect(found.loads).toBeLessThan(demand.loads * 1.05);
  });

  it('guesses that are never right only cost', () => {
    const wrong = run({ link: Infinity, guess: { recall: 0 } });
    const demand = run({ governor: 'never' });
    expect(wrong.stalls).toBeGreaterThanOrEqual(demand.stalls);
    expect(wrong.loads).toBeGreaterThan(demand.loads * 1.5);
    expect(wrong.usefulRatio).toBeLessThan(0.2);
    expect(wrong.displacedDemand).toBeGreaterThan(0);
  });

  it('more link waits less', () => {
    const times = [1, 2, 4, 16].map((link) => run({ link }).stallTime);
    for (let n = 1; n < times.length; n++) expect(times[n]!).toBeLessThan(times[n - 1]!);
  });

  it('takes guesses from outside', () => {
    const truth = (visit: number): Uint16Array => gptoss.experts.subarray(gptoss.start[visit], gptoss.start[visit + 1]);
    expect(run({ guess: truth })).toEqual(run({ guess: { recall: 1 } }));
  });

  it('the governor keeps off a busy link, and uses an idle one', () => {
    const demand = run({ link: 0.5, governor: 'never' });
    const busy = run({ link: 0.5, governor: {} });
    expect(busy.guessedLoads).toBeLessThan(0.2);
    expect(busy.loads).toBeLessThan(demand.loads * 1.02);
    const idle = run({ link: 16, governor: {} });
    expect(idle.stalls).toBeLessThan(demand.stalls / 2);
    expect(idle.displacedDemand).toBeLessThan(1);
  });

  it('never holds more than the capacity when a guess comes in', () => {
    const trace = cyclicTrace(4, 2, 3, 30);
    const found = replayPrefetch(trace, {
      policy: 'lru',
      capacity: { slots: 2 },
      link: Infinity,
      guess: { recall: 1 },
      governor: 'always',
    });
    expect(found.guessedLoads).toBe(0); // the two slots belong to the layer that runs
  });

  it.each<[Partial<PrefetchOptions>, RegExp]>([
    [{ link: 0 }, /link/],
    [{ link: NaN }, /link/],
    [{ guess: { recall: 1.1 } }, /recall/],
    [{ guess: { recall: NaN } }, /recall/],
  ])('refuses %j', (options, message) => {
    expect(() => run(options)).toThrow(InvalidRequest);
    expect(() => run(options)).toThrow(message);
  });
});
