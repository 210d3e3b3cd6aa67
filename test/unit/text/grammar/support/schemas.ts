/** Schemas of many kinds: what people ask for, and what is hard. */
import type { JsonSchema } from '../../../../../src/text/grammar/index.ts';

const object = (properties: Record<string, JsonSchema>, rest: Record<string, unknown> = {}): JsonSchema => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
  ...rest,
});
const string = { type: 'string' };
const integer = { type: 'integer' };
const arrayOf = (items: JsonSchema, rest: Record<string, unknown> = {}): JsonSchema => ({
  type: 'array',
  items,
  ...rest,
});

export const schemas: Readonly<Record<string, JsonSchema>> = {
  string,
  number: { type: 'number' },
  integer,
  boolean: { type: 'boolean' },
  null: { type: 'null' },
  anything: {},
  'any object': { type: 'object' },
  'any array': { type: 'array' },
  person: object({ name: string, age: { type: 'integer', minimum: 0, maximum: 130 } }),
  'calendar event': object({ name: string, date: { type: 'string', format: 'date' }, participants: arrayOf(string) }),
  'maths steps': object({
    steps: arrayOf(object({ explanation: string, output: string })),
    final_answer: string,
  }),
  sentiment: object({
    label: { enum: ['positive', 'negative', 'neutral'] },
    score: { type: 'number', minimum: 0, maximum: 1 },
  }),
  'enum of odd texts': { enum: ['日本語', 'naïve café', '😀👩‍👩‍👧', 'a"b\\c', 'tab\there', '', '\u2028', ' '] },
  'enum of values': { enum: [1, -2.5, true, null, 'x', [1, { a: [] }], { b: { c: 'd' } }, 1e21] },
  'enum by type': { type: ['string', 'null'], enum: ['on', 'off', 3, null] },
  const: object({ version: { const: '1.0' }, kind: { const: { nested: [1, 2, 'drei'] } } }),
  nullable: object({ nick: { type: ['string', 'null'] }, count: { type: ['integer', 'null'] } }),
  'optional members': object(
    { a: string, b: integer, c: { type: 'boolean' }, d: { type: 'null' } },
    { required: ['c'] },
  ),
  'all optional': object({ a: integer, b: integer, c: integer }, { required: [] }),
  'forty optional': object(Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`key_${i}`, integer])), {
    required: [],
  }),
  'names that are odd': object({
    'a"b': integer,
    'c\\d': integer,
    'e\nf': integer,
    ünïcödé: integer,
    '': integer,
    '😀': integer,
    __proto__x: integer,
    'with space': integer,
  }),
  map: { type: 'object', additionalProperties: integer },
  'members and others': object(
    { id: integer, name: string },
    { additionalProperties: { type: 'boolean' }, required: ['id'] },
  ),
  'members and anything': object({ id: integer }, { additionalProperties: true }),
  'required beyond properties': { type: 'object', properties: { a: integer }, required: ['a', 'zeta'] },
  'union of objects': {
    anyOf: [
      object({ kind: { const: 'circle' }, radius: { type: 'number', exclusiveMinimum: 0 } }),
      object({ kind: { const: 'square' }, side: { type: 'number', exclusiveMinimum: 0 } }),
      object({
        kind: { const: 'polygon' },
        points: arrayOf({
          type: 'array',
          prefixItems: [{ type: 'number' }, { type: 'number' }],
          minItems: 2,
          maxItems: 2,
        }),
      }),
    ],
  },
  'union of scalars': { anyOf: [string, integer, { type: 'null' }] },
  'union that is ambiguous': {
    anyOf: [{ type: 'string', maxLength: 4 }, { enum: ['abcdefgh'] }, { type: 'string', pattern: '^a+$' }],
  },
  'numbers two ways': arrayOf({ anyOf: [{ type: 'integer' }, { type: 'number' }] }, { maxItems: 5 }),
  tree: {
    $ref: '#/$defs/node',
    $defs: { node: object({ value: integer, children: arrayOf({ $ref: '#/$defs/node' }, { maxItems: 3 }) }) },
  },
  'linked list': {
    ...(object({ value: string, next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } }) as object),
  },
  'recursion with a shared start': {
    $ref: '#/$defs/expression',
    $defs: {
      expression: {
        anyOf: [
          object({
            left: { $ref: '#/$defs/expression' },
            kind: { const: 'add' },
            right: { $ref: '#/$defs/expression' },
          }),
          object({ left: { $ref: '#/$defs/expression' }, kind: { const: 'negate' } }),
          integer,
        ],
      },
    },
  },
  'references across': {
    $ref: '#/definitions/a~1b',
    definitions: { 'a/b': object({ x: { $ref: '#/definitions/c%20d' } }), 'c d': arrayOf({ type: 'boolean' }) },
  },
  'user interface': {
    $defs: {
      part: object({
        type: { enum: ['div', 'button', 'header', 'section', 'field', 'form'] },
        label: string,
        children: arrayOf({ $ref: '#/$defs/part' }),
        attributes: arrayOf(object({ name: string, value: string })),
      }),
    },
    $ref: '#/$defs/part',
  },
  'long array': arrayOf({ type: 'integer', minimum: 0, maximum: 9 }, { minItems: 100, maxItems: 1000 }),
  'array of at most one': arrayOf(string, { maxItems: 1 }),
  'empty array': arrayOf(string, { maxItems: 0 }),
  tuple: { type: 'array', prefixItems: [string, integer, { type: 'boolean' }], items: false, minItems: 2 },
  'tuple and more': { type: 'array', prefixItems: [string], items: integer, minItems: 3, maxItems: 6 },
  matrix: arrayOf(arrayOf({ type: 'number', minimum: -1, maximum: 1 }, { minItems: 3, maxItems: 3 }), {
    minItems: 3,
    maxItems: 3,
  }),
  lengths: object({
    short: { type: 'string', maxLength: 3 },
    exact: { type: 'string', minLength: 5, maxLength: 5 },
    long: { type: 'string', minLength: 50 },
  }),
  'integers between': arrayOf({ type: 'integer', minimum: -37, exclusiveMaximum: 1205 }, { minItems: 5, maxItems: 20 }),
  'numbers between': arrayOf({ type: 'number', exclusiveMinimum: -12, maximum: 345 }, { minItems: 5, maxItems: 20 }),
  'far numbers': object({
    a: { type: 'number', maximum: -7 },
    b: { type: 'number', minimum: 1000 },
    c: { type: 'integer', minimum: 99_990 },
  }),
  phone: { type: 'string', pattern: '^\\+\\d{1,3} \\(\\d{3}\\) \\d{3}-\\d{4}$' },
  'part of a text': { type: 'string', pattern: 'q[uü]x{2,3}' },
  'classes and groups': {
    type: 'string',
    pattern: '^(?:[A-ZÄÖÜ][a-zäöüß]+|\\d+)(?:[ _-](?:[A-Z]\\.|[^\\s"\\\\]{2,5}))*$',
  },
  'control characters': { type: 'string', pattern: '^[\\x00-\\x1f"\\\\/]{3,9}.?[^a-z]*$' },
  formats: object({
    t: { type: 'string', format: 'time' },
    dt: { type: 'string', format: 'date-time' },
    u: { type: 'string', format: 'uuid' },
    e: { type: 'string', format: 'email' },
    h: { type: 'string', format: 'hostname' },
    v4: { type: 'string', format: 'ipv4' },
    v6: { type: 'string', format: 'ipv6' },
    d: { type: 'string', format: 'duration' },
  }),
  'notes are let pass': {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'T',
    description: 'D',
    ...(object({ a: { type: 'string', description: 'x', default: 'y', examples: ['z'] } }) as object),
  },
  'one of allOf': object(
    { address: { allOf: [{ $ref: '#/$defs/address' }], description: 'home' } },
    { $defs: { address: object({ street: string, zip: { type: 'string', pattern: '^\\d{5}$' } }) } },
  ),
  'kinds told apart': arrayOf(
    {
      oneOf: [
        object({ kind: { const: 'circle' }, r: { type: 'number', exclusiveMinimum: 0 } }),
        object({ kind: { enum: ['box', 'cube'] }, sides: arrayOf(integer, { maxItems: 3 }) }),
        { type: 'object', properties: { name: string }, required: ['name'], additionalProperties: false },
        { oneOf: [{ type: 'integer', maximum: 9 }, { type: 'integer', minimum: 10 }, { $ref: '#/$defs/short' }] },
      ],
    },
    { minItems: 2, maxItems: 5, $defs: { short: { type: ['string', 'null'], maxLength: 4 } } },
  ),
  'names by a pattern': object({
    all: { type: 'object', patternProperties: { '^x_[a-z"é]{1,4}$': integer }, additionalProperties: false },
    more: {
      type: 'object',
      properties: { id: integer },
      required: ['id', 'tag'],
      patternProperties: { '\\d': string },
    },
  }),
  multiples: arrayOf(
    {
      anyOf: [
        { type: 'integer', multipleOf: 7, minimum: -3000, exclusiveMaximum: 3003 },
        { type: 'integer', multipleOf: 250, exclusiveMinimum: 0 },
        { type: 'number', multipleOf: 1, minimum: 95, maximum: 105 },
        { type: 'integer', multipleOf: 12, maximum: -100 },
      ],
    },
    { minItems: 4, maxItems: 20 },
  ),
  'deep nesting': Array.from({ length: 12 }).reduce<JsonSchema>(
    (inner, _, i) => object({ [`level${i}`]: inner }),
    integer,
  ),
};
