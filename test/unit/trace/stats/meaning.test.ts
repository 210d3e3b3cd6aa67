/** Small cases by hand: what experts like, and how texts differ. */
import { describe, expect, it } from 'vitest';
import { InvalidRequest } from '../../../../src/errors.ts';
import {
  atlasOf,
  countsFrom,
  countsOf,
  differenceOf,
  domainNames,
  domainPart,
  domainsOf,
  expertInformation,
  falseDiscovery,
  jensenShannon,
  rowsOf,
  TOKEN_TYPES,
  tokenType,
  topTokens,
  typeShares,
  typesOf,
  vocabularyOf,
} from '../../../../src/trace/stats/index.ts';
import type { Trace } from '../../../../src/trace/trace.ts';
import { traceOf } from '../../../support/traces.ts';

/** Eight chats of ten tokens: even ones are code and take experts 0 and 1, odd ones are poems and take 2 and 3. */
const texts = traceOf(
  Array.from({ length: 80 }, (_, t) => [[(Math.floor(t / 10) % 2) * 2 + (t % 2)]]),
  4,
);
const trace: Trace = {
  ...texts,
  steps: texts.steps.map((s, t) => ({ ...s, chat: Math.floor(t / 10) })),
  tokens: Int32Array.from({ length: 80 }, (_, t) => t % 10),
  texts: Array.from({ length: 80 }, (_, t) => (t % 2 ? '.' : ' word')),
  chats: Array.from({ length: 8 }, (_, c) => ({ name: `chat ${c}`, domain: c % 2 ? 'poems' : 'code' })),
};

describe('domains', () => {
  it('distances are 0 for equal shares, 1 for none in common', () => {
    expect(jensenShannon([1, 2], [10, 20])).toBe(0);
    expect(jensenShannon([1, 0], [0, 5])).toBe(1);
    // p = 1, 0; q = 1/2, 1/2: H(3/4, 1/4) - 1/2.
    expect(jensenShannon([1, 0], [1, 1]) ** 2).toBeCloseTo(2 - 0.75 * Math.log2(3) - 0.5, 12);
    expect(jensenShannon([0, 0], [1, 1])).toBe(0);
  });

  it('that take other experts are further apart than shuffled chats', () => {
    const domains = domainsOf(trace, 0)!;
    expect(domains).toMatchObject({ names: ['code', 'poems'], tokens: [40, 40], chats: [4, 4], experts: 4 });
    expect([...domains.share]).toEqual([0.5, 0.5, 0, 0, 0, 0, 0.5, 0.5]);
    const { value, chance, n } = domains.distance[0]![1]!;
    expect([value, n]).toEqual([1, 8]);
    // Splits of eight chats into four and four: 36 of 70 are even, 32 are three to one, and 2 the true one.
    const threeToOne = jensenShannon([3, 1], [1, 3]);
    expect(chance!.mean).toBeCloseTo((32 * threeToOne + 2) / 70, 1);
    expect([chance!.low, chance!.high]).toEqual([0, expect.closeTo(threeToOne, 9)]);
    expect(domains.distance[0]![0]).toEqual({ value: 0, chance: null, n: 0 });
    expect(expertInformation(trace, 0, 'domain')!.bits).toMatchObject({
      value: expect.closeTo(1, 12) as number,
      n: 80,
    });
  });

  it('are parts for any statistic', () => {
    expect(domainNames(trace)).toEqual(['code', 'poems']);
    expect(rowsOf(trace, domainPart(trace, 'poems'))).toHaveLength(40);
    expect(domainPart(trace, 'code', { chats: [1, 2], phase: 'decode' })).toEqual({ phase: 'decode', chats: [2] });
    expect(rowsOf(trace, domainPart(trace, 'no such'))).toHaveLength(0);
  });

  it('are none where chats name none, or one', () => {
    const { chats, ...bare } = trace;
    expect(chats).toHaveLength(8);
    expect([domainsOf(bare, 0), domainsOf(trace, 0, { chats: [0, 2] }), domainNames(bare)]).toEqual([null, null, []]);
    expect(expertInformation(bare, 0, 'domain')).toBeNull();
  });
});

it('differences change their sign with their sides', () => {
  const [a, b] = [countsOf(trace, { chat: 0 }), countsOf(trace, { chats: [0, 1] })];
  const [there, back] = [differenceOf(a, b, 0), differenceOf(b, a, 0)];
  for (const name of ['log2Ratio', 'z', 'logOdds', 'logOddsZ'] as const)
    there[name].forEach((x, e) => expect(back[name][e]).toBeCloseTo(-x, 12));
  // 5 of 10 against 5 of 20; 0.5 is added to each count.
  expect(there.log2Ratio[0]).toBeCloseTo(Math.log2(5.5 / 12 / (5.5 / 22)), 12);
  expect(there.z[0]).toBeCloseTo(0.25 / Math.sqrt((1 / 3) * (2 / 3) * (1 / 10 + 1 / 20)), 12);
  expect(there.logOdds[0]).toBeCloseTo(Math.log(5.5 / 5.5 / (5.5 / 15.5)), 12);
  expect([...differenceOf(countsFrom([[0, 0]], 1), a.experts === 4 ? countsFrom([[0, 0]], 1) : a, 0).z]).toEqual([
    0, 0,
  ]);
  expect(() => differenceOf(a, countsFrom([[1, 1]], 1), 0)).toThrow(InvalidRequest);
});

