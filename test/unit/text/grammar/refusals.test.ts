import { describe, expect, it } from 'vitest';
import { InvalidRequest } from '../../../../src/errors.ts';
import { createTokenMask, type Constraint, type JsonSchema } from '../../../../src/text/grammar/index.ts';
import { prng } from '../../../../src/util/prng.ts';
import { allBytes, smallVocabulary } from './support/vocabularies.ts';
import { walk } from './support/walk.ts';

const { vocabulary, end } = smallVocabulary(allBytes);

function refusal(make: () => unknown): InvalidRequest {
  try {
    make();
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidRequest);
    return error as InvalidRequest;
  }
  throw new Error('nothing was refused');
}

describe('a schema that asks for more', () => {
  const inside = (schema: JsonSchema): JsonSchema => ({
    type: 'object',
    properties: { 'a/b~': { type: 'array', items: schema } },
  });
  it.each<[JsonSchema, string, RegExp]>([
    [{ not: {} }, 'not', /not supported/],
    [{ oneOf: [{ type: 'null' }, {}] }, 'oneOf', /alternatives 0 and 1 may both hold/],
    [{ oneOf: [{ const: 'a' }, { type: 'string', maxLength: 1 }] }, 'oneOf', /may both hold/],
    [
      {
        oneOf: [
          { type: 'number', maximum: 3 },
          { type: 'integer', minimum: 3 },
        ],
      },
      'oneOf',
      /may both hold/,
    ],
    [{ oneOf: [{ type: 'null' }, { type: 'array' }], type: 'null' }, 'type', /beside oneOf/],
    [{ type: 'object', patternProperties: { a: {}, b: {} } }, 'patternProperties', /only one pattern/],
    [{ type: 'object', properties: { a1: {} }, patternProperties: { '\\d': {} } }, 'patternProperties', /matches "a1"/],
    [{ type: 'object', minProperties: 1 }, 'minProperties', /not supported/],
    [{ type: 'number', multipleOf: 0.01 }, 'multipleOf', /must be a whole number from 1 to 300/],
    [{ type: 'integer', multipleOf: 301 }, 'multipleOf', /zeros at its end not counted/],
    [{ type: 'string', nullable: true }, 'nullable', /not supported/],
    [{ type: 'array', uniqueItems: true }, 'uniqueItems', /not supported/],
    [{ type: 'string', format: 'uri' }, 'format', /"uri" is not supported; formats are date,/],
    [{ type: 'string', pattern: '(?=a)' }, 'pattern', /looks around/],
    [{ type: 'string', pattern: '(a)\\1' }, 'pattern', /\\1/],
    [{ type: 'string', pattern: '\\p{L}' }, 'pattern', /\\p/],
    [{ type: 'string', pattern: 'a$b' }, 'pattern', /wrong place/],
    [{ type: 'string', pattern: '(^a)' }, 'pattern', /wrong place/],
    [{ type: 'string', pattern: 'a{2,1}' }, 'pattern', /2 to 1 times/],
    [{ type: 'string', pattern: '[b-a]' }, 'pattern', /end is before/],
    [{ type: 'string', pattern: '[a' }, 'pattern', /too early/],
    [{ type: 'string', pattern: '(a' }, 'pattern', /open group/],
    [{ type: 'string', pattern: '\\ud83d' }, 'pattern', /half a character/],
    [{ type: 'string', pattern: 'a', maxLength: 3 }, 'maxLength', /beside pattern/],
    [{ type: 'string', minLength: -1 }, 'minLength', /whole number/],
    [{ type: 'string', minLength: 1e9 }, 'minLength', /at most/],
    [{ type: 'string', maxLength: null }, 'maxLength', /null/],
    [{ type: 'number', minimum: 0.5 }, 'minimum', /whole number/],
    [{ type: 'integer', minimum: '0' }, 'minimum', /must be a number/],
    [{ type: 'text' }, 'type', /"text" is no type/],
    [{ type: [] }, 'type', /not empty/],
    [{ enum: [] }, 'enum', /not empty/],
    [{ enum: [1], minimum: 0 }, 'minimum', /beside enum/],
    [{ anyOf: [{}], type: 'string' }, 'type', /beside anyOf/],
    [{ allOf: [{}, {}] }, 'allOf', /merge/],
    [{ anyOf: {} }, 'anyOf', /list/],
    [{ $ref: '#/$defs/none' }, '$ref', /not in the schema/],
    [{ $ref: 'https://example.org/x' }, '$ref', /into this schema/],
    [{ $ref: '#', minLength: 1 }, 'minLength', /beside \$ref/],
    [{ type: 'object', properties: [] }, 'properties', /must be an object/],
    [{ type: 'object', required: ['x'], additionalProperties: false }, 'required', /"x" is not among/],
  ])('%j', (schema, keyword, reason) => {
    const error = refusal(() => createTokenMask({ schema: inside(schema) }, vocabulary));
    expect(error.message).toMatch(reason);
    expect(error.details.pointer).toBe(`#/properties/a~1b~0/items/${keyword}`);
    expect(error.message).toContain(`/items/${keyword}: `);
  });

  it('is refused before the first token, also inside what may stay unused', () => {
    const schema = {
      $ref: '#/$defs/a',
      $defs: { a: { type: 'array', items: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/b' }] } }, b: { if: {} } },
    };
    expect(refusal(() => createTokenMask({ schema }, vocabulary)).details.pointer).toBe('#/$defs/b/if');
    expect(refusal(() => createTokenMask({ schema: 3 as unknown as JsonSchema }, vocabulary)).message).toMatch(
      /# *: must be an object/,
    );
    expect(refusal(() => createTokenMask({ json: 'list' } as unknown as Constraint, vocabulary)).message).toMatch(
      /a constraint is/,
    );
  });
});

describe('what nothing satisfies', () => {
  it.each<[string, Constraint]>([
    ['false', { schema: false }],
    ['more than is allowed', { schema: { type: 'array', minItems: 3, maxItems: 2 } }],
    ['no number between', { schema: { type: 'integer', minimum: 3, maximum: 2 } }],
    ['no end of nesting', { schema: { type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] } }],
    ['no multiple between', { schema: { type: 'integer', multipleOf: 7, minimum: 15, maximum: 20 } }],
    ['an enum of other types', { schema: { type: 'integer', enum: ['a'] } }],
    ['no alternatives', { anyOf: [] }],
  ])('is refused: %s', (_, constraint) => {
    expect(refusal(() => createTokenMask(constraint, vocabulary)).message).toMatch(/nothing satisfies/);
  });

  it('or what the vocabulary cannot spell', () => {
    const letters = smallVocabulary([...'abcdefghijklmnop']);
    expect(refusal(() => createTokenMask({ json: 'object' }, letters.vocabulary)).message).toMatch(
      /no token of this model spells/,
    );
    expect(() => createTokenMask('abba', letters.vocabulary)).not.toThrow();
    // Quotes there are, and one of the two texts.
    const some = smallVocabulary([...'"ab']);
    const mask = createTokenMask({ schema: { enum: ['xyz', 'ab'] } }, some.vocabulary);
    expect(walk(mask, () => 1, prng(1), 9, some.end).map((id) => '"ab'[id])).toEqual(['"', 'a', 'b', '"']);
  });
});

describe('a budget of tokens', () => {
  const schema = { type: 'object', properties: { name: { type: 'string', minLength: 3 } }, required: ['name'] };

  it('below what is needed is refused with the number; with that number it ends', () => {
    const error = refusal(() => createTokenMask({ schema }, vocabulary, { maxTokens: 5 }));
    expect(error.details).toMatchObject({ parameter: 'maxTokens', needed: 14, maxTokens: 5 });
    const mask = createTokenMask({ schema }, vocabulary, { maxTokens: 14 });
    const ids = walk(mask, () => 1, prng(2), 100, end);
    expect(ids).toHaveLength(14);
    expect(JSON.parse(String.fromCharCode(...ids))).toHaveProperty('name');
  });

  it('is not noticed while there is enough', () => {
    const [free, bounded] = [
      createTokenMask({ schema }, vocabulary),
      createTokenMask({ schema }, vocabulary, { maxTokens: 100 }),
    ];
    expect(bounded.bits).toBe(free.bits);
  });
});
