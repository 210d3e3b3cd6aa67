import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonSchema } from '../../../../src/text/grammar/index.ts';
import { accepts, follow } from './support/accepts.ts';
import { tries } from '../../../support/everyday.ts';
import { schemas } from './support/schemas.ts';

const allows = (schema: JsonSchema, text: string | Uint8Array): boolean => accepts({ schema }, text);
const encoder = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function isCleanString(bytes: Uint8Array): boolean {
  try {
    return !/\p{Surrogate}/u.test(JSON.parse(strict.decode(bytes)) as string);
  } catch {
    return false;
  }
}

describe('strings', () => {
  const string = { type: 'string' };

  it('are all that JSON.stringify writes', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        (text) => void expect(allows(string, JSON.stringify(text))).toBe(true),
      ),
    );
  });

  it('are UTF-8 that JSON.parse reads, without halves of surrogate pairs', () => {
    const chunk = fc.oneof(
      fc.uint8Array({ maxLength: 4 }),
      fc
        .constantFrom('\\', '\\n', '\\u00e9', '\\ud83d\\ude00', '\\uD83D', '\\ude00', '\\x', '"', '\n', 'é', '\\"')
        .map((t) => encoder.encode(t)),
      fc
        .constantFrom(
          [0xed, 0xa0, 0x80],
          [0xc0, 0x80],
          [0xe0, 0x80, 0x80],
          [0xf4, 0x90, 0x80, 0x80],
          [0xf0, 0x9f, 0x98, 0x80],
          [0xe2, 0x82],
        )
        .map((b) => Uint8Array.from(b)),
    );
    let [yes, no] = [0, 0];
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 4 }), (chunks) => {
        const bytes = Uint8Array.from([0x22, ...chunks.flatMap((c) => [...c]), 0x22]);
        const expected = isCleanString(bytes);
        if (expected) yes++;
        else no++;
        expect(allows(string, bytes)).toBe(expected);
      }),
      { numRuns: tries(2000) },
    );
    expect(Math.min(yes, no)).toBeGreaterThan(tries(2000) / 20);
  });

  it('have so many characters, however they are written', () => {
    const two = { type: 'string', minLength: 2, maxLength: 2 };
    for (const text of ['"ab"', '"é😀"', '"\\n\\u00e9"', '"\\ud83d\\ude00x"'])
      expect(allows(two, text), text).toBe(true);
    for (const text of ['"a"', '"abc"', '"😀"', '"\\ud83d\\ude00"', '"é😀b"'])
      expect(allows(two, text), text).toBe(false);
  });

  it.each([
    '^a+$',
    'b',
    '^[^a]$',
    '^(?:ab|ba){2,3}$',
    '^a{2,}b?c*?$',
    '^.{2}$',
    '^[\\w-]+$|^é',
    '\\d\\D|\\s$',
    '^[a-c\\]"\\\\]*$',
    '^\\u00e9\\x62\\u{1F600}?$',
    '^[\\t\\n]?a\\.b\\/$',
    '^$',
    '^(a|b|)c',
    '[😀-😂é]',
    '^\\S+\\W$',
  ])('with the pattern %s are those that it matches', (pattern) => {
    const regex = new RegExp(pattern, 'u');
    const part = fc.constantFrom(...'aabbcé😀"\\/ \t\n\u2028.-1_]A', 'ab', 'ba', '😂');
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 6 }).map((parts) => parts.join('')),
        (text) => {
          expect(allows({ type: 'string', pattern }, JSON.stringify(text)), JSON.stringify(text)).toBe(
            regex.test(text),
          );
        },
      ),
      { numRuns: tries(300) },
    );
  });

  it.each([
    ['date', ['2024-02-28', '1999-12-31'], ['2024-02-30', '2024-13-01', '24-01-01']],
    ['time', ['23:59:59Z', '00:00:00.123+05:30'], ['24:00:00Z', '12:00:00']],
    ['date-time', ['2024-01-31T01:02:03Z'], ['2024-04-31T01:02:03Z', '2024-01-31']],
    ['duration', ['P3Y6M4DT12H30M5S', 'PT1M', 'P2W'], ['P', 'PT', 'P1S']],
    ['uuid', ['123e4567-e89b-12d3-a456-426614174000'], ['123e4567']],
    ['email', ['jo.doe+x@mail.example.org'], ['jo@', '.jo@example.org', 'jo@example']],
    ['hostname', ['a', 'www.example-1.org'], ['-a.org', 'a-', 'a..b']],
    ['ipv4', ['0.10.255.199'], ['1.2.3', '256.1.1.1', '01.2.3.4']],
    ['ipv6', ['2001:db8:0:0:0:0:2:1'], ['2001:db8', 'g:1:2:3:4:5:6:7']],
  ])('of the format %s', (format, good, bad) => {
    for (const text of good) expect(allows({ type: 'string', format }, JSON.stringify(text)), text).toBe(true);
    for (const text of bad) expect(allows({ type: 'string', format }, JSON.stringify(text)), text).toBe(false);
  });
});

