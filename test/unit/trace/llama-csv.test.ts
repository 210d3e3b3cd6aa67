/** The lines of llama.cpp's moe-trace: batches, layers and tokens are deduced. */
import { describe, expect, it } from 'vitest';
import { InvalidTrace } from '../../../src/errors.ts';
import { readLlamaCsv } from '../../../src/trace/llama-csv.ts';
import { ABSENT } from '../../../src/trace/trace.ts';

/** As the program prints it: `[layer, experts]` one after the other. */
const csv = (...blocks: readonly (readonly [number, readonly number[]])[]): string =>
  blocks.map(([layer, ids]) => ids.map((id) => `${layer},${id}\n`).join('')).join('');
const DECODE = csv([3, [1, 0]], [4, [2, 3]], [3, [5, 1]], [4, [0, 1]]);

describe('llama.cpp', () => {
  it('every batch with one token but the first is decoded', () => {
    const trace = readLlamaCsv(DECODE, 'run.csv');
    expect(trace.model).toEqual({ name: 'run', layers: 2, experts: 6, topK: 2, expertBytes: [1, 1] });
    expect(trace.steps).toEqual([
      { phase: 'prefill', chat: 0, position: 0, tokens: 1 },
      { phase: 'decode', chat: 0, position: 1, tokens: 1 },
    ]);
    expect([...trace.ids]).toEqual([1, 0, 2, 3, 5, 1, 0, 1]);
    expect(trace.weights).toBeNull();
  });

  it('a prompt that repeats experts is taken as it is; a last layer of one token is the last token’s', () => {
    const trace = readLlamaCsv(
      csv([0, [1, 0, 1, 2, 0, 2]], [1, [3, 1]]) + DECODE.replaceAll(/^3|^4/gm, (l) => String(+l - 3)),
    );
    expect(trace.steps.map((s) => [s.phase, s.position, s.tokens])).toEqual([
      ['prefill', 0, 3],
      ['decode', 3, 1],
      ['decode', 4, 1],
    ]);
    const none = [ABSENT, ABSENT];
    expect([...trace.ids.subarray(0, 12)]).toEqual([1, 0, ...none, 1, 2, ...none, 0, 2, 3, 1]);
  });

  it('of a prompt written as rankings only what is known is there', () => {
    // Six tokens of 6 experts, 2 each: 12 numbers are two whole rankings.
    const ranking = [5, 3, 0, 1, 2, 4, 2, 0, 1, 3, 4, 5];
    const { ids, steps } = readLlamaCsv(csv([3, ranking], [4, [4, 5, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5]]) + DECODE);
    expect(steps[0]!.tokens).toBe(6);
    expect([...ids.subarray(0, 8)]).toEqual([5, 3, 4, 5, 2, 0, 0, 1]);
    expect(ids.subarray(8, 24).every((id) => id === ABSENT)).toBe(true);
    expect([...ids.subarray(24)]).toEqual([1, 0, 2, 3, 5, 1, 0, 1]);
  });

  it('E and K can be given, and a header is skipped', () => {
    const one = readLlamaCsv(`layer,expert\r\n${csv([0, [1, 2, 1, 3]])}`, 'x', { experts: 64, topK: 2 });
    expect(one.model).toMatchObject({ layers: 1, experts: 64, topK: 2 });
    expect([...one.ids]).toEqual([1, 2, 1, 3]);
  });

  it.each([
    ['nothing', '', /no line layer,expert/],
    ['words', 'a,b\n', /trace:1 is no line/],
    ['three numbers', '1,2\n1,2,3\n', /trace:2 is no line/],
    ['a negative layer', '-1,2\n', /is no line/],
    ['runs of no one size', csv([0, [1, 2]], [1, [1, 2, 0]]), /3 experts of layer 1 are no multiple of 2/],
    ['one layer only, without K', csv([0, [1, 2, 1, 3]]), /expert 1 twice/],
    [
      'more than there is room for',
      csv([0, Array<number>(20_000).fill(1)], ...Array.from({ length: 5000 }, (_, l) => [l + 1, [0]] as const)),
      /more than webmoe opens/,
    ],
  ])('refuses %s', (_, text, message) => {
    expect(() => readLlamaCsv(text)).toThrow(InvalidTrace);
    expect(() => readLlamaCsv(text)).toThrow(message);
  });
});
