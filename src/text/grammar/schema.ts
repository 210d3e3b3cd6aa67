/** JSON Schema to an expression. A keyword that is not understood is refused: output must never break a rule that was given. */
import { InvalidRequest } from '../../errors.ts';
import { isObject } from '../json.ts';
import { Automaton, type State } from './automaton.ts';
import type { JsonSchema } from './constraint.ts';
import { areDisjoint } from './disjoint.ts';
import type { Expression, Expressions } from './expression.ts';
import { FORMATS } from './formats.ts';
import {
  anyArray,
  anyObject,
  anyText,
  arrayText,
  literalJson,
  numberText,
  objectText,
  quoted,
  written,
  type Member,
  type Others,
} from './json-text.ts';
import { divisorFault, multiplesText } from './multiples.ts';
import { compilePattern } from './pattern.ts';
import { integerPattern, integersBetween, numberPattern, type Bounds } from './ranges.ts';

type Schema = Readonly<Record<string, unknown>>;

/** References inside each other: how often a recursive schema goes into itself. */
export const MOST_REFERENCES = 16;

/** That a string can be asked to have at least. */
const MOST_CHARACTERS = 100_000;

const NOTES = new Set(
  '$schema $id $comment $defs definitions title description default example examples deprecated readOnly writeOnly'.split(
    ' ',
  ),
);
const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const;
type Type = (typeof TYPES)[number];

const BOUNDS = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'] as const;

/** Keywords by the types that they speak about. */
const KEYWORDS: Readonly<Record<Type, readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties', 'patternProperties'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems', 'uniqueItems'],
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  number: [...BOUNDS, 'multipleOf'],
  integer: [...BOUNDS, 'multipleOf'],
  boolean: [],
  null: [],
};

function refuse(pointer: string, reason: string): never {
  throw new InvalidRequest(`schema ${pointer}: ${reason}`, { parameter: 'schema', pointer });
}

const within = (pointer: string, ...keys: readonly (string | number)[]): string =>
  [pointer, ...keys.map((key) => String(key).replaceAll('~', '~0').replaceAll('/', '~1'))].join('/');

const own = (schema: Schema, key: string): unknown => (Object.hasOwn(schema, key) ? schema[key] : undefined);

/** What the schema asserts, notes left out. */
const assertions = (schema: Schema): string[] =>
  Object.keys(schema).filter((key) => !NOTES.has(key) && schema[key] !== undefined);

function onlyWith(schema: Schema, pointer: string, keyword: string, others: readonly string[] = []): void {
  const extra = assertions(schema).find((key) => key !== keyword && !others.includes(key));
  if (extra !== undefined) {
    refuse(
      within(pointer, extra),
      `cannot stand beside ${keyword}; put it into ${keyword === '$ref' ? 'what is referred to' : 'each of its alternatives'}`,
    );
  }
}

function count(schema: Schema, pointer: string, keyword: string, fallback: number): number {
  const value = own(schema, keyword) ?? fallback;
  if (value === Infinity || (Number.isSafeInteger(value) && Number(value) >= 0)) return Number(value);
  return refuse(within(pointer, keyword), 'must be a whole number, 0 or more');
}

