/** Whether two schemas can hold for one value: only then is a choice between them not the same as `oneOf`. */
import { isObject } from '../json.ts';

type Schema = Readonly<Record<string, unknown>>;

const KINDS = ['object', 'array', 'string', 'number', 'boolean', 'null'] as const;
type Kind = (typeof KINDS)[number];

const own = (schema: Schema, key: string): unknown => (Object.hasOwn(schema, key) ? schema[key] : undefined);
const objectOf = (value: unknown): Schema => (isObject(value) ? value : {});
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);

function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => isSame(item, b[i]));
  if (!isObject(a) || !isObject(b)) return a === b;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isSame(a[key], b[key]));
}

/** Integers are numbers: 1 holds for both types. */
function kindsOf(schema: Schema): readonly Kind[] {
  const type = own(schema, 'type');
  if (type === undefined) return KINDS;
  const named = typeof type === 'string' ? [type] : listOf(type);
  return KINDS.filter((kind) => named.includes(kind) || (kind === 'number' && named.includes('integer')));
}

function valuesOf(schema: Schema): readonly unknown[] | null {
  if (Object.hasOwn(schema, 'const')) return [schema.const];
  return Array.isArray(schema.enum) ? listOf(schema.enum) : null;
}

/** A schema that holds for this value, and maybe for others. */
function shapeOf(value: unknown): Schema {
  if (value === null) return { type: 'null' };
  if (typeof value === 'number') return { type: 'number', minimum: value, maximum: value };
  if (typeof value === 'string') return { type: 'string', minLength: [...value].length, maxLength: [...value].length };
  if (Array.isArray(value)) return { type: 'array', minItems: value.length, maxItems: value.length };
  if (!isObject(value)) return { type: typeof value };
  return {
    type: 'object',
    required: Object.keys(value),
    properties: Object.fromEntries(Object.entries(value).map(([key, item]) => [key, { const: item }])),
    additionalProperties: false,
  };
}

interface Interval {
  readonly low: number;
  readonly high: number;
  readonly isOpenLow: boolean;
  readonly isOpenHigh: boolean;
}

/** Lengths, or numbers themselves. */
function intervalOf(schema: Schema, kind: Kind): Interval {
  const [least, most] =
    kind === 'number'
      ? ['minimum', 'maximum']
      : kind === 'string'
        ? ['minLength', 'maxLength']
        : ['minItems', 'maxItems'];
  const value = (key: string, fallback: number): number => Number(own(schema, key) ?? fallback);
  const [low, high] = [value(least!, -Infinity), value(most!, Infinity)];
  const above = kind === 'number' ? value('exclusiveMinimum', -Infinity) : -Infinity;
  const under = kind === 'number' ? value('exclusiveMaximum', Infinity) : Infinity;
  return {
    low: Math.max(low, above),
    high: Math.min(high, under),
    isOpenLow: above >= low,
    isOpenHigh: under <= high,
  };
}

const isBelow = (a: Interval, b: Interval): boolean =>
  a.high < b.low || (a.high === b.low && (a.isOpenHigh || b.isOpenLow));

/** `a` requires a name that `b` forbids. */
function lacks(a: Schema, b: Schema): boolean {
  if (own(b, 'additionalProperties') !== false || own(b, 'patternProperties') !== undefined) return false;
  return listOf(own(a, 'required')).some((name) => !Object.hasOwn(objectOf(own(b, 'properties')), String(name)));
}

class Proof {
  readonly #resolve: (ref: string) => unknown;
  /** Pairs that were met: while one is looked at it counts as not known, so that recursive schemas end. */
  readonly #known = new Map<Schema, Map<Schema, boolean>>();

  constructor(resolve: (ref: string) => unknown) {
    this.#resolve = resolve;
  }

  areDisjoint(a: unknown, b: unknown): boolean {
    if (a === false || b === false) return true;
    if (!isObject(a) || !isObject(b)) return false;
    const of = this.#known.get(a) ?? new Map<Schema, boolean>();
    this.#known.set(a, of);
    if (!of.has(b)) {
      of.set(b, false);
      of.set(b, this.#look(a, b));
    }
    return of.get(b)!;
  }

  #look(a: Schema, b: Schema): boolean {
    if (typeof a.$ref === 'string') return this.areDisjoint(this.#resolve(a.$ref), b);
    for (const keyword of ['anyOf', 'oneOf'])
      if (own(a, keyword) !== undefined) return listOf(a[keyword]).every((option) => this.areDisjoint(option, b));
    if (own(a, 'allOf') !== undefined) return listOf(a.allOf).some((part) => this.areDisjoint(part, b));
    const values = valuesOf(a);
    const others = valuesOf(b);
    if (values && others) return values.every((value) => !others.some((other) => isSame(value, other)));
    if (others || ['$ref', 'anyOf', 'oneOf', 'allOf'].some((keyword) => own(b, keyword) !== undefined))
      return this.areDisjoint(b, a);
    if (values) return values.every((value) => this.areDisjoint(shapeOf(value), b));
    return kindsOf(a).every((kind) => !kindsOf(b).includes(kind) || this.#areOfKind(kind, a, b));
  }

  #areOfKind(kind: Kind, a: Schema, b: Schema): boolean {
    if (kind === 'object') return lacks(a, b) || lacks(b, a) || this.#differ(a, b);
    if (kind === 'boolean' || kind === 'null') return false;
    const [one, other] = [intervalOf(a, kind), intervalOf(b, kind)];
    return isBelow(one, other) || isBelow(other, one);
  }

  /** A name that one of them requires has disjoint values. */
  #differ(a: Schema, b: Schema): boolean {
    const [one, other] = [objectOf(own(a, 'properties')), objectOf(own(b, 'properties'))];
    const isApart = (name: string): boolean =>
      Object.hasOwn(one, name) && Object.hasOwn(other, name) && this.areDisjoint(one[name], other[name]);
    return [...listOf(own(a, 'required')), ...listOf(own(b, 'required'))].map(String).some(isApart);
  }
}

/**
 * @param resolve what a `$ref` points to
 * @returns true: no value satisfies both; false: not known
 */
export const areDisjoint = (a: unknown, b: unknown, resolve: (ref: string) => unknown): boolean =>
  new Proof(resolve).areDisjoint(a, b);
