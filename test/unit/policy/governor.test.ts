import { describe, expect, it } from 'vitest';
import { PrefetchGovernor } from '../../../src/policy/governor.ts';

/** A governor that has seen `tokens` tokens of 10 ms. */
function after(busyMs: number, tokens = 16): PrefetchGovernor {
  const governor = new PrefetchGovernor();
  for (let n = 0; n < tokens; n++) governor.endStep({ ms: 10, busyMs });
  return governor;
}
const guess = (g: PrefetchGovernor, key: number, isUsed: boolean): void => {
  g.onGuess(key, null);
  if (isUsed) g.onUse(key);
  else g.onLeave(key);
};

describe('the width', () => {
  it('is nothing before the link is known, and on a busy one', () => {
    expect(new PrefetchGovernor().width).toBe(0);
    expect([9, 5, 4.9, 3.6, 3, 0].map((busy) => after(busy).width)).toEqual([0, 0, 2, 2, 4, 4]);
  });
  it('looks back on 16 tokens only', () => {
    const governor = after(9);
    for (let n = 0; n < 8; n++) governor.endStep({ ms: 10, busyMs: 0 });
    expect(governor.stats.busyShare).toBeCloseTo(0.45);
    expect(governor.width).toBe(2);
    for (let n = 0; n < 8; n++) governor.endStep({ ms: 10, busyMs: 0 });
    expect(governor.stats.busyShare).toBe(0);
  });
  it('is nothing while guesses prove wrong, and opens again later', () => {
    const governor = after(4);
    for (let key = 0; key < 40; key++) guess(governor, key, key % 3 === 0);
    expect(governor.stats.usefulRatio).toBeLessThan(0.6);
    expect(governor.width).toBe(0);
    for (let n = 0; n < 100; n++) governor.endStep({ ms: 10, busyMs: 4 });
    expect(governor.width).toBe(2);
  });
  it('asks less of guesses on an idle link', () => {
    const governor = after(1);
    for (let key = 0; key < 40; key++) guess(governor, key, key % 2 === 0);
    expect(governor.width).toBe(4);
    for (let key = 0; key < 200; key++) guess(governor, key, false);
    expect(governor.width).toBe(0);
  });
});

describe('admission', () => {
  const governor = new PrefetchGovernor();
  it.each<[number, number | null, boolean]>([
    [0.2, null, true],
    [0.2, 0.1, true],
    [0.2, 0.2, false],
    [0.2, 0.3, false],
    [0.9, 0.74, true],
    [0.9, 0.75, false],
  ])('a guess of chance %s for a slot of %s: %s', (candidate, occupant, admitted) => {
    expect(governor.admits(candidate, occupant)).toBe(admitted);
  });
});

describe('the count', () => {
  it('knows useful, wasted and displaced', () => {
    const governor = new PrefetchGovernor();
    governor.onGuess(1, 10);
    governor.onGuess(2, 11);
    governor.onGuess(3, null);
    governor.onUse(1);
    governor.onUse(1); // a second use is no second guess
    governor.onLeave(1);
    governor.onLeave(2);
    governor.onMiss(10);
    governor.onMiss(10);
    governor.onMiss(99);
    expect(governor.stats).toMatchObject({ issued: 3, useful: 1, wasted: 1, displacedDemand: 1 });
    expect(governor.log).toEqual([{ step: 0, guessed: 2, displaced: 11 }]);
  });
  it('forgets what was guessed back, and the oldest of many', () => {
    const governor = new PrefetchGovernor();
    governor.onGuess(1, 10);
    governor.onGuess(10, null);
    expect(governor.log).toEqual([]);
    for (let key = 0; key < 1000; key++) governor.onGuess(key, 5000 + key);
    expect(governor.log).toHaveLength(256);
    expect(governor.log[0]!.displaced).toBe(5000 + 1000 - 256);
  });
});
