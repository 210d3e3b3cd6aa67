import { describe, expect, it } from 'vitest';
import { formatDay, formatPercent } from '../../../demo/format.ts';
import { errorSentence } from '../../../demo/problem.ts';
import { factsOf, nameOf, originOf, tidiedText, totalText, verifiedText } from '../../../demo/storage/words.ts';
import { InvalidRequest, OutOfBudget, type StoredModel } from '../../../src/index.ts';

const NOW = new Date(2026, 10, 26, 0, 30);
const MODEL: StoredModel = {
  id: 'x',
  source: 'https://cdn.example/a/my%20model/',
  precision: 'q4',
  bytes: 4.2e9,
  totalBytes: 4.2e9,
  lastUsed: new Date(2026, 10, 25, 23, 50),
  inUse: false,
};

describe('a stored model', () => {
  it('has a name and an origin', () => {
    expect(nameOf(MODEL)).toBe('my model');
    expect(originOf(MODEL)).toBe(MODEL.source);
    const folder = { ...MODEL, source: 'mixtral' };
    expect([nameOf(folder), originOf(folder)]).toEqual(['mixtral', 'a folder on this computer']);
    expect(nameOf({ ...MODEL, source: 'https://' })).toBe('https://');
  });

  it('in figures', () => {
    expect(factsOf(MODEL, NOW)).toBe('4.20 GB · 4 bits · used yesterday');
    expect(factsOf({ ...MODEL, bytes: 1.3e9, precision: 'as-is' }, NOW)).toBe(
      '1.30 GB of 4.20 GB · as published · used yesterday',
    );
    expect(factsOf({ ...MODEL, precision: 'q5' }, NOW)).toContain('q5');
    expect(totalText([MODEL])).toBe('1 model, 4.20 GB in all.');
  });

  it('checked and tidied', () => {
    expect(verifiedText({ records: 1, damaged: 0 })).toBe('1 record, all sound.');
    expect(verifiedText({ records: 9, damaged: 1 })).toContain('1 damaged and dropped: it is');
    expect(verifiedText({ records: 9, damaged: 2 })).toContain('2 damaged and dropped: they are');
    expect(tidiedText(0)).toBe('There were no leftovers.');
    expect(tidiedText(5e6)).toBe('Freed 5.00 MB of leftovers.');
  });
});

describe('for people', () => {
  it.each([
    [new Date(2026, 10, 26, 0, 1), 'today'],
    [new Date(2026, 10, 26, 5, 0), 'today'],
    [new Date(2026, 10, 25, 0, 1), 'yesterday'],
    [new Date(2026, 10, 20), '6 days ago'],
    [new Date(2026, 9, 4), '4 Oct 2026'],
  ])('%s', (day, text) => expect(formatDay(day, NOW)).toBe(text));

  it.each([
    [0, '0%'],
    [0.001, '1%'],
    [0.874, '87%'],
    [0.999, '99%'],
    [1, '100%'],
  ])('%d of one', (share, text) => expect(formatPercent(share)).toBe(text));

  it('an error is a sentence', () => {
    expect(errorSentence(new InvalidRequest('It is in use.'), 'x')).toBe('It is in use.');
    expect(errorSentence(new OutOfBudget('takes 14000000000 bytes'), 'x')).toBe('takes 14.0 GB');
    expect(errorSentence(new DOMException('No space.', 'QuotaExceededError'), 'It failed.')).toBe(
      'It failed. The browser says: No space.',
    );
    expect(errorSentence(new TypeError('a is undefined'), 'It failed.')).toBe('It failed.');
  });
});
