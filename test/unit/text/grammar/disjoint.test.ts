/** What can be proved of two schemas: never too much, and enough for the usual unions. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it } from 'vitest';
import type { JsonSchema } from '../../../../src/text/grammar/index.ts';
import { areDisjoint } from '../../../../src/text/grammar/disjoint.ts';

const tagged = (kind: unknown, isRequired = true): JsonSchema => ({
  type: 'object',
  properties: { kind, rest: {} },
  required: isRequired ? ['kind'] : [],
});
const closed = (name: string): JsonSchema => ({
  type: 'object',
  properties: { [name]: {} },
  required: [name],
  additionalProperties: false,
});
const schemas: readonly JsonSchema[] = [
  {},
  { type: 'object' },
  { properties: { kind: { const: 1 } }, required: ['kind'] },
  tagged({ const: 'a' }),
  tagged({ const: 'b' }),
  tagged({ enum: ['a', 'c'] }, false),
  tagged({ type: 'null' }),
  closed('x'),
  closed('y'),
  { const: { kind: 'a' } },
  { enum: [{ rest: 1, kind: 'b' }, 3] },
  { const: { kind: 'b', rest: 1 } },
  { type: 'integer', minimum: 3 },
  { type: 'number', exclusiveMaximum: 3 },
  { type: 'number', maximum: 3 },
  { enum: [3, 4] },
  { type: 'string', maxLength: 2 },
  { type: ['string', 'array'], minLength: 3, minItems: 1 },
  { enum: ['ab', 'äöü'] },
  { type: 'array', maxItems: 0 },
  { $ref: '#/$defs/self' },
  { anyOf: [{ type: 'boolean' }, { type: 'null' }] },
  { allOf: [tagged({ const: 'b' })] },
  false,
];
const self: JsonSchema = { type: 'object', properties: { next: { $ref: '#/$defs/self' } }, required: ['next'] };
const values: readonly unknown[] = [
  ...[null, true, 2, 3, 3.5, 4, 'ab', 'äöü', 'abcd', [], [1]],
  ...[{}, { kind: 1 }, { kind: 'a' }, { kind: 'b', rest: 1 }, { kind: 'c' }, { kind: null }, { x: 1 }, { y: 1 }],
];

it('is never said of two that hold for the same value, and is said of most that do not', () => {
  const ajv = new Ajv2020({ strict: false });
  const checks = schemas.map((schema) =>
    ajv.compile(typeof schema === 'object' ? { ...schema, $defs: { self } } : schema),
  );
  const held = checks.map((check) => values.map((value) => check(value)));
  let said = 0;
  let apart = 0;
  schemas.forEach((a, i) =>
    schemas.forEach((b, j) => {
      const isSaid = areDisjoint(a, b, () => self);
      const both = values.find((_, v) => held[i]![v] && held[j]![v]);
      expect(
        isSaid && both !== undefined,
        `${JSON.stringify(a)} and ${JSON.stringify(b)}: ${JSON.stringify(both)}`,
      ).toBe(false);
      expect(areDisjoint(b, a, () => self)).toBe(isSaid);
      if (both === undefined) apart++;
      if (isSaid) said++;
    }),
  );
  expect(said / apart).toBeGreaterThan(0.95);
});
