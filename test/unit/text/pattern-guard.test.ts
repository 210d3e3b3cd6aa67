import { describe, expect, it } from 'vitest';
import { patternHazard } from '../../../src/text/pattern-guard.ts';

/** Pre-tokenizer patterns of published families. */
const PUBLISHED = [
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  String.raw`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_` +
    '`' +
    String.raw`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  '[一-龥぀-ゟ゠-ヿ]+',
  String.raw`\d{1,3}(?=(?:\d{3})*\b)`,
  String.raw`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`,
  String.raw` ?[^(\s|[.,!?…。，、।۔،])]+`,
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  String.raw`[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{M}&&[^\p{Han}]]*[\p{Ll}&&[^\p{Han}]]+(?i:'s|'t)?`,
  ' {2,}',
  String.raw`\s`,
];

const HOSTILE = [
  '(a+)+$',
  '(a*)*',
  '(?:a|a)*b',
  '(a|aa)+$',
  '(a?){30}a{30}',
  '((a{1,3}))*b',
  '(.*a){20}',
  '(?:(?:a+)b?)+',
  '(x(?=(a+)+$))',
  'a*a*a*a*a*b',
  String.raw`(a+)\1`,
  String.raw`(?<n>a)\g<n>`,
  'a{1000000}',
  '(a{999}){999}',
  '('.repeat(50) + 'a' + ')'.repeat(50),
  'a'.repeat(20_000),
  '(a',
  'a)',
  '[a',
  '\\',
  '(?#x)a',
  '(?(1)a|b)',
];

describe('pattern guard', () => {
  it.each(PUBLISHED)('lets %s pass', (pattern) => expect(patternHazard(pattern)).toBeNull());
  it.each(HOSTILE)('refuses %s', (pattern) => expect(patternHazard(pattern)).toEqual(expect.any(String)));
});
