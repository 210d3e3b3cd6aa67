import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Scheduler, type Sequence, type Stretch } from '../../../../src/engine/serving/scheduler.ts';
import { OutOfBudget } from '../../../../src/errors.ts';
import { PAGE_TOKENS, pagesFor } from '../../../../src/kernels/attention/pages.ts';
import { tries } from '../../../support/everyday.ts';

/** What the tokens of a page's places are, as a GPU would have them: a number for each text that ends there. */
class Memory {
  readonly #places = new Map<number, number>();
  readonly #texts = new Map<string, number>();

  /** Computes a step, and checks that everything that it reads is there. */
  run(stretches: readonly Stretch[]): void {
    const texts = stretches.map(({ sequence, end }) => this.#textsOf(sequence, end));
    stretches.forEach(({ sequence, begin, end }, i) => {
      for (let at = begin; at < end; at++) this.#places.set(placeOf(sequence, at), texts[i]![at]!);
    });
    const read = stretches.map(({ sequence }, i) => texts[i]!.map((_, at) => this.#places.get(placeOf(sequence, at))));
    expect(read).toEqual(texts);
  }

  #textsOf({ tokens, adapter }: Sequence, end: number): number[] {
    // Under another adapter the same tokens have other keys and values.
    let text = -1 - ADAPTERS.indexOf(adapter);
    return tokens.slice(0, end).map((id) => {
      const key = `${text}:${id}`;
      text = this.#texts.get(key) ?? this.#texts.size + 1;
      this.#texts.set(key, text);
      return text;
    });
  }
}

const placeOf = ({ pages }: Sequence, at: number): number =>
  pages[Math.floor(at / PAGE_TOKENS)]! * PAGE_TOKENS + (at % PAGE_TOKENS);

const ADAPTERS: readonly (string | null)[] = [null, 'poems', 'code'];

interface Wish {
  readonly prompt: readonly number[];
  readonly answer: number;
  /** The step before which it comes. */
  readonly comes: number;
  /** The step before which it is cancelled, counted from the first; null: never. */
  readonly leaves: number | null;
  /** Its reader stops for these steps. */
  readonly pauses: readonly [begin: number, end: number];
  readonly adapter: string | null;
}

const wish: fc.Arbitrary<Wish> = fc.record({
  // Few different tokens, and repeated stretches: prompts begin alike.
  prompt: fc
    .tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 60 }), fc.nat(1))
    .map(([pages, rest, seed]) => [
      ...Array<number>(pages * PAGE_TOKENS).fill(1),
      ...Array.from({ length: rest }, (_, i) => (i * seed) % 3),
    ]),
  answer: fc.integer({ min: 1, max: 40 }),
  comes: fc.nat(30),
  leaves: fc.option(fc.nat(80), { nil: null }),
  pauses: fc.tuple(fc.nat(60), fc.nat(60)),
  adapter: fc.constantFrom(...ADAPTERS),
});

const options = fc.record({
  pages: fc.integer({ min: 9, max: 24 }),
  inFlight: fc.integer({ min: 1, max: 8 }),
  rows: fc.integer({ min: 1, max: 40 }),
});

/** The token after a text: the same whoever computes it. */
const nextOf = (tokens: readonly number[]): number => (tokens.length * 31 + tokens.at(-1)!) % 5;

function alone({ prompt, answer }: Wish): number[] {
  const tokens = [...prompt];
  for (let i = 0; i < answer; i++) tokens.push(nextOf(tokens));
  return tokens;
}

