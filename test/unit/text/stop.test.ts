import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidRequest } from '../../../src/errors.ts';
import { createStopScanner } from '../../../src/text/stop.ts';

function scan(
  stops: readonly string[],
  pieces: readonly string[],
): { shown: string[]; rest: string; stopped: boolean } {
  const scanner = createStopScanner(stops);
  const results = pieces.map((piece) => scanner.push(piece));
  return { shown: results.map((r) => r.text), rest: scanner.flush(), stopped: results.some((r) => r.stopped) };
}

/** The rule in one line: cut where the stop string that ends first begins. */
function oracle(stops: readonly string[], text: string): string {
  for (let end = 1; end <= text.length; end++) {
    const done = stops.filter((stop) => text.slice(0, end).endsWith(stop)).map((stop) => end - stop.length);
    if (done.length) return text.slice(0, Math.min(...done));
  }
  return text;
}

describe('stop strings', () => {
  it('shows everything at once without stop strings', () => {
    expect(scan([], ['a', 'b'])).toEqual({ shown: ['a', 'b'], rest: '', stopped: false });
  });

  it('holds back what may be the start of one', () => {
    expect(scan(['END'], ['a E', 'N', 'x', ' EN'])).toEqual({
      shown: ['a ', '', 'ENx', ' '],
      rest: 'EN',
      stopped: false,
    });
    expect(scan(['END'], ['a E', 'N', 'D b', 'c'])).toEqual({ shown: ['a ', '', '', ''], rest: '', stopped: true });
  });

  it('handles stops inside stops, repeats and overlaps', () => {
    expect(scan(['abcd', 'bc'], ['xab', 'c', 'd']).shown.join('')).toBe('xa');
    expect(scan(['aab'], ['aaa', 'b']).shown.join('')).toBe('a');
    expect(scan(['\n\n', '\nUser:'], ['x\n', 'User', ':']).shown.join('')).toBe('x');
    expect(scan(['abc', 'bc'], ['abc']).shown.join('')).toBe('');
  });

  it('cuts in the text given to flush as well', () => {
    const scanner = createStopScanner(['END']);
    expect(scanner.push('a EN').text).toBe('a ');
    expect(scanner.flush('D b')).toBe('');
    expect(createStopScanner(['END']).flush('a EN')).toBe('a EN');
  });

  it('gives the same text however it is cut', () => {
    const letters = (most: number) => fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: most });
    const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(stop, { maxLength: 4 }), fc.array(letters(4), { maxLength: 12 }), (stops, pieces) => {
        const { shown, rest } = scan(stops, pieces);
        expect(shown.join('') + rest).toBe(oracle(stops, pieces.join('')));
      }),
      { numRuns: 2000 },
    );
  });

  it('holds back no more than a stop string can need', () => {
    const { shown } = scan(['xyzxyw'], ['1234567xyzxy', 'zxyz']);
    expect(shown).toEqual(['1234567', 'xyzxyz']);
  });

  it('refuses stop strings that make no sense', () => {
    expect(() => createStopScanner([''])).toThrow(InvalidRequest);
    expect(() => createStopScanner(['x'.repeat(1025)])).toThrow(InvalidRequest);
    expect(() => createStopScanner(Array.from({ length: 65 }, () => 'x'))).toThrow(InvalidRequest);
  });
});