it('false discovery rates are those of Benjamini and Hochberg', () => {
  // p = 0.01, 0.04, 0.03, 0.005 and one that is NaN.
  const q = falseDiscovery([2.5758293, NaN, 2.0537489, -2.1700904, 2.8070338]);
  [0.02, 0.04, 0.04, 0.02].forEach((x, i) => expect(q.filter((v) => !Number.isNaN(v))[i]).toBeCloseTo(x, 6));
  expect(q[1]).toBeNaN();
  expect([...falseDiscovery([])]).toEqual([]);
});

describe('vocabulary', () => {
  it('of ids that always take the same two experts', () => {
    const { ids, specialisation } = vocabularyOf(trace, 0, { least: 8 })!;
    expect(ids).toHaveLength(10);
    expect(ids[0]).toEqual({ id: 0, times: 8, expert: 0, share: 0.5 });
    expect(specialisation).toMatchObject({ value: 0.5, n: 10 });
    // The luckiest of four experts has more than a quarter of eight tokens.
    expect(specialisation.chance!.mean).toBeGreaterThan(0.4);
    expect(vocabularyOf(trace, 0)).toEqual({ ids: [], specialisation: { value: 0, chance: null, n: 0 } });
    const code = vocabularyOf(trace, 0, { least: 4, part: domainPart(trace, 'code') })!;
    expect(code.specialisation.value).toBe(1);
    expect(code.specialisation.chance!.high).toBeLessThan(1);
  });

  it('of the token that follows ends with its chat', () => {
    const next = vocabularyOf(trace, 0, { of: 'next', least: 8 })!;
    expect(next.ids.map((i) => i.id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(next.ids[0]!.expert).toBe(0);
  });

  it('top tokens of an expert', () => {
    const top = topTokens(trace, 0, 0)!;
    expect(top.map((t) => t.id)).toEqual([0, 2, 4, 6, 8]);
    expect(top[0]).toEqual({ id: 0, text: ' word', times: 4, of: 8, lift: 4 / 8 / (20 / 80) });
    expect(topTokens(trace, 0, 1, { of: 'next', most: 1 })).toEqual([
      { id: 2, text: ' word', times: 4, of: 8, lift: 4 / 8 / (16 / 72) },
    ]);
    expect(topTokens({ ...trace, tokens: null }, 0, 0)).toBeNull();
    expect(vocabularyOf({ ...trace, tokens: null }, 0)).toBeNull();
    expect(expertInformation({ ...trace, tokens: null }, 0, 'token')).toBeNull();
  });
});

describe('token types', () => {
  it.each([
    ['special', ['<|endoftext|>', '<s>', '</s>'.replace('/', ''), '[INST]', '<|im_start|>']],
    ['newline', ['\n', ' \n\n', '\r\n']],
    ['space', [' ', '    ', '\t', '']],
    ['punctuation', ['.', ',', '!?', ' "', '’', '(', '...']],
    ['digits', ['7', ' 2024', '3.14', '1,000', '½']],
    ['code', ['{', ' ==', 'snake_case', 'camelCase', '//', '=>', 'print(', 'a.b', '#include', '$x']],
    ['other script', ['мир', ' 世界', 'भारत', 'ψ']],
    ['function word', [' the', 'Of', 'and', ' THEY']],
    ['capitalised', [' Paris', 'École', 'NASA']],
    ['content', [' cat', 'ing', "dog's", 'été', 'Hello'.toLowerCase()]],
  ] as const)('%s: %j', (type, examples) => {
    for (const text of examples) expect(tokenType(text), JSON.stringify(text)).toBe(type);
  });

  it('of an expert, against all tokens', () => {
    const table = typesOf(trace, 0)!;
    const [content, punctuation] = ['content', 'punctuation'].map((t) => TOKEN_TYPES.findIndex((x) => x === t));
    expect([table.tokens[content!], table.tokens[punctuation!]]).toEqual([40, 40]);
    const shares = typeShares(table, 0);
    expect(shares[content!]).toMatchObject({ value: 1, n: 20, chance: { mean: 0.5, how: 'exact' } });
    expect(shares[content!]!.chance!.high).toBeLessThan(0.8);
    expect(typesOf({ ...trace, texts: null }, 0)).toBeNull();
    const one = typesOf(trace, 0, { chat: 0 })!;
    expect(typeShares(one, 3)[0]).toEqual({ value: 0, chance: null, n: 0 });
  });
});

describe('atlas', () => {
  it('lays experts of the same texts together, those of others apart', () => {
    const { x, y, explained, groups } = atlasOf(trace);
    expect(groups).toBe(8);
    expect(x[0]).toBeCloseTo(x[1]!, 6);
    expect(x[2]).toBeCloseTo(x[3]!, 6);
    expect(Math.abs(x[0]! - x[2]!)).toBeGreaterThan(5);
    for (const at of y) expect(Math.abs(at)).toBeLessThan(1e-6);
    expect(explained[0]).toBeCloseTo(1, 9);
    expect(atlasOf(trace)).toEqual(atlasOf(trace));
  });
  it('takes other groups, leaves tokens out, and experts that nothing took', () => {
    const odd = Int32Array.from({ length: 80 }, (_, t) => (t % 10 < 2 ? -1 : t % 2));
    const { x, groups } = atlasOf(trace, { chat: 0 }, odd);
    expect(groups).toBe(2);
    expect([...x].map(Number.isNaN)).toEqual([false, false, true, true]);
    expect([...atlasOf(trace, { to: 0 }).x]).toEqual([NaN, NaN, NaN, NaN]);
  });
});