describe('requests that run together', () => {
  it('each get what they would get alone, move while they can, and leave nothing behind', () => {
    fc.assert(
      fc.property(options, fc.array(wish, { minLength: 1, maxLength: 12 }), (sizes, wishes) => {
        const scheduler = new Scheduler(sizes);
        const memory = new Memory();
        const live = new Map<Sequence, { readonly wish: Wish }>();
        let done = 0;
        let before: Sequence | undefined;
        let waited = 0;
        for (let step = 0; done < wishes.length; step++) {
          expect(step, 'they end').toBeLessThan(20_000);
          for (const w of wishes) {
            if (w.comes !== step) continue;
            const most = w.prompt.length + w.answer;
            live.set(scheduler.add(w.prompt, most, true, w.adapter), { wish: w });
          }
          for (const [sequence, { wish: w }] of live) {
            const [begin, end] = w.pauses;
            scheduler.pause(sequence, step >= begin && step < end);
            if (w.leaves === null || w.comes + w.leaves > step) continue;
            scheduler.remove(sequence);
            live.delete(sequence);
            done++;
          }
          const stretches = scheduler.next();
          expect(stretches.length > 0).toBe(scheduler.isRunnable);
          const rows = stretches.reduce((n, { begin, end }) => n + end - begin, 0);
          expect(rows).toBeLessThanOrEqual(sizes.rows);
          expect(new Set(stretches.map((s) => s.sequence.adapter)).size).toBeLessThanOrEqual(1);
          expect(new Set(stretches.map((s) => s.sequence.seat)).size, 'a seat each').toBe(stretches.length);
          expect(scheduler.pool.used).toBeLessThanOrEqual(sizes.pages);
          memory.run(stretches);
          scheduler.done(stretches);
          for (const { sequence, draws } of stretches) {
            const running = live.get(sequence)!;
            if (!draws) continue;
            const { tokens } = sequence;
            const next = nextOf(tokens);
            if (tokens.length + 1 < running.wish.prompt.length + running.wish.answer) {
              scheduler.append(sequence, next);
              continue;
            }
            expect([...tokens, next]).toEqual(alone(running.wish));
            scheduler.remove(sequence);
            live.delete(sequence);
            done++;
          }
          // Whoever is first of those that are read and has a seat moves in turn.
          const [first] = [...live].find(([, { wish: w }]) => step < w.pauses[0] || step >= w.pauses[1]) ?? [];
          const hasMoved = stretches.some(({ sequence }) => sequence === first);
          waited = first === before && first?.seat != null && !hasMoved ? waited + 1 : 0;
          before = first;
          expect(waited).toBeLessThanOrEqual(2 * sizes.inFlight);
        }
        expect([scheduler.size, scheduler.pool.used, scheduler.isRunnable]).toEqual([0, 0, false]);
      }),
      { numRuns: tries(60) },
    );
  });

  const step = (scheduler: Scheduler): Stretch[] => {
    const stretches = scheduler.next();
    scheduler.done(stretches);
    for (const { sequence, draws } of stretches) if (draws) scheduler.append(sequence, 1);
    return stretches;
  };
  const words = (n: number, seed = 0): number[] => Array.from({ length: n }, (_, i) => i + 1000 * seed);

  it('mix answers with stretches of prompts, and share what is left', () => {
    const scheduler = new Scheduler({ pages: 40, inFlight: 4, rows: 16 });
    scheduler.add(words(3, 1), 50);
    step(scheduler);
    const prompts = [scheduler.add(words(60, 2), 80), scheduler.add(words(60, 3), 80)];
    const rows = step(scheduler).map(({ begin, end }) => end - begin);
    expect(rows).toEqual([1, 8, 7]);
    for (let i = 0; i < 7; i++) step(scheduler);
    expect(prompts.map((p) => p.tokens.length)).toEqual([61, 61]);
  });

  it('wait in order for a seat', () => {
    const scheduler = new Scheduler({ pages: 40, inFlight: 2, rows: 16 });
    const all = [1, 2, 3, 4].map((seed) => scheduler.add(words(4, seed), 10));
    step(scheduler);
    expect(all.map((s) => s.seat)).toEqual([0, 1, null, null]);
    scheduler.remove(all[0]!);
    step(scheduler);
    expect(all.map((s) => s.seat)).toEqual([null, 1, 0, null]);
  });

  it('give pages back, the youngest first, and compute them again', () => {
    const scheduler = new Scheduler({ pages: 4, inFlight: 2, rows: 64 });
    const [old, young] = [scheduler.add(words(16, 1), 64), scheduler.add(words(15, 2), 64)];
    for (let i = 0; i < 18; i++) step(scheduler);
    expect([old, young].map((s) => s.pages.length)).toEqual([3, 0]);
    expect(young.tokens.length, 'what it had drawn stays').toBeGreaterThan(15);
    scheduler.remove(old);
    const [again] = step(scheduler);
    expect(again).toMatchObject({ sequence: young, draws: true });
  });

  it('take the pages of those whose reader stopped', () => {
    const scheduler = new Scheduler({ pages: 4, inFlight: 4, rows: 64 });
    const idle = scheduler.add(words(40, 1), 64);
    step(scheduler);
    scheduler.pause(idle, true);
    const other = scheduler.add(words(40, 2), 64);
    expect(step(scheduler)[0]?.sequence).toBe(other);
    expect(idle.pages).toEqual([]);
  });

  it('share the pages of what they have in common, of which a whole prompt leaves one to compute', () => {
    const scheduler = new Scheduler({ pages: 20, inFlight: 4, rows: 64 });
    const prompt = words(3 * PAGE_TOKENS);
    const first = scheduler.add(prompt, 60);
    step(scheduler);
    const second = scheduler.add(prompt, 60);
    const stretch = step(scheduler).find((s) => s.sequence === second);
    expect(stretch).toMatchObject({ begin: 2 * PAGE_TOKENS, end: 3 * PAGE_TOKENS, draws: true });
    expect(second.found).toBe(2 * PAGE_TOKENS);
    expect(second.pages.slice(0, 2)).toEqual(first.pages.slice(0, 2));
    const third = scheduler.add(prompt, 60, false);
    step(scheduler);
    expect(third.found, 'it asked for none').toBe(0);
    const under = scheduler.add(prompt, 60, true, 'poems');
    for (let i = 0; i < 2; i++) step(scheduler);
    expect(under.found, 'of another adapter').toBe(0);
  });

  it('are refused when they fit not even alone', () => {
    const scheduler = new Scheduler({ pages: 4, inFlight: 4, rows: 64 });
    expect(() => scheduler.add(words(10), 4 * PAGE_TOKENS + 1)).toThrow(OutOfBudget);
    expect(pagesFor(scheduler.add(words(10), 4 * PAGE_TOKENS).tokens.length)).toBe(1);
  });
});
