/** A constraint to an expression. */
import { InvalidRequest } from '../../errors.ts';
import type { Constraint } from './constraint.ts';
import type { Expression, Expressions } from './expression.ts';
import { anyObject, anyText } from './json-text.ts';
import { compileSchema } from './schema.ts';

/** @throws InvalidRequest when it is none, or its schema is not supported */
export function compile(constraint: Constraint, make: Expressions): Expression {
  if (typeof constraint === 'string') return make.literal(constraint, true);
  if ('schema' in constraint) return compileSchema(constraint.schema, make);
  if ('sequence' in constraint) return make.sequence(...constraint.sequence.map((part) => compile(part, make)));
  if ('anyOf' in constraint) return make.choice(...constraint.anyOf.map((part) => compile(part, make)));
  if (constraint.json === 'object') return anyObject(make);
  if (constraint.json === 'value') return anyText(make);
  throw new InvalidRequest('a constraint is text, or has schema, json ("object" or "value"), sequence or anyOf', {
    parameter: 'constraint',
  });
}