describe('numbers', () => {
  const bound = fc.oneof(fc.integer({ min: -30, max: 30 }), fc.integer({ min: -20_000, max: 20_000 }));
  const keyword = (lower: boolean) =>
    fc.constantFrom(lower ? 'minimum' : 'maximum', lower ? 'exclusiveMinimum' : 'exclusiveMaximum');
  const bounds = fc
    .tuple(fc.option(bound), fc.option(bound), keyword(true), keyword(false))
    .filter(([a, b]) => (a ?? b) !== null && (a === null || b === null || a <= b));
  const holds = (
    value: number,
    [a, b, lower, upper]: readonly [number | null, number | null, string, string],
  ): boolean =>
    (a === null || (lower === 'minimum' ? value >= a : value > a)) &&
    (b === null || (upper === 'maximum' ? value <= b : value < b));

  it.each(['integer', 'number'])('of the type %s are those between the bounds', (type) => {
    fc.assert(
      fc.property(
        bounds,
        fc.array(
          fc.oneof(
            bound,
            fc.integer({ min: -300, max: 300 }).map((n) => n / 10),
            fc.integer(),
          ),
          { minLength: 12 },
        ),
        (limits, values) => {
          const [a, b, lower, upper] = limits;
          const schema = { type, ...(a === null ? {} : { [lower]: a }), ...(b === null ? {} : { [upper]: b }) };
          const near = [a, b].flatMap((n) => (n === null ? [] : [n, n - 1, n + 1, n - 0.5, n + 0.5]));
          // Without any value between them, the bounds are refused as a whole.
          fc.pre(a === null || b === null || b - a > 1);
          for (const value of [...values, ...near]) {
            const expected = holds(value, limits) && (type === 'number' || Number.isInteger(value));
            expect(allows(schema, JSON.stringify(value)), `${value} in ${JSON.stringify(schema)}`).toBe(expected);
          }
        },
      ),
      { numRuns: tries(60) },
    );
  });

  it('are written as JSON writes them, with bounded digits', () => {
    for (const text of ['0', '-1', '12.50', '1e9', '-0.5E-07', '999999999999999'])
      expect(allows({ type: 'number' }, text), text).toBe(true);
    for (const text of ['01', '+1', '.5', '1.', '1e', '- 1', 'NaN', '1e999', '1'.repeat(16), `0.${'1'.repeat(18)}`]) {
      expect(allows({ type: 'number' }, text), text).toBe(false);
    }
    for (const text of ['1.0', '-0', '1e2']) expect(allows({ type: 'integer' }, text), text).toBe(false);
    expect(allows({ type: 'integer', minimum: 0.5, maximum: 2.5 }, '1')).toBe(true);
    expect(allows({ type: 'integer', minimum: 0.5, maximum: 2.5 }, '3')).toBe(false);
  });
});

