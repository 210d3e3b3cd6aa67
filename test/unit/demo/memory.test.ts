import { describe, expect, it } from 'vitest';
import type { PagePlan } from '../../../demo/engine.ts';
import { MemoryChoices } from '../../../demo/memory/choices.ts';
import { bytesAt, expertsAt, memoryRange, positionOf, widened, type MemoryRange } from '../../../demo/memory/range.ts';
import { amountText, expectText } from '../../../demo/memory/words.ts';

function rangeOf(experts: number, minimum: number, each: number, rest: number): MemoryRange | null {
  const plan: Partial<PagePlan> = {
    slots: { count: minimum, experts, minimum, bytesEach: each },
    minimumBytes: rest + minimum * each,
    fullBytes: rest + experts * each,
  };
  return memoryRange(plan as PagePlan);
}

describe('the range of graphics memory', () => {
  it('is none where there is nothing to choose', () => {
    expect(memoryRange({} as PagePlan)).toBeNull();
    expect(rangeOf(8, 8, 100, 1000)).toBeNull();
  });

  it('has a position an expert, and gives the bytes back exactly', () => {
    const range = rangeOf(128, 20, 90e6, 1.2e9)!;
    expect(range.steps).toBe(108);
    for (let position = 0; position <= range.steps; position++) {
      const bytes = bytesAt(range, position);
      expect(bytes).toBe(1.2e9 + (20 + position) * 90e6);
      expect(positionOf(range, bytes)).toBe(position);
      expect(expertsAt(range, bytes)).toBe(20 + position);
    }
  });

  it.each([
    [6144, 500, 3_145_729, 2e9 + 7],
    [6145, 501, 1, 17],
    [3, 1, 999_999_937, 1],
  ])('reaches both ends and never gives a byte too few: %d experts', (experts, minimum, each, rest) => {
    const range = rangeOf(experts, minimum, each, rest)!;
    expect(bytesAt(range, 0)).toBe(range.minBytes);
    expect(bytesAt(range, range.steps)).toBe(range.maxBytes);
    expect(expertsAt(range, range.maxBytes)).toBe(experts);
    for (let position = 0; position <= range.steps; position++) {
      const bytes = bytesAt(range, position);
      expect(Number.isInteger(bytes)).toBe(true);
      expect(positionOf(range, bytes)).toBe(position);
    }
  });

  it('keeps to its ends', () => {
    const range = rangeOf(128, 20, 90e6, 1.2e9)!;
    expect(positionOf(range, 0)).toBe(0);
    expect(positionOf(range, 1e15)).toBe(108);
    expect(expertsAt(range, 0)).toBe(20);
    expect(expertsAt(range, 1e15)).toBe(128);
  });

  it('keeps the way back open when fewer bits need less', () => {
    const published = rangeOf(128, 20, 90e6, 1.2e9)!;
    const q4 = rangeOf(128, 20, 25e6, 0.4e9)!;
    expect(widened(published, q4)).toMatchObject({ minBytes: q4.minBytes, maxBytes: published.maxBytes });
    expect(widened(q4, published)).toMatchObject({ minBytes: q4.minBytes, maxBytes: published.maxBytes });
  });
});

describe('in words', () => {
  it('an amount', () => {
    expect(amountText(3.2e9, 1024, 6144)).toBe('3.20 GB · 1,024 of 6,144 experts');
    expect(amountText(3.2e9, 6144, 6144)).toBe('3.20 GB · all 6,144 experts');
  });

  it('what to expect', () => {
    expect(expectText('resident', 41.6)).toMatch(/^Every expert .* Expect about 42 tokens\/s\.$/);
    expect(expectText('lockstep')).not.toContain('tokens/s');
    expect(new Set((['resident', 'optimistic', 'lockstep'] as const).map((mode) => expectText(mode))).size).toBe(3);
  });
});

describe('what the visitor chose', () => {
  it('is known by model, also where nothing can be stored', () => {
    const choices = new MemoryChoices();
    choices.set('a', 5e9);
    choices.set('b', 6e9);
    choices.forget('b');
    expect([choices.get('a'), choices.get('b'), choices.get('c')]).toEqual([5e9, undefined, undefined]);
  });
});
