import { describe, expect, it } from 'vitest';
import { TokenLimits, type LimitOptions } from '../../../src/engine/token-limits.ts';
import { InvalidRequest } from '../../../src/errors.ts';
import { STEP_BYTES, writeStep, GREEDY } from '../../../src/gpu/step.ts';
import type { TokenMask } from '../../../src/text/grammar/constraint.ts';

const V = 70;
const idsOf = (set: Uint32Array | null): number[] | null =>
  set && Array.from({ length: 32 * set.length }, (_, id) => id).filter((id) => (set[id >> 5]! >>> (id & 31)) & 1);
const setOf = (ids: readonly number[]): Uint32Array => {
  const words = new Uint32Array(Math.ceil(V / 32));
  for (const id of ids) words[id >> 5]! |= 1 << (id & 31);
  return words;
};

/** Allows the sets one after the other. */
class Script implements TokenMask {
  readonly mayEnd = false;
  readonly closingCost = 1;
  readonly accepted: number[] = [];
  readonly #sets: readonly Uint32Array[];

  constructor(...sets: readonly (readonly number[])[]) {
    this.#sets = sets.map(setOf);
  }

  get bits(): Uint32Array {
    return this.#sets[this.accepted.length] ?? setOf([]);
  }

  get isDone(): boolean {
    return this.accepted.length >= this.#sets.length;
  }

  accept(id: number): void {
    this.accepted.push(id);
  }
}

describe('what may be drawn', () => {
  it('is anything, and nothing is added, when nothing is asked', () => {
    for (const options of [{}, { logitBias: {} }, { logitBias: { 3: 0 } }]) {
      const limits = new TokenLimits(options, V);
      expect(limits).toMatchObject({ bias: null, allowed: null, topLogprobs: 0, isDone: false });
    }
  });

  it('is all but what -100 bans, or only what 100 forces; between them, bias is added', () => {
    const banned = new TokenLimits({ logitBias: { 0: -100, 69: -100, 5: 1.5, 6: -99.9 } }, V);
    expect(idsOf(banned.allowed)).toEqual(Array.from({ length: 68 }, (_, i) => i + 1));
    expect([...banned.bias!.entries()].filter(([, b]) => b !== 0)).toEqual([
      [5, 1.5],
      [6, Math.fround(-99.9)],
    ]);
    const forced = new TokenLimits({ logitBias: { 64: 100, 2: 100, 3: -100 } }, V);
    expect(idsOf(forced.allowed)).toEqual([2, 64]);
    expect(forced.bias).toBeNull();
  });

  it('is what a constraint allows first; bans and forces choose among that', () => {
    const script = new Script([1, 2, 3], [2, 3], [3, 40], [2]);
    const limits = new TokenLimits({ logitBias: { 2: -100, 40: 100 } }, V, script);
    const seen: unknown[] = [];
    for (; !limits.isDone; limits.accept(idsOf(limits.allowed)![0]!)) seen.push(idsOf(limits.allowed));
    expect(seen).toEqual([[1, 3], [3], [40], [2]]);
    expect(script.accepted).toEqual([1, 3, 40, 2]);
  });

  it('never changes what the constraint handed out, and is another array after each token', () => {
    const script = new Script([1, 2], [1, 2]);
    const limits = new TokenLimits({ logitBias: { 2: -100 } }, V, script);
    const before = limits.allowed;
    expect(idsOf(script.bits)).toEqual([1, 2]);
    limits.accept(1);
    expect(limits.allowed).not.toBe(before);
    const free = new TokenLimits({ logitBias: { 2: -100 } }, V);
    const kept = free.allowed;
    free.accept(1);
    expect(free.allowed).toBe(kept);
  });

  it('leaves end tokens out where the caller goes on past them, unless nothing else may come', () => {
    const limits = new TokenLimits({}, V, new Script([1, 7], [7]), [7]);
    expect(idsOf(limits.allowed)).toEqual([1]);
    limits.accept(1);
    expect(idsOf(limits.allowed)).toEqual([7]);
  });
});

describe('refuses', () => {
  it.each<[string, unknown, RegExp]>([
    ['an id beyond the vocabulary', { logitBias: { 70: 1 } }, /token 70; the vocabulary has ids 0 to 69/],
    ['a negative id', { logitBias: { '-1': 1 } }, /token -1/],
    ['half an id', { logitBias: { '1.5': 1 } }, /token 1\.5/],
    ['a word', { logitBias: { yes: 1 } }, /token yes/],
    ['too much', { logitBias: { 3: 100.5 } }, /token 3 must be a number from -100 to 100, got 100\.5/],
    ['no number', { logitBias: { 3: NaN } }, /token 3 .* got NaN/],
    ['a text', { logitBias: { 3: '5' } }, /token 3 .* got 5/],
    [
      'bans of everything',
      { logitBias: Object.fromEntries(Array.from({ length: V }, (_, i) => [i, -100])) },
      /every token/,
    ],
    ['21 log-probabilities', { topLogprobs: 21 }, /topLogprobs must be a whole number from 0 to 20, got 21/],
    ['half of one', { topLogprobs: 0.5 }, /topLogprobs/],
    ['fewer than none', { topLogprobs: -1 }, /topLogprobs/],
  ])('%s', (_, options, message) => {
    const make = (): unknown => new TokenLimits(options as LimitOptions, V);
    expect(make).toThrow(InvalidRequest);
    expect(make).toThrow(message);
  });
});

it('is one word of the step, 0 where nothing is asked', () => {
  const word = (options: object): number =>
    new Uint32Array(writeStep(new ArrayBuffer(STEP_BYTES), 1, 0, { ...GREEDY, ...options }))[14]!;
  expect(word({})).toBe(0);
  expect(word({ isBiased: true })).toBe(1);
  expect(word({ isMasked: true, topLogprobs: 20 })).toBe(2 + 20 * 256);
});
