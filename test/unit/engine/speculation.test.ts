import { describe, expect, it } from 'vitest';
import { SpeculationGovernor } from '../../../src/engine/speculation/governor.ts';
import { PromptLookup } from '../../../src/engine/speculation/lookup.ts';
import { resolveSpeculation } from '../../../src/engine/speculation/options.ts';

describe('PromptLookup', () => {
  const after = (tokens: number[], most = 4, ngram = 3): number[] => new PromptLookup(tokens, ngram).draft(most);

  it('goes on as the text did after the same last tokens', () => {
    expect(after([1, 2, 3, 4, 5, 6, 9, 1, 2, 3])).toEqual([4, 5, 6, 9]);
    expect(after([1, 2, 3, 4, 5, 6, 9, 1, 2, 3], 2)).toEqual([4, 5]);
  });

  it('takes the longest match, and of equal ones the latest', () => {
    expect(after([1, 2, 3, 10, 8, 2, 3, 20, 1, 2, 3], 1)).toEqual([10]);
    expect(after([1, 2, 3, 10, 1, 2, 3, 20, 1, 2, 3], 1)).toEqual([20]);
    expect(after([8, 2, 3, 10, 7, 2, 3], 1)).toEqual([10]);
  });

  it('goes round in what repeats', () => {
    expect(after([1, 2, 1, 2, 1, 2], 5)).toEqual([1, 2, 1, 2, 1]);
    expect(after([7, 7, 7], 3)).toEqual([7, 7, 7]);
  });

  it('says nothing of what is new', () => {
    expect(after([1, 2, 3, 4, 5])).toEqual([]);
    expect(after([3])).toEqual([]);
    expect(after([1, 2, 1, 2], 0)).toEqual([]);
  });
});

describe('SpeculationGovernor', () => {
  /** @param slope of a step's time a token more @param held of the tokens that were guessed */
  const taught = (slope: number, held: number): SpeculationGovernor => {
    const governor = new SpeculationGovernor();
    for (let i = 0; i < 80; i++) {
      governor.learnOne(10);
      governor.learnFew({ guesses: 4, held, ms: 10 * (1 + 4 * slope) });
    }
    return governor;
  };

  it('guesses far where guesses hold and cost little', () => {
    expect(taught(0.05, 4).worth(7)).toBe(7);
    expect(taught(0.05, 4).gain(7)).toBeGreaterThan(4);
  });

  it('guesses less far where fewer hold', () => {
    const some = taught(0.1, 1).worth(7);
    expect(some).toBeGreaterThan(0);
    expect(some).toBeLessThan(7);
  });

  it('does not guess where a token more costs what a step does, or where guesses fail', () => {
    expect(taught(1, 4).worth(7)).toBe(0);
    expect(taught(0.1, 0).worth(7)).toBe(0);
    expect(taught(0.05, 4).worth(0)).toBe(0);
  });

  it('tries again now and then, until it was tried', () => {
    const governor = taught(0.1, 0);
    const worth = Array.from({ length: 24 }, () => governor.worth(7));
    expect(worth).toEqual([...Array<number>(23).fill(0), 2]);
    expect(governor.worth(1)).toBe(1);
    governor.learnFew({ guesses: 2, held: 0, ms: 12 });
    expect(governor.worth(7)).toBe(0);
  });
});

describe('resolveSpeculation', () => {
  it('is governed unless it is asked for', () => {
    expect(resolveSpeculation(undefined, true)).toEqual({ most: 7, ngram: 3, isGoverned: true });
    expect(resolveSpeculation(undefined, false)).toBeNull();
    expect(resolveSpeculation(true, false)).toEqual({ most: 7, ngram: 3, isGoverned: false });
    expect(resolveSpeculation({ most: 2 }, false)).toEqual({ most: 2, ngram: 3, isGoverned: false });
    expect(resolveSpeculation(false, true)).toBeNull();
  });

  it.each([
    [{ most: 0 }, 'speculate.most'],
    [{ most: 8 }, 'speculate.most'],
    [{ ngram: 1 }, 'speculate.ngram'],
    [{ ngram: 2.5 }, 'speculate.ngram'],
  ])('refuses %o', (option, name) => expect(() => resolveSpeculation(option, true)).toThrow(name));
});