describe('objects and arrays', () => {
  it('any JSON of few digits is any JSON', () => {
    const leaf = fc.oneof(fc.string({ unit: 'grapheme' }), fc.integer(), fc.boolean(), fc.constant(null));
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc.array(tie('tree'), { maxLength: 4 }),
        fc.dictionary(fc.string(), tie('tree'), { maxKeys: 4 }),
      ),
    }));
    fc.assert(
      fc.property(tree, (value) => {
        expect(accepts({ json: 'value' }, JSON.stringify(value))).toBe(true);
        expect(accepts({ json: 'object' }, JSON.stringify({ value }))).toBe(true);
      }),
    );
    for (const text of ['', '[1,]', '{"a"}', '{"a":1,}', '[1  ,2]', ' 1', '{a:1}', 'nul'])
      expect(accepts({ json: 'value' }, text), text).toBe(false);
    expect(accepts({ json: 'object' }, '[1]')).toBe(false);
  });

  it('blanks come after commas and colons, one at most', () => {
    const schema = {
      type: 'object',
      properties: { a: { type: 'array', items: { type: 'integer' } }, b: { type: 'null' } },
    };
    expect(allows(schema, '{"a": [1, 2], "b": null}')).toBe(true);
    expect(allows(schema, '{"a":[1,2],"b":null}')).toBe(true);
    for (const text of ['{ "a":[]}', '{"a":  []}', '{"a" :[]}', '{"a":[ 1]}', '{"a":[1] }', '{\n"a":[]}'])
      expect(allows(schema, text), text).toBe(false);
  });

  it('members come in order, required ones always, others never', () => {
    const schema = schemas['optional members']!;
    for (const text of ['{"c":true}', '{"a":"","c":false,"d":null}', '{"b":1,"c":true}'])
      expect(allows(schema, text), text).toBe(true);
    for (const text of ['{}', '{"a":""}', '{"c":true,"a":""}', '{"c":true,"e":1}', '{"c":1}'])
      expect(allows(schema, text), text).toBe(false);
  });

  it('further members have other names, however written', () => {
    const schema = schemas['members and others']!;
    for (const text of ['', ',"idx":true', ',"i":true', ',"name":"n","é\\n":false,"":true', ',"x\\u0065s":true']) {
      expect(allows(schema, `{"id":1${text}}`), text).toBe(true);
    }
    // Escapes that could spell a known name are left out, also where they do not in the end.
    for (const text of [
      ',"id":true',
      ',"name":true',
      ',"\\u0069d":true',
      ',"nam\\u0065":true',
      ',"nam\\u0065s":true',
    ]) {
      expect(allows(schema, `{"id":1${text}}`), text).toBe(false);
    }
    expect(allows(schema, '{"x":true}')).toBe(false);
  });

  it('names can be anything', () => {
    const schema = schemas['names that are odd'] as { properties: Record<string, unknown> };
    const value = Object.fromEntries(Object.keys(schema.properties).map((name, i) => [name, i]));
    expect(allows(schema, JSON.stringify(value))).toBe(true);
  });

  it('arrays have so many items', () => {
    const of = (schema: object) =>
      [0, 1, 2, 3, 4].filter((n) =>
        allows({ type: 'array', items: { type: 'integer' }, ...schema }, JSON.stringify(Array(n).fill(7))),
      );
    expect(of({})).toEqual([0, 1, 2, 3, 4]);
    expect(of({ minItems: 2 })).toEqual([2, 3, 4]);
    expect(of({ minItems: 1, maxItems: 3 })).toEqual([1, 2, 3]);
    expect(of({ maxItems: 0 })).toEqual([0]);
    expect(of({ prefixItems: [{ type: 'integer' }, { type: 'string' }], items: false })).toEqual([0, 1]);
    expect(of({ prefixItems: [{ type: 'integer' }], minItems: 3, maxItems: 3 })).toEqual([3]);
  });

  it('a schema goes into itself, in several ways at once, at no great cost', () => {
    const schema = schemas['recursion with a shared start']!;
    const nested = (depth: number): string => (depth === 0 ? '1' : `{"left":${nested(depth - 1)},"kind":"negate"}`);
    expect(allows(schema, nested(13))).toBe(true);
    expect(allows(schema, nested(40))).toBe(false);
    expect(follow({ schema }, nested(40)).length).toBeGreaterThan(100);
    expect(allows(schema, '{"left":{"left":1,"kind":"add","right":2},"kind":"negate"}')).toBe(true);
  });
});