/** A fragment of a URI; one that is wrongly escaped is taken as it is, and then found or not. */
function unescaped(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const isOfType = (value: unknown, type: string): boolean =>
  type === 'integer'
    ? Number.isInteger(value)
    : type === (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

function list(value: unknown, pointer: string): readonly unknown[] {
  return Array.isArray(value) && value.length > 0
    ? (value as unknown[])
    : refuse(pointer, 'must be a list that is not empty');
}

class SchemaCompiler {
  readonly #make: Expressions;
  readonly #root: JsonSchema;
  readonly #name: string;

  constructor(root: JsonSchema, make: Expressions) {
    this.#make = make;
    this.#root = root;
    this.#name = JSON.stringify(root);
  }

  /** @param depth references that led here */
  compile(schema: unknown, pointer = '#', depth = 0): Expression {
    if (schema === true) return anyText(this.#make);
    if (schema === false) return this.#make.never;
    if (!isObject(schema)) return refuse(pointer, 'must be an object, true or false');
    const empty = assertions(schema).find((key) => schema[key] === null && key !== 'const');
    if (empty !== undefined) refuse(within(pointer, empty), 'must not be null; leave it out');
    if (own(schema, '$ref') !== undefined) return this.#reference(schema, pointer, depth);
    for (const keyword of ['anyOf', 'oneOf', 'allOf']) {
      if (own(schema, keyword) !== undefined) return this.#alternatives(schema, pointer, depth, keyword);
    }
    if (own(schema, 'enum') !== undefined || Object.hasOwn(schema, 'const')) return this.#values(schema, pointer);
    return this.#make.choice(...this.#types(schema, pointer).map((type) => this.#ofType(type, schema, pointer, depth)));
  }

  #reference(schema: Schema, pointer: string, depth: number): Expression {
    const at = within(pointer, '$ref');
    onlyWith(schema, pointer, '$ref');
    const ref = schema.$ref;
    if (typeof ref !== 'string' || !/^#(?:\/|$)/.test(ref))
      return refuse(at, 'must point into this schema, such as "#/$defs/name"');
    const target = this.#resolve(ref);
    if (target === undefined) return refuse(at, `${JSON.stringify(ref)} is not in the schema`);
    if (depth >= MOST_REFERENCES) return this.#make.never;
    return this.#make.lazy(`${this.#name} ${ref} ${depth}`, () => this.compile(target, ref, depth + 1));
  }

  #resolve(ref: string): unknown {
    let target: unknown = this.#root;
    for (const part of ref.split('/').slice(1)) {
      const key = unescaped(part).replaceAll('~1', '/').replaceAll('~0', '~');
      target =
        (isObject(target) || Array.isArray(target)) && Object.hasOwn(target, key) ? (target as Schema)[key] : undefined;
    }
    return target;
  }

  #alternatives(schema: Schema, pointer: string, depth: number, keyword: string): Expression {
    onlyWith(schema, pointer, keyword);
    const options = list(own(schema, keyword), within(pointer, keyword));
    if (keyword === 'allOf' && options.length > 1)
      refuse(within(pointer, keyword), 'only one schema is supported; merge them into one');
    if (keyword === 'oneOf') this.#checkApart(options, within(pointer, keyword));
    return this.#make.choice(...options.map((option, i) => this.compile(option, within(pointer, keyword, i), depth)));
  }

  /** Of alternatives that exclude each other exactly one holds for whatever one of them allows. */
  #checkApart(options: readonly unknown[], pointer: string): void {
    options.forEach((option, j) => {
      const i = options.slice(0, j).findIndex((other) => !areDisjoint(other, option, (ref) => this.#resolve(ref)));
      if (i >= 0)
        refuse(
          pointer,
          `alternatives ${i} and ${j} may both hold; give them other types, or a required property another const each, or say anyOf`,
        );
    });
  }

  #values(schema: Schema, pointer: string): Expression {
    const hasConst = Object.hasOwn(schema, 'const');
    onlyWith(schema, pointer, hasConst ? 'const' : 'enum', ['type']);
    const values = hasConst ? [schema.const] : list(schema.enum, within(pointer, 'enum'));
    const types = this.#types(schema, pointer);
    const fitting = values.filter((value) => types.some((type) => isOfType(value, type)));
    return this.#make.choice(...fitting.map((value) => literalJson(this.#make, value)));
  }

  /** Named ones; without `type`, those that the keywords speak about. */
  #types(schema: Schema, pointer: string): readonly Type[] {
    const type = own(schema, 'type');
    const named = type === undefined ? null : typeof type === 'string' ? [type] : list(type, within(pointer, 'type'));
    for (const name of named ?? []) {
      if (!TYPES.includes(name as Type))
        refuse(within(pointer, 'type'), `${JSON.stringify(name)} is no type; types are ${TYPES.join(', ')}`);
    }
    const known = ['type', 'enum', 'const', ...Object.values(KEYWORDS).flat()];
    const asserted = assertions(schema);
    for (const key of asserted)
      if (!known.includes(key)) refuse(within(pointer, key), 'is not supported; take it out, or say it in another way');
    if (named) return named as Type[];
    const spoken = TYPES.filter((name) => KEYWORDS[name].some((key) => asserted.includes(key)));
    return spoken.length > 0 ? spoken : TYPES;
  }

  #ofType(type: Type, schema: Schema, pointer: string, depth: number): Expression {
    switch (type) {
      case 'object':
        return this.#object(schema, pointer, depth);
      case 'array':
        return this.#array(schema, pointer, depth);
      case 'string':
        return quoted(this.#make, this.#string(schema, pointer));
      case 'number':
      case 'integer':
        return this.#number(type, schema, pointer);
      case 'boolean':
        return this.#make.choice(literalJson(this.#make, true), literalJson(this.#make, false));
      case 'null':
        return literalJson(this.#make, null);
    }
  }

  /** With `properties`, others come in only by `additionalProperties`; without, any do unless it is false. */
  #object(schema: Schema, pointer: string, depth: number): Expression {
    const properties = own(schema, 'properties') ?? {};
    const required = own(schema, 'required') ?? [];
    if (!isObject(properties)) return refuse(within(pointer, 'properties'), 'must be an object');
    if (!Array.isArray(required)) return refuse(within(pointer, 'required'), 'must be a list of names');
    const names = [...new Set([...Object.keys(properties), ...required.map(String)])];
    const patterned = this.#patterned(schema, pointer, names, depth);
    const others = own(schema, 'additionalProperties') ?? (names.length === 0 && !patterned);
    if (others === true && names.length === 0 && !patterned) return anyObject(this.#make);
    const other = others === false ? null : this.compile(others, within(pointer, 'additionalProperties'), depth);
    const members = names.map((name): Member => ({
      name,
      required: required.includes(name),
      value: Object.hasOwn(properties, name)
        ? this.compile(properties[name], within(pointer, 'properties', name), depth)
        : own(schema, 'additionalProperties') === false
          ? refuse(within(pointer, 'required'), `${JSON.stringify(name)} is not among the properties`)
          : (other ?? anyText(this.#make)),
    }));
    return objectText(this.#make, members, patterned ?? (other && { value: other }));
  }

  /** Of one pattern that names no other member: for a name that several rules speak of, all of them would have to hold. */
  #patterned(schema: Schema, pointer: string, names: readonly string[], depth: number): Others | null {
    const patterns = own(schema, 'patternProperties') ?? {};
    const at = within(pointer, 'patternProperties');
    if (!isObject(patterns)) return refuse(at, 'must be an object');
    const [pattern, ...more] = Object.keys(patterns);
    if (pattern === undefined) return null;
    if (more.length > 0) return refuse(at, 'only one pattern is supported, as a name could match several');
    const name = compilePattern(pattern, this.#make, (reason) => refuse(at, `the pattern ${reason}`));
    const both = names.find((other) => this.#writes(quoted(this.#make, name), JSON.stringify(other)));
    if (both !== undefined) refuse(at, `the pattern also matches ${JSON.stringify(both)}; take one of the two out`);
    return { name, value: this.compile(patterns[pattern], within(at, pattern), depth) };
  }

  #writes(expression: Expression, text: string): boolean {
    const automaton = new Automaton(this.#make, expression);
    let state: State | null = automaton.start;
    for (const byte of new TextEncoder().encode(text)) state = state && automaton.step(state, byte);
    return state?.isEnd ?? false;
  }

  #array(schema: Schema, pointer: string, depth: number): Expression {
    const min = count(schema, pointer, 'minItems', 0);
    const max = count(schema, pointer, 'maxItems', Infinity);
    const prefix =
      own(schema, 'prefixItems') === undefined ? [] : list(schema.prefixItems, within(pointer, 'prefixItems'));
    if (own(schema, 'uniqueItems') === true)
      refuse(within(pointer, 'uniqueItems'), 'is not supported; take it out and check the answer');
    if (max < min) return this.#make.never;
    const items = own(schema, 'items') ?? true;
    if (items === true && prefix.length + min === 0 && max === Infinity) return anyArray(this.#make);
    const heads = prefix.map((item, i) => this.compile(item, within(pointer, 'prefixItems', i), depth));
    const item = items === false ? null : this.compile(items, within(pointer, 'items'), depth);
    return arrayText(this.#make, heads, item, min, max);
  }

  #string(schema: Schema, pointer: string): Expression {
    const keyword = ['pattern', 'format'].find((key) => own(schema, key) !== undefined);
    const min = count(schema, pointer, 'minLength', 0);
    const max = count(schema, pointer, 'maxLength', Infinity);
    if (min > MOST_CHARACTERS) refuse(within(pointer, 'minLength'), `at most ${MOST_CHARACTERS} are possible`);
    if (!keyword) return max < min ? this.#make.never : this.#make.text(min, max);
    const beside = KEYWORDS.string.find((key) => key !== keyword && own(schema, key) !== undefined);
    if (beside) refuse(within(pointer, beside), `cannot stand beside ${keyword}; say the length in a pattern`);
    const at = within(pointer, keyword);
    const value = own(schema, keyword);
    const pattern = keyword === 'format' ? FORMATS.get(String(value)) : value;
    if (typeof pattern !== 'string') {
      return refuse(
        at,
        keyword === 'pattern'
          ? 'must be a string'
          : `${JSON.stringify(value)} is not supported; formats are ${[...FORMATS.keys()].join(', ')}`,
      );
    }
    return compilePattern(pattern, this.#make, (reason) => refuse(at, `the pattern ${reason}`));
  }

  #number(type: 'number' | 'integer', schema: Schema, pointer: string): Expression {
    const divisor = own(schema, 'multipleOf');
    const asserted = BOUNDS.filter((keyword) => own(schema, keyword) !== undefined);
    for (const keyword of asserted) {
      const value = schema[keyword];
      if (typeof value !== 'number') refuse(within(pointer, keyword), 'must be a number');
      if (type === 'number' && !Number.isInteger(value))
        refuse(within(pointer, keyword), 'must be a whole number; other bounds are not supported');
    }
    if (divisor !== undefined)
      return this.#multiples(divisor, rounded(tightest(schema)), within(pointer, 'multipleOf'));
    const bounds = type === 'integer' ? rounded(tightest(schema)) : tightest(schema);
    if (type === 'number' && asserted.length === 0) return numberText(this.#make);
    const pattern = type === 'integer' ? integerPattern(bounds) : numberPattern(bounds);
    return pattern === null ? this.#make.never : written(this.#make, pattern);
  }

  /** Multiples of a whole number are integers, whatever the type. */
  #multiples(divisor: unknown, bounds: Bounds, pointer: string): Expression {
    const fault = divisorFault(divisor);
    if (fault !== null) return refuse(pointer, fault);
    const between = integersBetween(bounds);
    return between ? multiplesText(this.#make, Number(divisor), ...between) : this.#make.never;
  }
}

/** Of both kinds of bounds. */
function tightest(schema: Schema): Bounds {
  const bound = (keyword: string, fallback: number): number => Number(own(schema, keyword) ?? fallback);
  const [min, above] = [bound('minimum', -Infinity), bound('exclusiveMinimum', -Infinity)];
  const [max, under] = [bound('maximum', Infinity), bound('exclusiveMaximum', Infinity)];
  return {
    min: Math.max(min, above),
    openMin: above >= min && above > -Infinity,
    max: Math.min(max, under),
    openMax: under <= max && under < Infinity,
  };
}

/** The same integers between whole bounds. */
const rounded = ({ min, max, openMin, openMax }: Bounds): Bounds => ({
  min: Math.ceil(min),
  openMin: openMin && min === Math.ceil(min),
  max: Math.floor(max),
  openMax: openMax && max === Math.floor(max),
});

/**
 * JSON text that the schema validates; not all such text: members come in the order of `properties`.
 * @throws InvalidRequest naming the JSON pointer of what is not supported
 */
export const compileSchema = (schema: JsonSchema, make: Expressions): Expression =>
  new SchemaCompiler(schema, make).compile(schema);
